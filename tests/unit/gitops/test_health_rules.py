"""Argo CD's health rules over objects as the controller has left them (testdata/)."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from support.argocd import RULES, health
from support.kstatus import Status, kstatus

pytestmark = pytest.mark.unit

CASES = [
    (file.parent.name, case["inputPath"], case["healthStatus"])
    for file in sorted(RULES.glob("*/health_test.yaml"))
    for case in yaml.safe_load(file.read_text())["tests"]
]
MEANS = {
    Status.IN_PROGRESS: {"Progressing", "Suspended"},
    Status.CURRENT: {"Healthy", "Suspended"},
    Status.FAILED: {"Degraded"},
    Status.TERMINATING: {"Progressing"},
}


def load(kind: str, path: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((RULES / kind / path).read_text())
    return loaded


@pytest.mark.parametrize(("kind", "path", "expected"), CASES)
def test_the_rule_says_what_its_test_file_says(kind: str, path: str, expected: dict) -> None:
    assert health(kind, load(kind, path)) == (expected["status"], expected["message"])


@pytest.mark.parametrize(("kind", "path", "expected"), CASES)
def test_argo_cd_and_flux_see_the_same(kind: str, path: str, expected: dict) -> None:
    assert expected["status"] in MEANS[kstatus(load(kind, path))]


def test_every_object_of_the_test_data_is_in_a_test_file() -> None:
    named = {RULES / kind / path for kind, path, _ in CASES}
    assert named == set(RULES.glob("*/testdata/*.yaml"))


def test_a_paused_client_is_suspended_whatever_it_was_before() -> None:
    obj = load("VoiceClient", "testdata/stalled.yaml")
    paused = {"type": "Paused", "status": "True", "reason": "Paused", "message": "Somebody said so"}
    obj["status"]["conditions"].append(paused)
    assert health("VoiceClient", obj) == ("Suspended", "Somebody said so")
    paused["status"] = "False"
    assert health("VoiceClient", obj)[0] == "Degraded"


def test_what_a_vendor_did_not_answer_is_in_progress_though_it_was_ready() -> None:
    obj = load("VoiceClient", "testdata/ready.yaml")
    down = {"type": "Reconciling", "status": "True", "reason": "VendorDown", "message": ""}
    obj["status"]["conditions"].append(down)
    assert health("VoiceClient", obj) == ("Progressing", "VendorDown")
    assert kstatus(obj) == Status.IN_PROGRESS


def test_argocd_cm_names_each_rule() -> None:
    [generator] = yaml.safe_load((RULES.parent / "kustomization.yaml").read_text())[
        "configMapGenerator"
    ]
    named = dict(file.split("=") for file in generator["files"])
    assert named == {
        f"resource.customizations.health.voicefleet.dev_{rule.parent.name}": str(
            rule.relative_to(RULES.parent)
        )
        for rule in RULES.glob("*/health.lua")
    }
