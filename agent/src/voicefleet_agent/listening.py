"""The caller's sound: kept for the transcriber, judged for speech, freed from the agent's echo."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from livekit import rtc
from livekit.local_inference import VAD, VAD_WINDOW_SAMPLES

from voicefleet_agent.audio import SAMPLE_RATE, bytes_of
from voicefleet_agent.speaking import Reference

WINDOW_SECONDS = VAD_WINDOW_SAMPLES / SAMPLE_RATE
WINDOW_BYTES = 2 * VAD_WINDOW_SAMPLES
BLOCK_SAMPLES = SAMPLE_RATE // 100
"""10 ms: what WebRTC's echo canceller takes."""
KEPT = bytes_of(60)
"""Longer than a turn is."""
BEFORE = 0.3
"""Seconds before speech is noticed that belong to its first sound."""


class Ears:
    """Hears one caller; `window` is told (monotonic time, seconds, probability of speech)."""

    def __init__(
        self,
        reference: Reference,
        window: Callable[[float, float, float], None],
        record: Callable[[bytes, bytes], None],
    ) -> None:
        """`record` gets both directions, the caller's and the agent's, block by block."""
        self._record = record
        self._reference = reference
        self._window = window
        self._vad = VAD()
        self._canceller = rtc.AudioProcessingModule(echo_cancellation=True, high_pass_filter=True)
        self._heard = bytearray()
        self._until = 0.0
        self._clean = bytearray()

    async def listen(self, track: rtc.Track) -> None:
        """Hear the track until it ends."""
        stream = rtc.AudioStream(track, sample_rate=SAMPLE_RATE, num_channels=1, frame_size_ms=10)
        try:
            async for event in stream:
                self.hear(bytes(event.frame.data), time.monotonic())
        finally:
            await stream.aclose()

    def hear(self, block: bytes, now: float) -> None:
        """10 ms of the caller's sound that ended `now`.

        Only the detector gets the sound without the echo: a canceller that finds no echo takes
        something from the caller's speech where both speak.
        """
        self._heard += block
        if len(self._heard) > 2 * KEPT:
            del self._heard[:-KEPT]
        self._until = now
        played = self._reference.pull(len(block))
        self._record(block, played)
        far = rtc.AudioFrame(played, SAMPLE_RATE, 1, BLOCK_SAMPLES)
        near = rtc.AudioFrame(bytearray(block), SAMPLE_RATE, 1, BLOCK_SAMPLES)
        self._canceller.process_reverse_stream(far)
        self._canceller.process_stream(near)
        self._clean += bytes(near.data)
        if len(self._clean) >= WINDOW_BYTES:
            samples = np.frombuffer(bytes(self._clean[:WINDOW_BYTES]), dtype=np.int16)
            del self._clean[:WINDOW_BYTES]
            self._window(now, WINDOW_SECONDS, self._vad.predict(samples))

    def since(self, when: float) -> bytes:
        """What was heard from a little before `when` (monotonic) to now."""
        return bytes(self._heard[-bytes_of(max(0.0, self._until - when) + BEFORE) :])
