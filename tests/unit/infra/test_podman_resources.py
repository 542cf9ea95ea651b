"""Podman's things as Pulumi sees them: what is asked for, what is found, what differs."""

from __future__ import annotations

from typing import Any

import pytest

from voicefleet_infra.components.podman import pod as pods
from voicefleet_infra.components.podman import provider
from voicefleet_infra.components.podman.pod import PodFailed, container_request, pod_request
from voicefleet_infra.components.podman.resources import _SecretProvider, _VolumeProvider

pytestmark = pytest.mark.unit

CONTAINER = {
    "name": "main",
    "image": "localhost/it:1",
    "command": ["/bin/it", "--now"],
    "memory_mib": 64,
    "environment": {"A": "b"},
    "secrets": [{"name": "key", "version": "1", "target": "/etc/key"}],
    "mounts": [
        {"source": "data", "target": "/data", "read_only": False},
        {"source": "/run/it", "target": "/run/it", "read_only": True},
    ],
    "stop_seconds": 3,
    "once": False,
    "sees_processes": False,
    "up": True,
}
POD = {"name": "lab-it", "network": "host", "ports": [], "containers": [CONTAINER], "ready": []}


class FakePodman:
    """What is there, by kind and name; containers run."""

    def __init__(self) -> None:
        self.there: dict[tuple[str, str], dict[str, Any]] = {}

    def inspect(self, kind: str, name: str) -> dict[str, Any] | None:
        return self.there.get((kind, name))

    def create(self, kind: str, body: dict[str, Any]) -> None:
        name = body.get("name") or body["Name"]
        found: dict[str, Any] = {"Labels": body.get("labels")}
        if kind == "containers":
            found |= {
                "ImageName": body["image"],
                "Config": {"Entrypoint": body["entrypoint"][0], "Cmd": body["command"]},
                "HostConfig": {"Memory": body["resource_limits"]["memory"]["limit"]},
                "State": {"Status": "running", "ExitCode": 0},
                "RestartCount": 0,
            }
        self.there[kind, name] = found

    def create_secret(self, name: str, content: str) -> str:
        self.there["secrets", name] = {"ID": f"id-of-{content}"}
        return f"id-of-{content}"

    def start_pod(self, name: str) -> None:
        assert ("pods", name) in self.there

    def stop_pod(self, name: str, seconds: int) -> None:
        pass

    def remove(self, kind: str, name: str) -> None:
        self.there.pop((kind, name), None)
        if kind == "pods":
            self.there = {key: v for key, v in self.there.items() if not key[1].startswith(name)}

    def log_end(self, container: str) -> str:
        return "I cannot"


@pytest.fixture
def podman(monkeypatch: pytest.MonkeyPatch) -> FakePodman:
    fake = FakePodman()
    monkeypatch.setattr(provider, "Podman", lambda socket: fake)
    return fake


@pytest.fixture
def pod() -> pods._PodProvider:
    return pods._PodProvider("/run/podman.sock")


def test_a_container_can_change_nothing_but_what_it_was_given() -> None:
    asked = container_request("lab-it", CONTAINER)
    assert asked["read_only_filesystem"]
    assert asked["no_new_privileges"]
    assert asked["cap_drop"] == ["ALL"]
    assert asked["resource_limits"]["memory"] == {"limit": 64 << 20, "swap": 64 << 20}
    assert asked["volumes"] == [{"Name": "data", "Dest": "/data", "Options": ["rw"]}]
    binds = [mount for mount in asked["mounts"] if mount["type"] == "bind"]
    assert [(mount["source"], mount["options"]) for mount in binds] == [
        ("/run/it", ["ro", "rbind"])
    ]


def test_what_runs_is_started_again_and_what_is_done_once_is_not() -> None:
    assert container_request("lab-it", CONTAINER)["restart_policy"] == "always"
    once = container_request("lab-it", {**CONTAINER, "once": True})
    assert once["restart_policy"] == "on-failure"


