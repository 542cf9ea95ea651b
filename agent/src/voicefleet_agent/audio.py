"""The one form of sound inside the agent: 16-bit little-endian mono PCM at 16 kHz.

A telephone carries 8 kHz, wideband telephony 16; the voice activity detector, the transcribers,
the echo canceller and the record all take this rate.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from livekit import rtc

SAMPLE_RATE = 16_000
BYTES_PER_SECOND = 2 * SAMPLE_RATE
_BACKGROUND = 0.15
"""Seconds at the beginning that are taken for noise."""


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


def without_noise(pcm: bytes) -> bytes:
    """The same speech after WebRTC's noise suppression, which first hears a second of what lies
    before the words; about 20 ms for 3 s."""
    module = rtc.AudioProcessingModule(noise_suppression=True)
    block = bytes_of(0.01)
    before = pcm[: bytes_of(_BACKGROUND)]
    learnt = before * (bytes_of(1.0) // max(len(before), 1))
    whole = learnt + pcm
    done = bytearray()
    for at in range(0, len(whole) - block + 1, block):
        frame = rtc.AudioFrame(bytearray(whole[at : at + block]), SAMPLE_RATE, 1, block // 2)
        module.process_stream(frame)
        done += bytes(frame.data)
    return bytes(done[len(learnt) // block * block :])
