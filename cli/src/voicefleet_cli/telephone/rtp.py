"""A telephone's sound in packets of 20 ms (RFC 3550; G.711 µ-law), and how well they come."""

from __future__ import annotations

import itertools
import struct
from bisect import bisect
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from voicefleet_cli.telephone.signalling import PCMU, RATE

SAMPLES = RATE // 50
SECONDS = SAMPLES / RATE
LATE = 0.06
"""Seconds behind the quickest: a telephone whose buffer is as long has played something else."""
_ADAPTED = 2.0
"""Seconds after which a buffer goes by what the line has become."""
PAUSE = 10
"""Packets without a sound that are a pause; fewer are a hole in it."""
_LOUD, _LOUD_SAMPLES = 0.008, 16
"""Of full scale (-42 dB); in so many samples of a packet it sounds."""
_HEADER = struct.Struct("!BBHII")


def _level(coded: int) -> float:
    """One sample of µ-law (ITU-T G.711, table 2a), -1 to 1."""
    value = ~coded & 0xFF
    magnitude = (((value & 0x0F) << 1) + 33 << (value >> 4 & 7)) - 33
    return (-magnitude if value & 0x80 else magnitude) / 8159


_LEVELS = sorted((_level(coded), coded) for coded in range(256))
_IS_LOUD = bytes(abs(_level(coded)) > _LOUD for coded in range(256))
SILENCE = b"\xff" * SAMPLES


def coded(samples: Iterable[int]) -> list[bytes]:
    """16-bit samples at `RATE` as packets' sound; the last one is filled up with silence."""
    halfway = [(one[0] + next_[0]) / 2 for one, next_ in itertools.pairwise(_LEVELS)]
    whole = bytes(_LEVELS[bisect(halfway, sample / 32768)][1] for sample in samples)
    pieces = [whole[at : at + SAMPLES] for at in range(0, len(whole), SAMPLES)]
    return [piece.ljust(SAMPLES, SILENCE[:1]) for piece in pieces]


class Packet(NamedTuple):
    """One that came."""

    came: float
    """Seconds, by any clock."""
    sequence: int
    timestamp: int
    loud: bool
    """It has a sound."""


def written(number: int, source: int, sound: bytes) -> bytes:
    """The `number`-th packet of a stream."""
    return _HEADER.pack(0x80, PCMU, number & 0xFFFF, number * SAMPLES & 0xFFFFFFFF, source) + sound


def read(data: bytes, came: float) -> Packet | None:
    """None for what is no packet of sound."""
    if len(data) <= _HEADER.size:
        return None
    flags, kind, sequence, timestamp, _ = _HEADER.unpack_from(data)
    if flags >> 6 != 2 or kind & 0x7F != PCMU:
        return None
    sound = data[_HEADER.size + 4 * (flags & 0x0F) :]
    return Packet(came, sequence, timestamp, sound.translate(_IS_LOUD).count(1) >= _LOUD_SAMPLES)


class Reception(NamedTuple):
    """How well a stream came; shares are 0 to 1."""

    packets: int
    lost: float
    late: float
    """Came, but too late to be played (`LATE`)."""
    jitter: float
    """Seconds (RFC 3550, 6.4.1), its mean."""
    broken: float
    """Of what should have sounded: packets that were missing or silent between such as sounded."""


def judge(packets: Sequence[Packet]) -> Reception:
    """Those of one stream, in the order in which they came; where none did, all are lost."""
    if not packets:
        return Reception(0, 1, 0, 0, 0)
    numbers = _counted([packet.sequence for packet in packets], 16)
    times = [ticks / RATE for ticks in _counted([packet.timestamp for packet in packets], 32)]
    behind = [packet.came - time for packet, time in zip(packets, times, strict=True)]
    quickest: dict[int, float] = {}
    for time, delay in zip(times, behind, strict=True):
        block = int(time // _ADAPTED)
        quickest[block] = min(delay, quickest.get(block, delay))
    late = sum(
        delay - quickest[int(time // _ADAPTED)] > LATE
        for time, delay in zip(times, behind, strict=True)
    )
    jitter = total = 0.0
    for before, after in itertools.pairwise(behind):
        jitter += (abs(after - before) - jitter) / 16
        total += jitter
    expected = max(numbers) - min(numbers) + 1
    sounding = [False] * expected
    for number, packet in zip(numbers, packets, strict=True):
        sounding[number - min(numbers)] = packet.loud
    return Reception(
        len(packets),
        1 - len(set(numbers)) / expected,
        late / len(packets),
        total / max(len(packets) - 1, 1),
        _holes(sounding),
    )


def _counted(values: Sequence[int], bits: int) -> list[int]:
    """Numbers that begin again at 2^bits, without that."""
    whole, half = 1 << bits, 1 << (bits - 1)
    found = [values[0]]
    for value in values[1:]:
        found.append(found[-1] + (value - found[-1] + half) % whole - half)
    return found


def _holes(sounding: Sequence[bool]) -> float:
    runs = [(loud, len(list(run))) for loud, run in itertools.groupby(sounding)]
    holes = sum(size for loud, size in runs[1:-1] if not loud and size < PAUSE)
    return holes / max(holes + sum(sounding), 1)
