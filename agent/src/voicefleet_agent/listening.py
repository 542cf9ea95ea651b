"""The caller's sound: kept for the transcriber, judged for speech, freed from the agent's echo.

An echo canceller that has no echo to cancel takes something from the caller's speech where both
speak. So its result is believed only on a line that has an echo, and by the detector alone: the
transcriber gets what came.
"""

from __future__ import annotations

import time
from collections import deque
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
ECHO_SECONDS = 0.6
"""Longest that an echo is on its way."""
ECHO_WINDOWS = 24
"""Of the agent's sound (0.8 s), until it is known whether the line has an echo;"""
ECHO_SHARE = 0.3
"""it has, where more of them than this sound like speech."""


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
        self._raw_detector, self._clean_detector = VAD(), VAD()
        self._canceller = rtc.AudioProcessingModule(echo_cancellation=True, high_pass_filter=True)
        self._heard = bytearray()
        self._until = 0.0
        self._raw, self._clean = bytearray(), bytearray()
        self._agent_sounded = 0.0
        self._voiced_under_agent: deque[bool] = deque(maxlen=ECHO_WINDOWS)

    async def listen(self, track: rtc.Track) -> None:
        """Hear the track until it ends."""
        stream = rtc.AudioStream(track, sample_rate=SAMPLE_RATE, num_channels=1, frame_size_ms=10)
        try:
            async for event in stream:
                self.hear(bytes(event.frame.data), time.monotonic())
        finally:
            await stream.aclose()

    def hear(self, block: bytes, now: float) -> None:
        """10 ms of the caller's sound that ended `now`."""
        self._heard += block
        if len(self._heard) > 2 * KEPT:
            del self._heard[:-KEPT]
        self._until = now
        played = self._reference.pull(len(block))
        self._record(block, played)
        if any(played):
            self._agent_sounded = now
        far = rtc.AudioFrame(played, SAMPLE_RATE, 1, BLOCK_SAMPLES)
        near = rtc.AudioFrame(bytearray(block), SAMPLE_RATE, 1, BLOCK_SAMPLES)
        self._canceller.process_reverse_stream(far)
        self._canceller.process_stream(near)
        self._raw += block
        self._clean += bytes(near.data)
        if len(self._raw) >= WINDOW_BYTES:
            raw = self._raw_detector.predict(_samples(self._raw))
            clean = self._clean_detector.predict(_samples(self._clean))
            self._window(now, WINDOW_SECONDS, self._judge(now, raw, clean))

    def _judge(self, now: float, raw: float, clean: float) -> float:
        """Which of the two probabilities to believe."""
        if now == self._agent_sounded:
            self._voiced_under_agent.append(raw > 0.5)
        if now - self._agent_sounded > ECHO_SECONDS:
            return raw
        known = len(self._voiced_under_agent) == ECHO_WINDOWS
        echo = sum(self._voiced_under_agent) > ECHO_SHARE * ECHO_WINDOWS
        return raw if known and not echo else clean

    def since(self, when: float) -> bytes:
        """What was heard from a little before `when` (monotonic) to now."""
        return bytes(self._heard[-bytes_of(max(0.0, self._until - when) + BEFORE) :])


def _samples(pcm: bytearray) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """Take the first window off."""
    window = np.frombuffer(bytes(pcm[:WINDOW_BYTES]), dtype=np.int16)
    del pcm[:WINDOW_BYTES]
    return window
