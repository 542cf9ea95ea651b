"""When an onboarding begins, is late, is taken back, and begins afresh."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest

from voicefleet_api.names import ANNOTATION_RECONCILE_AT
from voicefleet_api.voiceclient import (
    Billing,
    Business,
    Onboarding,
    OnboardingStatus,
    VoiceClientSpec,
    VoiceClientStatus,
)
from voicefleet_operator.reconcilers import onboarding as module
from voicefleet_operator.reconcilers.onboarding import milestone

pytestmark = pytest.mark.unit


def spec(activation: Literal["OnPayment", "Immediately"] = "Immediately") -> VoiceClientSpec:
    return VoiceClientSpec(
        business=Business(name="Bright Smile", email="owner@bright.example"),
        profession="dentist",
        plan="Pro",
        billing=Billing(activation=activation),
        onboarding=Onboarding(deadline_seconds=60, on_failure="Rollback"),
    )


def of(status: VoiceClientStatus, wanted: VoiceClientSpec | None = None, **meta: Any) -> Any:
    return module.Onboarding(wanted or spec(), status, {"generation": 1, **meta})


def late(status: VoiceClientStatus) -> OnboardingStatus:
    """Let the deadline pass."""
    assert status.onboarding is not None
    past = datetime.now(UTC) - timedelta(seconds=1)
    status.onboarding.deadline = past.strftime("%Y-%m-%dT%H:%M:%SZ")
    return status.onboarding


@pytest.fixture
def status() -> VoiceClientStatus:
    made = VoiceClientStatus()
    milestone(made, "Accepted")
    return made


def test_the_clock_runs_from_the_start(status: VoiceClientStatus) -> None:
    run = of(status)
    run.enter()
    assert 55 < run.next_look(None) <= 60
    assert run.next_look(5.0) == 5.0
    assert not run.judge(complete=False, trouble=None)
    assert run.judge(complete=True, trouble=None) is False
    assert status.onboarding is not None
    assert status.onboarding.phase == "Complete"
    assert run.next_look(None) is None


def test_a_wait_for_payment_does_not_count(status: VoiceClientStatus) -> None:
    run = of(status, spec("OnPayment"))
    run.enter()
    assert status.onboarding is not None
    assert (status.onboarding.phase, run.next_look(None)) == ("AwaitingPayment", None)
    milestone(status, "Activated")
    run.enter()
    assert status.onboarding.phase == "InProgress"
    assert 55 < run.next_look(None) <= 60


def test_who_was_ready_before_is_complete(status: VoiceClientStatus) -> None:
    milestone(status, "Ready")
    of(status).enter()
    assert status.onboarding is not None
    assert status.onboarding.phase == "Complete"


def test_half_undone_is_undone_whatever_is_edited(status: VoiceClientStatus) -> None:
    run = of(status)
    run.enter()
    late(status)
    assert run.judge(complete=False, trouble=None)
    edited = of(status, generation=2)
    edited.enter()
    assert edited.undoing
    edited.finish_rollback()
    assert status.onboarding is not None
    assert status.onboarding.phase == "RolledBack"
    edited.enter()
    assert not edited.undoing
    assert [entry.milestone for entry in status.timeline] == ["Accepted"]
    assert (status.onboarding.phase, status.onboarding.generation) == ("InProgress", 2)


def test_only_an_edit_or_a_new_annotation_begins_afresh(status: VoiceClientStatus) -> None:
    status.onboarding = OnboardingStatus(phase="RolledBack", generation=1)
    status.last_handled_reconcile_at = "yesterday"
    handled = {ANNOTATION_RECONCILE_AT: "yesterday"}
    for meta in ({}, {"annotations": handled}):
        run = of(status, **meta)
        run.enter()
        assert run.undoing
    run = of(status, annotations={ANNOTATION_RECONCILE_AT: "now"})
    run.enter()
    assert not run.undoing
