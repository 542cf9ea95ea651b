"""Everything of ours is dead; what is hosted at the carrier still rings the owner's phone.

The tests run in this order: the last one kills the platform.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.phones import answering
from support.stack import Stack, client, until
from support.tones import tone
from voicefleet_cli.phone import dial
from voicefleet_infra import services
from voicefleet_infra.edge import phone_line
from voicefleet_infra.services import Service
from voicefleet_infra.tools import binary

pytestmark = pytest.mark.integration

OWNER = "+14155550199"
CARRIERS = ("sandbox", "carrier")


class Line(Stack):
    """The platform with its phone line."""

    def _services(self) -> list[Service]:
        own = [*phone_line(self.platform), services.carrier(self.platform)]
        return [*super()._services(), *own]

    def die(self) -> None:
        """Kill everything but the carrier."""
        self.stop_operator()
        for name in self.pids.keys() - set(CARRIERS):
            # Each is the leader of a group: kamailio is several processes.
            os.killpg(self.pids[name], signal.SIGKILL)


@pytest.fixture(scope="module")
def stack(programs: None) -> Iterator[Line]:
    if not binary("livekit-sip").exists():
        pytest.skip("livekit-sip is not built: make provision")
    with Line() as running:
        if running.platform.address == "127.0.0.1":
            pytest.skip(
                "baresip does not call from loopback, and this machine has no other address"
            )
        running.start_operator()
        yield running


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
    assert call.answered_after < 6
