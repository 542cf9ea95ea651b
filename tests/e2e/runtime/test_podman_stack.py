"""Podman's resources under Pulumi's real engine: made, changed, drifted, mended, gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pulumi
import pytest
import yaml
from pulumi import automation

import run
from support.controlplane import ROOT
from support.podman import podman, sweep, things
from voicefleet_infra.components.podman import (
    Container,
    Mount,
    Network,
    Pod,
    Port,
    Secret,
    SecretFile,
    Volume,
)

pytestmark = pytest.mark.e2e

HUSH = "nobody may read this"
PREFIX = "stacked-"
PORT = 28192
WEB = ["/usr/bin/python3.11", "-m", "http.server", "8080"]


class Program:
    """A pod with a secret, on a network of its own; its limit may be changed."""

    def __init__(self, socket: str, image: str) -> None:
        self.memory_mib = 128
        self._socket, self._image = socket, image

    def __call__(self) -> None:
        settings = pulumi.Config()
        # Pulumi.yaml's types and defaults.
        assert settings.require_int("basePort") == 16000
        assert settings.get_object("clients") == []
        assert settings.require_bool("models")
        options = pulumi.ResourceOptions()
        network = Network("stacked-net", self._socket, options)
        volume = Volume("stacked-data", self._socket, options)
        secret = Secret("stacked-key", HUSH, self._socket, options)
        web = Container(
            "web",
            self._image,
            WEB,
            self.memory_mib,
            secrets=[SecretFile(secret, "/etc/key")],
            mounts=[Mount(volume.name, "/data")],
        )
        Pod(
            "stacked-pod",
            [web],
            self._socket,
            options,
            network=network.name,
            ports=[Port(8080, PORT)],
            ready=[f"127.0.0.1:{PORT}"],
        )


@pytest.fixture
def program(podman_socket: Path, agent_image: str) -> Program:
    return Program(str(podman_socket), agent_image)


@pytest.fixture
def stack(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[automation.Stack]:
    monkeypatch.setattr(run, "program", program)
    (tmp_path / "Pulumi.yaml").symlink_to(ROOT / "Pulumi.yaml")
    (tmp_path / "stacks").symlink_to(ROOT / "stacks")
    (tmp_path / "Pulumi.trial.yaml").write_text(yaml.safe_dump({"config": {}}))
    (tmp_path / "state").mkdir()
    environment = {
        "PULUMI_BACKEND_URL": f"file://{tmp_path / 'state'}",
        "PULUMI_CONFIG_PASSPHRASE": "not a secret",
        "PULUMI_HOME": str(tmp_path / "home"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    made = run.select("trial", tmp_path, environment)
    try:
        yield made
        if things(PREFIX):
            made.destroy()
    finally:
        sweep(PREFIX)


def _changes(result: automation.UpResult | automation.RefreshResult) -> dict[str, int]:
    found = dict(result.summary.resource_changes or {})
    found.pop("same", None)
    return found


def test_a_stack_is_made_changed_mended_and_leaves_nothing(
    stack: automation.Stack, program: Program, tmp_path: Path
) -> None:
    assert _changes(stack.up()) == {"create": 5}
    written = [file.read_text() for file in (tmp_path / "state").rglob("*") if file.is_file()]
    assert any("stacked-key" in text for text in written)
    assert not any(HUSH in text for text in written)
    assert _changes(stack.refresh()) == {}

    program.memory_mib = 99
    assert _changes(stack.up()) == {"update": 1}

    podman("stop", "--time=1", "stacked-pod-web")
    podman("secret", "rm", "stacked-key")
    assert _changes(stack.refresh()) == {"update": 1, "delete": 1}
    assert _changes(stack.up()) == {"create": 1, "update": 1}
    assert _changes(stack.refresh()) == {}

    stack.destroy()
    assert things(PREFIX) == {}
