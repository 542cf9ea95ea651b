"""How the caller's line is, by WebRTC's statistics (W3C webrtc-stats)."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

from livekit import rtc

from voicefleet_api.calls import CallQuality
from voicefleet_api.quality import mos

LOOK_SECONDS = 1.0
"""Between two looks: as much of the end of a call is missing at most."""
TIMEOUT = 2.0
BRIDGE_MS = 60.0
"""LiveKit SIP's mixer holds so much, and a packet is 20 ms: what the line takes beside the rest."""


async def watch(
    room: rtc.Room, tell: Callable[[CallQuality], None], silent: Callable[[float], None]
) -> None:
    """Look at the line until cancelled: `tell` how it is, and for how many seconds no packet has
    come. A telephone sends all the time, also silence."""
    count, since = 0, time.monotonic()
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        # Not connected just now, or too busy to say: the last look stands.
        with contextlib.suppress(RuntimeError, TimeoutError):
            async with asyncio.timeout(TIMEOUT):
                stats = await room.get_rtc_stats()
            if (quality := judge(stats)) is not None:
                tell(quality)
                came = sum(one.received.packets_received for one in _audio(stats, "inbound_rtp"))
                if came != count:
                    count, since = came, time.monotonic()
                silent(time.monotonic() - since)


def judge(stats: rtc.RtcStats) -> CallQuality | None:
    """None while no sound of the caller's has come."""
    came, sent = _audio(stats, "inbound_rtp"), _audio(stats, "remote_inbound_rtp")
    samples = sum(one.inbound.total_samples_received for one in came)
    if not samples:
        return None
    trip = max((one.remote_inbound.round_trip_time for one in sent), default=None)
    held = sum(one.inbound.jitter_buffer_delay for one in came)
    emitted = sum(one.inbound.jitter_buffer_emitted_count for one in came)
    late = 1000 * (held / max(emitted, 1) + (trip or 0) / 2) + BRIDGE_MS
    # Silence that is made up is no loss: nobody spoke.
    made_up = sum(
        one.inbound.concealed_samples - one.inbound.silent_concealed_samples for one in came
    )
    concealed = round(100 * made_up / samples, 2)
    return CallQuality(
        lost_percent=_lost(came),
        sent_lost_percent=_lost(sent),
        concealed_percent=concealed,
        jitter_ms=round(1000 * max(one.received.jitter for one in came), 1),
        round_trip_ms=None if trip is None else round(1000 * trip, 1),
        mos=mos(concealed, late),
    )


def _audio(stats: rtc.RtcStats, kind: Literal["inbound_rtp", "remote_inbound_rtp"]) -> list[Any]:
    """Those of that kind (each is a protocol buffer's union) that are of sound."""
    # One connection may serve both directions.
    both = [*stats.subscriber_stats, *stats.publisher_stats]
    found = [getattr(each, kind) for each in both if each.HasField(kind)]
    return [one for one in found if one.stream.kind == "audio"]


def _lost(streams: Sequence[Any]) -> float:
    """Percent of the packets; a duplicate can make the count of lost ones negative (RFC 3550)."""
    lost: int = sum(max(0, one.received.packets_lost) for one in streams)
    whole: int = lost + sum(one.received.packets_received for one in streams)
    return round(100 * lost / max(whole, 1), 2)