def test_a_pod_on_a_network_of_its_own_is_published_on_loopback_alone() -> None:
    asked = pod_request(
        {**POD, "network": "lab-net", "ports": [{"container": 80, "machine": 8080}]}
    )
    assert asked["Networks"] == {"lab-net": {}}
    assert {port["host_ip"] for port in asked["portmappings"]} == {"127.0.0.1"}


def test_what_was_made_has_not_drifted(podman: FakePodman, pod: pods._PodProvider) -> None:
    made = pod.create(POD)
    found = pod.read(made.id, made.outs)
    assert not pod.diff(made.id, found.outs, POD).changes
    assert found.inputs == POD


@pytest.mark.parametrize(
    "change",
    [
        {"State": {"Status": "exited", "ExitCode": 137}},
        {"HostConfig": {"Memory": 1 << 30}},
        {"ImageName": "localhost/it:2"},
        {"Config": {"Entrypoint": "/bin/other", "Cmd": None}},
    ],
    ids=["stopped", "limit", "image", "command"],
)
def test_what_somebody_changed_is_drift_in_inputs_too(
    podman: FakePodman, pod: pods._PodProvider, change: dict[str, Any]
) -> None:
    made = pod.create(POD)
    podman.there["containers", "lab-it-main"] |= change
    found = pod.read(made.id, made.outs)
    assert pod.diff(made.id, found.outs, POD).changes
    assert found.inputs != POD


def test_a_container_that_is_gone_is_drift_and_a_pod_that_is_gone_is_gone(
    podman: FakePodman, pod: pods._PodProvider
) -> None:
    made = pod.create(POD)
    del podman.there["containers", "lab-it-main"]
    assert pod.diff(made.id, pod.read(made.id, made.outs).outs, POD).changes
    podman.remove("pods", "lab-it")
    assert not pod.read(made.id, made.outs).id


def test_what_is_done_once_may_have_ended(podman: FakePodman, pod: pods._PodProvider) -> None:
    wanted = {**POD, "containers": [{**CONTAINER, "once": True}]}
    made = pod.create(wanted)
    container = podman.there["containers", "lab-it-main"]
    container["State"] = {"Status": "exited", "ExitCode": 0}
    assert not pod.diff(made.id, pod.read(made.id, made.outs).outs, wanted).changes
    container["State"]["ExitCode"] = 1
    assert pod.diff(made.id, pod.read(made.id, made.outs).outs, wanted).changes


def test_only_another_name_is_another_pod(pod: pods._PodProvider) -> None:
    assert pod.diff("lab-it", POD, {**POD, "ready": ["127.0.0.1:1"]}).replaces == []
    assert pod.diff("lab-it", POD, {**POD, "name": "lab-that"}).replaces == ["name"]


def test_a_pod_that_does_not_come_up_says_why_and_leaves_nothing(
    podman: FakePodman, pod: pods._PodProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pods, "tcp_open", lambda port, host: False)
    monkeypatch.setattr(pods, "_READY_SECONDS", -1.0)
    with pytest.raises(PodFailed, match=r"lab-it-main is running, and says:\nI cannot"):
        pod.create({**POD, "ready": ["127.0.0.1:1"]})
    assert not podman.there


def test_a_secret_that_was_written_anew_may_hold_anything(podman: FakePodman) -> None:
    secrets = _SecretProvider("/run/podman.sock")
    wanted = {"name": "key", "content": "mine"}
    made = secrets.create(wanted)
    assert not secrets.diff(made.id, secrets.read(made.id, made.outs).outs, wanted).changes
    podman.create_secret("key", "another's")
    found = secrets.read(made.id, made.outs)
    assert secrets.diff(made.id, found.outs, wanted).changes
    podman.remove("secrets", "key")
    assert not secrets.read(made.id, made.outs).id


def test_what_is_gone_already_is_removed(podman: FakePodman) -> None:
    volumes = _VolumeProvider("/run/podman.sock")
    made = volumes.create({"name": "data"})
    podman.remove("volumes", "data")
    volumes.delete(made.id, made.outs)
    assert not podman.there
