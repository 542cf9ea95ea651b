"""The home lab's stacks that come along with the project: one an environment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import homelab
from support.declared import Declared, declare
from voicefleet_api.fleet import FleetSpec
from voicefleet_infra import edge as edges
from voicefleet_infra import services

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("thread_event_loop")]

ROOT = Path(__file__).parents[3]
DESCRIBED: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
STACKS = ("homelab", "homelab-staging", "homelab-production")


@pytest.fixture
def stack(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Declared:
    """What is declared by `Pulumi.<name>.yaml`; nothing is installed or built."""
    given = yaml.safe_load((ROOT / f"Pulumi.{request.param}.yaml").read_text())["config"]
    for name in ("install_packages", "build_go_programs", "remember"):
        monkeypatch.setattr(homelab, name, lambda *_: None)
    for name in ("build_image", "build_platform_image"):
        monkeypatch.setattr(homelab, name, lambda *_: "built:1")
    for module in (services, edges):
        monkeypatch.setattr(module, "program", "/usr/bin/{}".format)
    # The engine fills in defaults; its stand-in does not.
    defaults = {f"voicefleet:{name}": each["default"] for name, each in DESCRIBED.items()}
    config = defaults | given | {"voicefleet:home": str(tmp_path / "lab")}
    return declare(
        homelab.program,
        {k: each if isinstance(each, str) else json.dumps(each) for k, each in config.items()},
        outputs={
            "pulumi-python:dynamic/podman:Secret": lambda name: {"version": f"1 of {name}"},
            "pulumi-python:dynamic/kubernetes:AccountKubeconfig": lambda _: {"content": "it"},
        },
    )


@pytest.mark.parametrize("name", STACKS)
def test_every_setting_is_one_that_is_described(name: str) -> None:
    given = yaml.safe_load((ROOT / f"Pulumi.{name}.yaml").read_text())["config"]
    kinds = {"string": str, "integer": int, "boolean": bool, "object": dict, "array": list}
    for key, value in given.items():
        described = DESCRIBED[key.removeprefix("voicefleet:")]
        assert isinstance(value, kinds[described["type"]]), key


@pytest.mark.parametrize(
    ("stack", "level", "model", "mode"),
    [
        ("homelab", "INFO", None, "Sandbox"),
        ("homelab-staging", "INFO", "llama3:8b", "Sandbox"),
        ("homelab-production", "WARNING", "llama3:8b", "Live"),
    ],
    indirect=["stack"],
)
def test_environments_differ_in_what_the_seed_says(
    stack: Declared, level: str, model: str | None, mode: str
) -> None:
    pods = {each.name.partition("-")[2]: each for each in stack.of("podman:Pod")}
    (operator,) = next(pod for name, pod in pods.items() if name.endswith("operator")).inputs[
        "containers"
    ]
    assert operator["environment"]["VOICEFLEET_LOG_LEVEL"] == level
    pulled = [
        container["command"][-1]
        for pod in pods.values()
        for container in pod.inputs["containers"]
        if container["command"][-2:-1] == ["pull"]
    ]
    assert pulled == ([model] if model else [])
    (fleet,) = stack.one("kubernetes:Manifest", "fleet").inputs["objects"]
    spec = FleetSpec.model_validate(fleet["spec"])
    assert spec.billing is not None
    assert spec.telephony is not None
    accounts = [*spec.billing.accounts, *spec.telephony.accounts]
    assert {account.mode for account in accounts} == {mode}
    assert (spec.sandbox is not None) is (mode == "Sandbox")
    assert any(name.endswith("sandbox") for name in pods) is (mode == "Sandbox")
