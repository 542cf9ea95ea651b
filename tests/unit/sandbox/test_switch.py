"""What a leg that did not come about is called in Twilio's words."""

from __future__ import annotations

import pytest

from voicefleet_sandbox.carrier.switch import dial_call_status

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (486, "busy"),
        (603, "busy"),
        (408, "no-answer"),
        (480, "no-answer"),
        (404, "failed"),
        (503, "failed"),
    ],
)
def test_a_refusal_by_sip_is_one_of_twilios_statuses(code: int, status: str) -> None:
    """https://www.twilio.com/docs/voice/twiml/dial#dialcallstatus-values"""
    assert dial_call_status(code) == status
