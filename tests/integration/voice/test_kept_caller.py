"""`ingress: ProgrammableVoice`, by telephone: the SIP bridge dies, the caller stays on the line.

The carrier is the sandbox's, the webhook, the bridge, LiveKit and the agent are real.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest

from support.rescue import BOOKING, Phone, phone, samples
from support.switchboard import CLIENT_ID, Switchboard
from voicefleet_api.dial import Leg, dial, uri_at
from voicefleet_infra import services
from voicefleet_infra.carrier import carrier, switch, twilio_account, voice
from voicefleet_operator.planning.ingress import hosted

pytestmark = pytest.mark.integration

LIMIT = 12.0
"""Seconds: 5 until the carrier has noticed, 1 of the webhook's, and a new call."""
CUT_OFF = "We were cut off. Let's go on from there."


class Carrier(Switchboard):
    """With the sandbox's carrier, and the webhook that it asks."""

    make: ClassVar = {
        **Switchboard.make, "sandbox": services.sandbox, "carrier": carrier, "switch": switch,
        "voice": voice,
    }  # fmt: skip

    def buy(self) -> str:
        """A number whose instructions lead to the bridge, as the controller writes them."""
        sid, token = twilio_account(self.platform)
        numbers = (
            f"{self.platform.sandbox_url}/twilio/api/2010-04-01/Accounts/{sid}/IncomingPhoneNumbers"
        )
        auth = (sid, token)
        bought = httpx.post(f"{numbers}.json", data={"AreaCode": "415"}, auth=auth).json()
        number: str = bought["phone_number"]
        edge = f"sip:{self.platform.address}:{self.platform.port('sip')}"
        leg = Leg(CLIENT_ID, (uri_at(edge, number),), None)
        form = {"VoiceUrl": hosted(dial(leg, self.platform.voice_url))}
        done = httpx.post(f"{numbers}/{bought['sid']}.json", data=form, auth=auth)
        assert done.is_success, done.text
        return number


@pytest.fixture(scope="module")
def livekit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carrier]:
    if not shutil.which("kamailio", path="/usr/sbin:/usr/bin"):
        pytest.skip("kamailio is not installed: make provision")
    with Carrier(tmp_path_factory.mktemp("sip")) as running:
        yield running


@pytest.fixture
async def caller(
    livekit: Carrier, agent: Any, voice: Callable[[str], Path]
) -> AsyncIterator[Phone]:
    speech = samples(voice("That is fine."))
    async with phone(livekit, agent, speech, livekit.buy(), "carrier") as made:
        yield made


def said(record: dict[str, Any]) -> list[str]:
    return [turn["text"] for turn in record["transcript"] if turn["speaker"] == "Agent"]


async def test_the_caller_stays_on_the_line_and_is_taken_up(
    caller: Phone, livekit: Carrier
) -> None:
    """And after goodbye nobody is called again."""
    await caller.ring(caller.number)
    await caller.says(*BOOKING[:4])
    livekit.kill("livekit-sip")
    caller.kills.append(caller.line.now)
    livekit.start("livekit-sip")
    await caller.quiet()
    await caller.says(*BOOKING[4:], "Yes, please.", "No, that's all, thank you.")
    await caller.until(lambda: caller.line.gone, "BYE")
    assert caller.line.requests == ["INVITE", "ACK", "BYE"]
    [silence] = caller.silences()
    print(f"{silence:.1f} s from the loss to the next sound")
    assert silence < LIMIT
    await caller.until(lambda: len(caller.records()) == 2, "two records")
    first, second = caller.records()
    if said(first)[0] == CUT_OFF:
        first, second = second, first
    assert first["ended"] == "went on in another call"
    assert said(second)[:2] == [CUT_OFF, "And the patient's date of birth?"]
    assert (second["ended"], second["outcome"]) == ("caller said goodbye", "Booked")
    assert len(caller.events()) == 1
