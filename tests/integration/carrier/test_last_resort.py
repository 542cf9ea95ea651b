"""Everything of ours is dead; what is hosted at the carrier still rings the owner's phone.

The tests run in this order: the last one kills the platform.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from integration.carrier.exchange import Line
from support.phones import answering
from support.stack import client, until
from support.tones import tone
from voicefleet_cli.phone import dial

pytestmark = pytest.mark.integration

OWNER = "+14155550199"


def test_the_last_resort_is_put_back_where_somebody_took_it_away(stack: Line) -> None:
    stack.apply(client("robbed", telephony={"fallback": {"forwardTo": OWNER}}))
    number = stack.wait("robbed", "Answering")["status"]["primaryNumber"]

    def route() -> Any:
        return stack.sandbox.get("/_sandbox/route", params={"number": number}).json()

    assert route()["forwardTo"] == OWNER
    taken = httpx.post(
        f"{stack.platform.sandbox_url}/twilio/trunking/v1/Trunks/{route()['trunkSid']}",
        data={"DisasterRecoveryUrl": ""},
        auth=(route()["accountSid"], stack.platform.secret("twilio-token")),
    )
    assert taken.is_success
    assert route()["forwardTo"] is None
    stack.kubectl("annotate", "vc", "robbed", "voicefleet.dev/reconcile-at=now")
    until(lambda: route()["forwardTo"] == OWNER, "the last resort stays away")


def test_the_owners_phone_rings_when_all_of_ours_is_dead(stack: Line, tmp_path: Path) -> None:
    stack.apply(client("bereft", telephony={"fallback": {"forwardTo": OWNER}}))
    number = stack.wait("bereft", "Answering")["status"]["primaryNumber"]
    address = stack.platform.address
    edge = f"{address}:{stack.platform.port('carrier')}"
    says = tone(tmp_path / "hello.wav", 900, seconds=60, rate=8000)
    with answering(address, OWNER, edge, tmp_path / "owner", says=says):
        stack.die()
        call = dial(f"sip:{number}@{edge}", caller="+15005550006", address=address, seconds=1)
    assert call.answered, call
    assert call.answered_after is not None
    # Not after the 32 s of SIP (RFC 3261, timer B).
    assert call.answered_after < 15
