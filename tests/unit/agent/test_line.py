"""What is made of WebRTC's statistics."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any
from unittest import mock

import pytest
from livekit import rtc

from simulator.clock import virtual_time
from voicefleet_agent import line
from voicefleet_api.calls import CallQuality
from voicefleet_api.quality import mos

pytestmark = pytest.mark.unit


def came(kind: str = "audio", **changes: Any) -> Any:
    """What the agent's end says of the caller's sound: 100 s, a little of it lost and made up."""
    stats = rtc.stats.RtcStats()
    inbound = stats.inbound_rtp
    inbound.stream.kind = kind
    inbound.received.packets_received = changes.get("packets", 4950)
    inbound.received.packets_lost = changes.get("lost", 50)
    inbound.received.jitter = 0.012
    inbound.inbound.total_samples_received = changes.get("samples", 4_800_000)
    inbound.inbound.concealed_samples = 144_000
    inbound.inbound.silent_concealed_samples = 48_000
    inbound.inbound.jitter_buffer_delay = 288_000.0
    inbound.inbound.jitter_buffer_emitted_count = 4_800_000
    return stats


def sent() -> Any:
    """What LiveKit's end says of the agent's sound."""
    stats = rtc.stats.RtcStats()
    remote = stats.remote_inbound_rtp
    remote.stream.kind = "audio"
    remote.received.packets_received = 990
    remote.received.packets_lost = 10
    remote.remote_inbound.round_trip_time = 0.04
    return stats


STEADY = rtc.RtcStats([], [came()])


def test_all_of_it_is_taken() -> None:
    # 60 ms in the buffer, half of 40 ms on the way, and 60 ms in LiveKit SIP.
    assert line.judge(rtc.RtcStats([sent()], [came("video"), came()])) == CallQuality(
        lost_percent=1.0,
        sent_lost_percent=1.0,
        concealed_percent=2.0,
        jitter_ms=12.0,
        round_trip_ms=40.0,
        mos=mos(2.0, 140),
    )


def test_what_nobody_has_said_yet_is_not_known() -> None:
    assert line.judge(rtc.RtcStats([], [])) is None
    assert line.judge(rtc.RtcStats([sent()], [came(samples=0)])) is None
    alone = line.judge(rtc.RtcStats([], [came(lost=-3)]))
    assert alone is not None
    assert (alone.round_trip_ms, alone.sent_lost_percent, alone.lost_percent) == (None, 0, 0)


class Room:
    """Says one after the other, then that all is as before; an error is raised, None takes long."""

    def __init__(self, *says: rtc.RtcStats | Exception | None) -> None:
        self._says = [*says]

    async def get_rtc_stats(self) -> rtc.RtcStats:
        found = self._says.pop(0) if len(self._says) > 1 else self._says[0]
        if isinstance(found, Exception):
            raise found
        return found or await asyncio.sleep(3600, rtc.RtcStats([], []))


def watched(seconds: float, *says: rtc.RtcStats | Exception | None) -> tuple[list[Any], list[Any]]:
    """What is told in so many seconds: how the line is, and for how long nothing has come."""
    told: list[CallQuality] = []
    silent: list[float] = []

    async def whole() -> None:
        room: Any = Room(*says)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await line.watch(room, told.append, silent.append)

    with virtual_time() as runner, mock.patch.object(time, "monotonic", runner.get_loop().time):
        runner.run(whole())
    return told, silent


def test_a_look_that_fails_is_none() -> None:
    told, silent = watched(5.5, RuntimeError("the room isn't connected"), None, STEADY)
    assert len(told) == len(silent) == 1


def test_a_telephone_that_sends_is_not_silent() -> None:
    sends = [rtc.RtcStats([], [came(packets=50 * second)]) for second in range(1, 11)]
    _, silent = watched(10.5, *sends)
    assert silent == [0] * 10


def test_for_how_long_nothing_has_come_is_told() -> None:
    _, silent = watched(4.5, rtc.RtcStats([came(packets=7)], []), STEADY)
    assert silent == [0, 0, 1, 2]


def test_who_has_not_been_heard_yet_is_not_silent() -> None:
    assert watched(20, rtc.RtcStats([], [came(samples=0)])) == ([], [])
