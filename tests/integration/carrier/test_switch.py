"""The carrier keeps callers of numbers with instructions, whatever becomes of the legs to us."""

from __future__ import annotations

import wave
from array import array
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from integration.carrier.exchange import (
    FORWARD,
    NO_REPLY_SECONDS,
    OWNER,
    SILENT_SECONDS,
    Exchange,
)
from support.phones import answering
from support.sipp import server
from support.stack import until
from support.tones import loudness, tone
from voicefleet_api.dial import Leg, dial, uri_at
from voicefleet_cli.phone import Call
from voicefleet_operator.planning.ingress import hosted
from voicefleet_portal.voice import REDIALS

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def owner(line: Exchange, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The owner's telephone, which hums."""
    folder = tmp_path_factory.mktemp("owner")
    says = tone(folder / "hello.wav", 900, seconds=60, rate=8000)
    with ExitStack() as stack:
        with line.owner.inside():
            phone = answering(line.owner.address, OWNER, line.edge, folder / "phone", says=says)
            stack.enter_context(phone)
        yield


def instructions(line: Exchange, webhook: str) -> str:
    """As the controller writes them; the number does not matter to the servers here."""
    edges = [f"sip:{host.address}:5060" for host in (line.one, line.two)]
    uris = tuple(uri_at(edge, "+14155550100") for edge in edges)
    return hosted(dial(Leg("vc-aaaaaaaaaa", uris, OWNER), webhook))


def hums(heard: Path, last_seconds: float) -> bool:
    """Whether the owner's phone is what was heard at the end of the call."""
    with wave.open(str(heard)) as sound:
        samples = array("h", sound.readframes(sound.getnframes()))
    return loudness(samples[-int(last_seconds * 8000) :], 900, 8000) > 0.9


def test_a_caller_whose_legs_fall_silent_is_connected_again_and_at_last_with_a_phone(
    line: Exchange, tmp_path: Path, owner: None
) -> None:
    """LiveKit does not answer the webhook, so nobody knows that a call has ended as it should."""
    webhook = line.webhook(tmp_path)
    one = server(line.one, tmp_path / "one")
    number = line.number(voice_url=instructions(line, webhook), fallback=FORWARD)
    heard = tmp_path / "heard.wav"
    legs = 1 + REDIALS
    call = line.call(number, seconds=legs * (SILENT_SECONDS + 1) + 3, record=heard)
    one.stop()
    assert call.answered, call
    assert call.answered_after is not None
    assert call.answered_after < NO_REPLY_SECONDS
    assert (one.got(), one.got("BYE")) == (legs, legs)
    assert hums(heard, last_seconds=1)


def test_who_hangs_up_is_gone_and_nobody_else_is_called(line: Exchange, tmp_path: Path) -> None:
    one = server(line.one, tmp_path / "one")
    number = line.number(voice_url=instructions(line, "http://127.0.0.1:9"), fallback=FORWARD)
    assert line.call(number, seconds=0.5).answered
    until(lambda: one.got("BYE") == 1, "the end of the call does not come through")
    one.stop()
    assert one.got() == 1


def test_a_caller_who_gives_up_is_not_passed_on(line: Exchange, tmp_path: Path) -> None:
    one = server(line.one, tmp_path / "one", "180 Ringing")
    number = line.number(voice_url=instructions(line, "http://127.0.0.1:9"), fallback=FORWARD)
    call = line.call(number, ring_seconds=NO_REPLY_SECONDS)
    assert not call.answered
    assert call.rang_after is not None
    until(lambda: one.got("CANCEL") == 1, "the server still rings")
    one.stop()


def test_where_the_webhook_is_dead_the_carrier_goes_by_itself(
    line: Exchange, tmp_path: Path, owner: None
) -> None:
    """Everything of ours is dead, then. Last: what nobody answers is repeated for half a minute."""
    number = line.number(voice_url=instructions(line, "http://127.0.0.1:9"), fallback=FORWARD)
    heard = tmp_path / "heard.wav"
    call: Call = line.call(number, seconds=2, record=heard)
    assert call.answered, call
    assert call.answered_after is not None
    assert NO_REPLY_SECONDS * 0.9 < call.answered_after < NO_REPLY_SECONDS + 2
    assert hums(heard, last_seconds=1)
