"""The home lab for real: Pulumi's engine, its state on disk, Podman, a client that answers.

Each test finds the lab up and leaves it so, but for the last.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from pulumi import automation

import run
from support.controlplane import ROOT, kubectl_program
from support.podman import podman, sweep, things
from support.ports import free_platform
from support.stack import client, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

STACK = "trial"
PREFIX = f"voicefleet-{STACK}"
CLIENT = "pipeworks"


@dataclass
class Lab:
    """The stack, and what it should be."""

    stack: automation.Stack
    settings: Path
    """The stack's file."""
    kubeconfig: Path = Path()
    client_id: str = ""

    def up(self) -> dict[str, int]:
        """Bring it up as it is configured; how many resources were treated how."""
        done = self.stack.up(on_output=print)
        self.kubeconfig = Path(done.outputs["kubeconfig"].value)
        return dict(done.summary.resource_changes or {})

    def set(self, key: str, value: Any) -> None:
        """Change a setting."""
        known = yaml.safe_load(self.settings.read_text())
        known["config"][f"voicefleet:{key}"] = value
        self.settings.write_text(yaml.safe_dump(known))

    def drift(self) -> dict[str, int]:
        """What a refresh finds otherwise than it was left: operation -> how many."""
        found = dict(self.stack.refresh(on_output=print).summary.resource_changes or {})
        found.pop("same", None)
        return found

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """Run it on the lab's API server."""
        command = [kubectl_program(), f"--kubeconfig={self.kubeconfig}", *words]
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, check=True
        ).stdout

    def voicefleet(self, *words: str) -> str:
        """Our command line, on the lab's folder."""
        program = Path(sys.executable).with_name("voicefleet")
        command = [program, *words, f"--home={self.settings.parent / 'lab'}"]
        environment = os.environ | {"KUBECONFIG": str(self.kubeconfig)}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def call(self) -> str:
        """Ring the client, hear who answers, hang up; fails where nobody does. Says how it was."""
        number = self.stack.outputs()["numbers"].value[CLIENT]
        return self.voicefleet("call", number, "--seconds=4")

    def client_runs(self) -> bool:
        """Whether the operator has started the client's pod."""
        listed = json.loads(podman("pod", "ps", "--format", "json"))
        return (f"vf-{self.client_id}", "Running") in [(p["Name"], p["Status"]) for p in listed]

    def things(self) -> dict[str, list[str]]:
        """What Podman has of the lab and of its client, by kind."""
        return things(*self.names())

    def names(self) -> tuple[str, str]:
        """What the names of its things begin with."""
        return PREFIX, f"vf-{self.client_id or 'none'}"


