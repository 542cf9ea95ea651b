"""What is made of WebRTC's statistics."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from livekit import rtc

from voicefleet_agent import line
from voicefleet_api.calls import CallQuality
from voicefleet_api.quality import mos

pytestmark = pytest.mark.unit


def came(kind: str = "audio", **changes: Any) -> Any:
    """What the agent's end says of the caller's sound: 100 s, a little of it lost and made up."""
    stats = rtc.stats.RtcStats()
    inbound = stats.inbound_rtp
    inbound.stream.kind = kind
    inbound.received.packets_received = 4950
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


async def test_a_look_that_fails_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(line, "TIMEOUT", 0.01)
    told: list[CallQuality] = []

    class Room:
        looks = 0

        async def get_rtc_stats(self) -> rtc.RtcStats:
            self.looks += 1
            if self.looks == 1:
                raise RuntimeError("the room isn't connected")
            if self.looks == 2:
                await asyncio.sleep(10)
            return rtc.RtcStats([], [came()])

    room: Any = Room()
    watching = asyncio.create_task(line.watch(room, told.append))
    async with asyncio.timeout(5):
        while not told:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    watching.cancel()
    assert room.looks >= 3
