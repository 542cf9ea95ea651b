"""The home lab's structure, with Pulumi's mocks in place of a machine."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from pulumi.runtime import rpc

from voicefleet_infra import edge as edges
from voicefleet_infra import services
from voicefleet_infra.components.homelab import HomeLab, HomeLabArgs
from voicefleet_infra.components.homelab.unit import systemd_unit
from voicefleet_infra.components.voiceclient import VoiceClient, VoiceClientArgs
from voicefleet_infra.platform import Platform
from voicefleet_infra.tools import repository

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("thread_event_loop")]

POD = "pulumi-python:dynamic/podman:Pod"
SECRET = "pulumi-python:dynamic/podman:Secret"
VOLUME = "pulumi-python:dynamic/podman:Volume"
MANIFEST = "pulumi-python:dynamic/kubernetes:Manifest"


@dataclass
class Declared(pulumi.runtime.Mocks):
    """What a program has declared: type -> name -> inputs."""

    resources: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.resources.setdefault(args.typ, {})[args.name] = args.inputs
        known = {"version": f"1 of {args.name}", "content": "kubeconfig"}
        return args.name, {**known, **args.inputs}

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        raise AssertionError(args.token)

    def containers(self) -> dict[str, dict[str, Any]]:
        """All pods' containers, by `pod/container`."""
        return {
            f"{pod}/{container['name']}": container
            for pod, inputs in self.resources[POD].items()
            for container in inputs["containers"]
        }


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    for module in (services, edges):
        monkeypatch.setattr(module, "program", lambda name: f"/usr/bin/{name}")
    return Platform(tmp_path / "lab", podman=Path("/run/podman/podman.sock"))


@pytest.fixture
def declare(platform: Platform) -> Callable[..., Declared]:
    def make(cluster: Path | None = None, **changes: Any) -> Declared:
        mocks = Declared()
        pulumi.runtime.set_mocks(mocks, preview=False)
        own = Platform(platform.home, podman=platform.podman, cluster=cluster)
        args = HomeLabArgs(
            own, socket=str(own.podman), image="it:1", agent_image="agent:1", **changes
        )
        pulumi.runtime.test(lambda: HomeLab("lab", args))()
        return mocks

    return make


def test_each_part_is_a_pod_on_the_machines_network_and_has_limits(
    declare: Callable[..., Declared],
) -> None:
    declared = declare(memory_mib={"dns": 99})
    pods = declared.resources[POD]
    assert set(pods) == {
        f"lab-{part}"
        for part in (
            "redis", "livekit", "agent-gateway", "dns", "control-plane", "sandbox", "models",
            "portal", "overflow", "operator",
        )
    }  # fmt: skip
    assert {pod["network"] for pod in pods.values()} == {"host"}
    containers = declared.containers()
    assert all(container["memory_mib"] >= 99 for container in containers.values())
    assert containers["lab-dns/knot"]["memory_mib"] == 99
    assert {name for name in containers if name.startswith("lab-livekit/")} == {
        "lab-livekit/livekit",
        "lab-livekit/livekit-sip",
        "lab-livekit/livekit-sip-backup",
        "lab-livekit/sip-edge",
    }


def test_no_path_of_this_machine_but_the_labs_is_in_a_command(
    declare: Callable[..., Declared], platform: Platform
) -> None:
    allowed = (str(platform.home), "/opt/voicefleet/", "/usr/bin/", "/run/podman", "/etc")
    for name, container in declare().containers().items():
        words = [*container["command"], *container["environment"].values()]
        paths = [path for word in words for path in re.findall(r"/[\w./-]{3,}", word)]
        strange = [path for path in paths if not path.startswith(allowed)]
        # Addresses of ours, and where the language model is fetched into.
        strange = [path for path in strange if not re.match(r"//[\d.]+|//kubernetes", path)]
        assert all("models" in path for path in strange), (name, strange)


def test_every_file_that_a_command_names_is_given_to_its_container(
    declare: Callable[..., Declared], platform: Platform
) -> None:
    for name, container in declare().containers().items():
        given = {secret["target"] for secret in container["secrets"]}
        given |= {mount["target"] for mount in container["mounts"]}
        for word in (*container["command"], *container["environment"].values()):
            for path in re.findall(rf"{re.escape(str(platform.home))}/[\w./-]+", word):
                # Of a folder of secrets each file is given.
                assert any(
                    path == it or path.startswith(f"{it}/") or it.startswith(f"{path}/")
                    for it in given
                ), (name, path)


def test_nothing_secret_stands_in_clear(
    declare: Callable[..., Declared], platform: Platform
) -> None:
    declared = declare()
    hidden = [
        file.read_text() for file in platform.path("secrets").iterdir() if file.name != "mail"
    ]
    hidden += [file.read_text() for file in platform.path("pki").rglob("*.key")]
    assert len(hidden) > 5
    shown = [
        text
        for typ, found in declared.resources.items()
        for inputs in found.values()
        for text in _strings({k: v for k, v in inputs.items() if k != "__provider"})
    ]
    assert not [secret for secret in hidden if any(secret in text for text in shown)]
    assert all(_is_secret(inputs["content"]) for inputs in declared.resources[SECRET].values())
    assert _is_secret(declared.resources[MANIFEST]["vendor-secrets"]["objects"])


