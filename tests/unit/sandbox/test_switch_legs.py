"""When a leg is over, and whose sound is passed on."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from sippy.CCEvents import CCEventDisconnect, CCEventRing

from simulator.clock import virtual_time
from voicefleet_sandbox.carrier.switch import _Call, _Side

pytestmark = pytest.mark.unit

LEG, STRANGER = ("192.0.2.1", 4000), ("192.0.2.9", 4000)


class Sent(list[tuple[bytes, tuple[str, int]]]):
    """What has gone out."""

    def sendto(self, data: bytes, to: tuple[str, int]) -> None:
        self.append((data, to))


def test_sound_is_passed_on_from_the_leg_alone() -> None:
    caller, callee, sent = _Side(), _Side(), Sent()
    callee.other, caller.transport = caller, sent
    caller.peer = ("192.0.2.7", 4000)
    callee.peer = LEG
    callee.datagram_received(b"theirs", STRANGER)
    assert (sent, callee.heard) == ([], 0.0)
    callee.datagram_received(b"ours", LEG)
    assert sent == [(b"ours", caller.peer)]
    assert callee.heard > 0


def over(*events: tuple[float, str, Any], ring_seconds: float) -> tuple[str | None, float]:
    """How a leg ends to which this happens, and when."""

    async def leg() -> tuple[str | None, float]:
        caller, callee = object(), object()
        call: Any = SimpleNamespace(
            _events=asyncio.Queue(), caller=caller, _answered=False,
            _options=SimpleNamespace(silent_seconds=5.0, no_reply_seconds=4.0),
            _tell=lambda *_: None,
        )  # fmt: skip
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for at, who, event in events:
            ua = caller if who == "caller" else callee
            loop.call_later(at, call._events.put_nowait, (ua, event))
        clock = SimpleNamespace(monotonic=loop.time)
        with mock.patch("voicefleet_sandbox.carrier.switch.time", clock):
            async with asyncio.timeout(60):
                status = await _Call._until_over(call, callee, begun, ring_seconds)
        return status, round(loop.time() - begun, 3)

    with virtual_time() as runner:
        return runner.run(leg())


RINGS = (1.0, "callee", CCEventRing((180, "Ringing", None)))


def test_a_leg_rings_for_so_long_and_no_longer() -> None:
    status, after = over(RINGS, ring_seconds=15)
    assert status == "no-answer"
    assert 15 <= after <= 16


def test_a_caller_who_leaves_while_it_rings_is_noticed_at_once() -> None:
    assert over(RINGS, (2.2, "caller", CCEventDisconnect()), ring_seconds=15) == (None, 2.2)


def test_a_leg_that_does_not_even_ring_is_given_up() -> None:
    status, after = over(ring_seconds=15)
    assert status == "failed"
    assert 4 <= after <= 5
