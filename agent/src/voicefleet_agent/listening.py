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

WINDOW_MS = 1000 * VAD_WINDOW_SAMPLES // SAMPLE_RATE
WINDOW_BYTES = 2 * VAD_WINDOW_SAMPLES
"""What the detector takes, and so what is asked for: each piece of sound costs a wake-up."""
BLOCK_SAMPLES = SAMPLE_RATE // 100
BLOCK_BYTES = 2 * BLOCK_SAMPLES
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

Window = np.ndarray[tuple[int], np.dtype[np.int16]]


class Ears:
    """Hears one caller; `window` is told (monotonic time, seconds, probability of speech)."""

    def __init__(
        self,
        reference: Reference,
        window: Callable[[float, float, float], None],
        record: Callable[[bytes, bytes], None],
    ) -> None:
        """`record` gets both directions, the caller's and the agent's, window by window."""
        self._record = record
        self._reference = reference
        self._window = window
        self._raw_detector, self._clean_detector = VAD(), VAD()
        self._canceller = rtc.AudioProcessingModule(echo_cancellation=True, high_pass_filter=True)
        self._heard = bytearray()
        self._until = 0.0
        self._near, self._far = bytearray(), bytearray()
        """Not a whole block yet."""
        # A window holds three blocks and a fifth: what is clean is a block behind.
        self._clean = bytearray(BLOCK_BYTES)
        self._agent_sounded = 0.0
        self._voiced_under_agent: deque[bool] = deque(maxlen=ECHO_WINDOWS)

    async def listen(self, track: rtc.Track) -> None:
        """Hear the track until it ends."""
        stream = rtc.AudioStream(
            track, sample_rate=SAMPLE_RATE, num_channels=1, frame_size_ms=WINDOW_MS
        )
        try:
            async for event in stream:
                self.hear(bytes(event.frame.data), time.monotonic())
        finally:
            await stream.aclose()

    def hear(self, window: bytes, now: float) -> None:
        """A window of the caller's sound that ended `now`."""
        self._heard += window
        if len(self._heard) > 2 * KEPT:
            del self._heard[:-KEPT]
        self._until = now
        played = self._reference.pull(len(window))
        self._record(window, played)
        if any(played):
            self._agent_sounded = now
        may_echo = now - self._agent_sounded <= ECHO_SECONDS
        raw = self._raw_detector.predict(np.frombuffer(window, np.int16))
        clean = self._clean_detector.predict(self._without_echo(window, played, may_echo=may_echo))
        self._window(now, WINDOW_MS / 1000, self._judge(now, raw, clean) if may_echo else raw)

    def _without_echo(self, window: bytes, played: bytes, *, may_echo: bool) -> Window:
        """Where there can be none, the same: the canceller is most of what hearing costs."""
        self._near += window
        self._far += played
        while len(self._near) >= BLOCK_BYTES:
            near = rtc.AudioFrame(self._near[:BLOCK_BYTES], SAMPLE_RATE, 1, BLOCK_SAMPLES)
            if may_echo:
                far = rtc.AudioFrame(self._far[:BLOCK_BYTES], SAMPLE_RATE, 1, BLOCK_SAMPLES)
                self._canceller.process_reverse_stream(far)
                self._canceller.process_stream(near)
            self._clean += bytes(near.data)
            del self._near[:BLOCK_BYTES], self._far[:BLOCK_BYTES]
        clean = bytes(self._clean[:WINDOW_BYTES])
        del self._clean[:WINDOW_BYTES]
        return np.frombuffer(clean, np.int16)

    def _judge(self, now: float, raw: float, clean: float) -> float:
        """Which of the two probabilities to believe."""
        if now == self._agent_sounded:
            self._voiced_under_agent.append(raw > 0.5)
        known = len(self._voiced_under_agent) == ECHO_WINDOWS
        echo = sum(self._voiced_under_agent) > ECHO_SHARE * ECHO_WINDOWS
        return raw if known and not echo else clean

    def since(self, when: float) -> bytes:
        """What was heard from a little before `when` (monotonic) to now."""
        return bytes(self._heard[-bytes_of(max(0.0, self._until - when) + BEFORE) :])