@pytest.fixture(scope="module")
def lab(
    podman_socket: Path, agent_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    # The project file as it is, so that its settings' types and defaults are those that are tried.
    shutil.copy(ROOT / "Pulumi.yaml", folder)
    (folder / "stacks").symlink_to(ROOT / "stacks")
    (folder / "state").mkdir()
    settings = {
        "target": "homelab",
        "home": str(folder / "lab"),
        "basePort": free_platform(folder / "lab").base_port,
        "podmanSocket": str(podman_socket),
        "agentImage": agent_image,
        "clients": [{"name": CLIENT, "spec": client(CLIENT)["spec"]}],
    }
    file = folder / f"Pulumi.{STACK}.yaml"
    file.write_text(yaml.safe_dump({"config": {f"voicefleet:{k}": settings[k] for k in settings}}))
    environment = {
        "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
        "PULUMI_CONFIG_PASSPHRASE": "not a secret",
        "PULUMI_HOME": str(folder / "home"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    made = Lab(run.select(STACK, folder, environment), file)
    try:
        made.up()
        made.client_id = made.kubectl("get", "vc", CLIENT, "-o", "jsonpath={.status.clientID}")
        yield made
    finally:
        try:
            if made.things():
                made.stack.destroy(on_output=print)
        finally:
            sweep(*made.names())


def test_every_pod_runs_and_a_client_answers(lab: Lab) -> None:
    lab.kubectl("wait", "--for=condition=Answering", f"vc/{CLIENT}", "--timeout=120s")
    states = json.loads(podman("pod", "ps", "--format", "json"))
    running = {pod["Name"]: pod["Status"] for pod in states if pod["Name"].startswith(PREFIX)}
    assert set(running) == {
        f"{PREFIX}-{part}"
        for part in (
            "control-plane", "redis", "livekit", "agent-gateway", "dns", "sandbox", "models",
            "portal", "overflow", "operator",
        )
    }  # fmt: skip
    assert set(running.values()) == {"Running"}
    assert f"vf-{lab.client_id}" in lab.things()["pod"]
    assert "answered" in lab.call()


def test_another_agent_takes_the_call_where_the_clients_own_does_not(lab: Lab) -> None:
    podman("pod", "pause", f"vf-{lab.client_id}")
    try:
        assert "answered" in lab.call()
    finally:
        podman("pod", "unpause", f"vf-{lab.client_id}")
    # Both calls come to be in the portal.
    until(
        lambda: len(json.loads(lab.voicefleet("calls", CLIENT, "--output=json"))) == 2, "no records"
    )


def test_nothing_secret_stands_in_the_state_in_clear(lab: Lab) -> None:
    home = lab.settings.parent / "lab"
    secrets = [file.read_text() for file in (home / "secrets").iterdir() if file.name != "mail"]
    state = [f.read_text() for f in (lab.settings.parent / "state").rglob("*") if f.is_file()]
    assert any(f"{PREFIX}-operator" in text for text in state)
    assert len(secrets) > 3
    assert not [secret for secret in secrets for text in state if secret in text]


def test_one_change_is_one_change(lab: Lab) -> None:
    lab.set("memoryMiB", {"dns": 160})
    foreseen = lab.stack.preview(on_output=print).change_summary
    changed = lab.up()
    assert {op: count for op, count in foreseen.items() if op != "same"} == {"update": 1}
    assert {op: count for op, count in changed.items() if op != "same"} == {"update": 1}
    inspected = json.loads(podman("container", "inspect", f"{PREFIX}-dns-knot"))
    assert inspected[0]["HostConfig"]["Memory"] == 160 << 20


def test_what_is_changed_behind_its_back_is_found_and_mended(lab: Lab) -> None:
    assert lab.drift() == {}
    podman("stop", f"{PREFIX}-dns-knot")
    cap = {"op": "replace", "path": "/spec/telephony/accounts/0/monthlySpendingCapMinor"}
    patch = json.dumps([cap | {"value": 1}])
    lab.kubectl("patch", "fleet", "default", "--type=json", "-p", patch)
    assert lab.drift() == {"update": 2}
    lab.up()
    assert lab.drift() == {}


def test_after_a_reboot_the_unit_brings_everything_back(lab: Lab) -> None:
    unit = lab.stack.outputs()["unit"].value
    commands = [line.split("=", 1) for line in unit.splitlines() if line.startswith("Exec")]
    for when in ("ExecStop", "ExecStart"):
        for command in (words.split() for key, words in commands if key == when):
            subprocess.run(command, check=True, capture_output=True)
        if when == "ExecStop":
            # Not before: a running operator would start it again.
            podman("pod", "stop", f"vf-{lab.client_id}")
    until(lab.client_runs, "the client's pod is not running again", seconds=120)
    assert lab.drift() == {}


def test_it_cannot_be_taken_down_under_a_client(lab: Lab) -> None:
    # By hand, so Pulumi does not know of it.
    other = client("other")
    lab.kubectl("apply", "-f", "-", stdin=json.dumps(other))
    with pytest.raises(automation.CommandError, match="default/other"):
        lab.stack.destroy(on_output=print)
    assert f"{PREFIX}-operator" in lab.things()["pod"]
    lab.kubectl("delete", "vc", "other", "--timeout=90s")
    lab.up()


def test_taken_down_it_leaves_nothing(lab: Lab) -> None:
    lab.client_id = lab.kubectl("get", "vc", CLIENT, "-o", "jsonpath={.status.clientID}")
    assert set(lab.things()) == {"pod", "network", "volume", "secret"}
    lab.stack.destroy(on_output=print)
    assert lab.things() == {}
