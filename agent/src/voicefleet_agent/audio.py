"""The one form of sound inside the agent: 16-bit little-endian mono PCM at 16 kHz.

A telephone carries 8 kHz, wideband telephony 16; the voice activity detector, the transcribers,
the echo canceller and the record all take this rate.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from livekit import rtc

SAMPLE_RATE = 16_000
BYTES_PER_SECOND = 2 * SAMPLE_RATE


def seconds_of(pcm: bytes | bytearray) -> float:
    """How long it lasts."""
    return len(pcm) / BYTES_PER_SECOND


def bytes_of(seconds: float) -> int:
    """How many bytes last so long; whole samples."""
    return 2 * round(seconds * SAMPLE_RATE)


async def resampled(pcm: AsyncIterator[bytes], rate: int) -> AsyncIterator[bytes]:
    """`pcm` (16-bit mono at `rate`, in pieces of any length) at `SAMPLE_RATE`."""
    resampler = rtc.AudioResampler(rate, SAMPLE_RATE) if rate != SAMPLE_RATE else None
    odd = b""
    async for piece in pcm:
        piece = odd + piece
        odd = piece[len(piece) & ~1 :]
        piece = piece[: len(piece) & ~1]
        if resampler is None:
            yield piece
        elif piece:
            yield b"".join(bytes(frame.data) for frame in resampler.push(bytearray(piece)))
    if resampler is not None:
        yield b"".join(bytes(frame.data) for frame in resampler.flush())