def test_a_secret_that_changes_is_seen_by_the_pod_that_reads_it(
    declare: Callable[..., Declared],
) -> None:
    redis = declare().containers()["lab-redis/redis"]
    assert {secret["version"] for secret in redis["secrets"]} == {"1 of lab-redis.conf"}


def test_what_must_not_be_lost_is_in_volumes(declare: Callable[..., Declared]) -> None:
    assert set(declare().resources[VOLUME]) == {
        "lab-etcd", "lab-redis", "lab-sandbox", "lab-calls", "lab-overflow-data"
    }  # fmt: skip


def test_what_is_not_asked_for_is_not_there(declare: Callable[..., Declared]) -> None:
    declared = declare(Path("/elsewhere/kubeconfig"), sandbox=False, models=False)
    assert set(declared.resources[POD]) == {
        "lab-redis", "lab-livekit", "lab-agent-gateway", "lab-dns", "lab-operator"
    }  # fmt: skip
    operator = declared.containers()["lab-operator/operator"]
    assert "VOICEFLEET_MODELS_FOLDER" not in operator["environment"]
    kubeconfigs = {inputs["kubeconfig"] for inputs in declared.resources[MANIFEST].values()}
    assert kubeconfigs == {"/elsewhere/kubeconfig"}


def test_the_fleet_is_the_labs_own_with_what_the_settings_change(
    declare: Callable[..., Declared],
) -> None:
    live = [{"name": "main", "mode": "Live", "secretRef": {"name": "twilio-live"}}]
    declared = declare(sandbox=False, fleet={"telephony": {"accounts": live}, "voices": None})
    (fleet,) = declared.resources[MANIFEST]["fleet"]["objects"]
    spec = fleet["spec"]
    assert spec["telephony"]["accounts"] == live
    assert spec["telephony"]["originationURIs"]
    assert not {"sandbox", "voices"} & set(spec)
    assert spec["livekit"]["overflowAgent"]


def test_the_model_is_pulled_once_into_a_volume_on_a_network_of_its_own(
    declare: Callable[..., Declared], platform: Platform
) -> None:
    declared = declare(ollama_model="llama3.2:3b")
    pod = declared.resources[POD]["lab-ollama"]
    assert pod["network"] == "lab-ollama"
    server, pull = pod["containers"]
    assert [mount["source"] for mount in server["mounts"]] == ["lab-ollama"]
    assert pull["command"][-2:] == ["pull", "llama3.2:3b"]
    assert pull["once"]
    asked = yaml.safe_load(platform.path("models.yaml").read_text())["languageModel"]
    assert asked == {
        "provider": f"http://127.0.0.1:{int(pod['ports'][0]['machine'])}/v1",
        "model": "llama3.2:3b",
    }


def test_a_client_is_the_custom_resource_and_the_wait_for_it() -> None:
    mocks = Declared()
    pulumi.runtime.set_mocks(mocks, preview=False)
    args = VoiceClientArgs("/kubeconfig", {"profession": "dentist"}, namespace="teeth")
    pulumi.runtime.test(lambda: VoiceClient("bright-smile", args))()
    declared = mocks.resources[MANIFEST]["bright-smile"]
    assert declared["wait_for"] == "Ready"
    (target,) = declared["objects"]
    assert target["kind"] == "VoiceClient"
    assert target["metadata"] == {"name": "bright-smile", "namespace": "teeth"}
    assert target["spec"] == {"profession": "dentist"}


def test_after_a_reboot_pods_start_in_order_and_stop_in_the_other() -> None:
    text = systemd_unit("lab", ["lab-redis", "lab-livekit"])
    assert "\n".join(line for line in text.splitlines() if line.startswith("Exec")) == (
        "ExecStart=podman pod start lab-redis\n"
        "ExecStart=podman pod start lab-livekit\n"
        "ExecStop=podman pod stop --ignore lab-livekit\n"
        "ExecStop=podman pod stop --ignore lab-redis"
    )
    assert "WantedBy=default.target" in text


def test_every_setting_is_described_typed_and_has_a_default() -> None:
    root = repository()
    described = yaml.safe_load((root / "Pulumi.yaml").read_text())["config"]
    program = (root / "stacks" / "homelab.py").read_text()
    # A secret has no default.
    used = set(re.findall(r"config\.(?:get|require)(?!_secret)\w*\(\"(\w+)\"\)", program))
    assert used
    assert used <= set(described)
    for name, setting in described.items():
        assert {"type", "description", "default"} <= set(setting), name


def _is_secret(value: Any) -> bool:
    return isinstance(value, pulumi.Output) or rpc.is_rpc_secret(value)


def _strings(value: Any) -> Iterator[str]:
    """All texts that are not inside of a secret."""
    if _is_secret(value):
        return
    match value:
        case str():
            yield value
        case dict():
            for inner in value.values():
                yield from _strings(inner)
        case list():
            for inner in value:
                yield from _strings(inner)
