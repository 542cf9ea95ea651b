"""The agent's voice on the line: what is said in order, paused, resumed and stopped in between.

The queue between us and the network is short, and it is emptied for a pause; what was in it is
played again on resuming. So the place that is kept is the one that was heard.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from livekit import rtc

from voicefleet_agent.audio import BYTES_PER_SECOND, SAMPLE_RATE, bytes_of

QUEUE_MS = 100
"""Between us and the network; longer than a busy machine's hiccups, shorter than a pause."""
FRAME_BYTES = bytes_of(0.02)
REFERENCE_SECONDS = 0.1
"""Since the caller's sound last came; after longer, none comes at present."""
LEAD_SECONDS = 0.04
"""Sound that must be there before a sentence begins whose rest is still being made;"""
LEAD_LIMIT = 0.6
"""doubled, up to this, each time the rest came too late."""


@dataclass(eq=False, slots=True)
class Utterance:
    """A sentence that is said; its sound may still be on the way."""

    text: str
    answer: bool
    """An acknowledgement or a filler is none."""
    pcm: bytearray = field(default_factory=bytearray)
    whole: bool = False
    """No more sound comes,"""
    broken: bool = False
    """though some is missing."""
    played: int = 0
    """Bytes given to the network."""

    @property
    def unheard(self) -> str:
        """The words from the one that was being said when it stopped.

        By the share of the sound: nothing says where in it a word ends.
        """
        if not self.played:
            return self.text
        known = self.whole and not self.broken
        if known and self.played >= len(self.pcm):
            return ""
        # What is not made yet is guessed from a speaking rate of 15 characters a second.
        total = len(self.pcm) if known else len(self.text) / 15 * BYTES_PER_SECOND
        words = self.text.split()
        return " ".join(words[int(len(words) * min(1.0, self.played / max(total, 1.0))) :])


class Reference:
    """What the network plays just now, for the echo canceller; silence where nothing is."""

    def __init__(self) -> None:
        self._pcm = bytearray()
        self._pulled = 0.0

    def push(self, pcm: bytes) -> None:
        """The network got this."""
        since = time.monotonic() - self._pulled
        if not self._pcm and since < REFERENCE_SECONDS:
            # It begins to play now, in the middle of what is pulled next.
            self._pcm += bytes(bytes_of(since))
        self._pcm += pcm

    def pull(self, size: int) -> bytes:
        """The next `size` bytes."""
        self._pulled = time.monotonic()
        piece = bytes(self._pcm[:size])
        del self._pcm[:size]
        return piece.ljust(size, b"\0")

    def clear(self) -> None:
        """The network forgot what it had not played."""
        self._pcm.clear()


class Mouth:
    """Says utterances one after another; one call has one."""

    def __init__(self, source: rtc.AudioSource, on_sound: Callable[[Utterance], None]) -> None:
        """`on_sound` is called when the first sound of an utterance goes out."""
        self.reference = Reference()
        self.idle = asyncio.Event()
        """Nothing is being said and nothing waits to be said."""
        self.idle.set()
        self.sounds_until = 0.0
        """When what the network has got will have been played (monotonic)."""
        self._source = source
        self._on_sound = on_sound
        self._waiting: deque[Utterance] = deque()
        self._filler: Utterance | None = None
        self._recent: deque[Utterance] = deque(maxlen=8)
        """Given to the network whole, but perhaps not yet played."""
        self._lead = LEAD_SECONDS
        self._starved = False
        """The rest of the sentence is awaited; it comes too late where the network runs dry."""
        self._going = True
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Speak until cancelled."""
        while True:
            if self._filler is not None:
                await self._step(self._filler)
                continue
            if self._waiting and self._going:
                await self._step(self._waiting[0])
                continue
            self._changed.clear()
            if self._going and not self.idle.is_set():
                # Everything went out: wait until it is played, unless something more is said.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), self._source.queued_duration)
                if self._going and not self._waiting and self._filler is None:
                    self._recent.clear()
                    self.idle.set()
                continue
            await self._changed.wait()

    async def say(self, utterance: Utterance, sound: bytes | AsyncIterator[bytes]) -> None:
        """Say it after what waits already; returns when all its sound is there.

        Raises what `sound` raises; what came before is said all the same.
        """
        if isinstance(sound, bytes):
            utterance.pcm += sound
            utterance.whole = True
        self._waiting.append(utterance)
        self.idle.clear()
        self._changed.set()
        if not isinstance(sound, bytes):
            try:
                async for piece in sound:
                    utterance.pcm += piece
                    self._changed.set()
            except Exception:
                utterance.broken = True
                raise
            finally:
                utterance.whole = True
                self._changed.set()

    def fill(self, filler: Utterance, sound: bytes) -> None:
        """Say it now, before what waits for its sound or is paused; once, and as far as it gets."""
        filler.pcm += sound
        filler.whole = True
        self._filler = filler
        self.idle.clear()
        self._changed.set()

    def hush(self) -> None:
        """Break a filler off."""
        if self._filler is not None:
            self._rewind()
            self._changed.set()

    def pause(self) -> None:
        """Be quiet at once; `resume` goes on from what was heard last."""
        self._going = False
        self._rewind()

    def resume(self) -> None:
        """Go on."""
        self._going = True
        self._changed.set()

    def stop(self) -> list[Utterance]:
        """Be quiet at once and forget the rest; returns what was not heard, or not whole."""
        self._rewind()
        unheard = [utterance for utterance in self._waiting if utterance.unheard]
        self._waiting.clear()
        self._recent.clear()
        self._going = True
        self.idle.set()
        self._changed.set()
        return unheard

    async def _step(self, utterance: Utterance) -> None:
        """Give the network the next 20 ms, or wait for them to be made."""
        there = len(utterance.pcm) - utterance.played
        if utterance.whole and there == 0:
            if utterance is self._filler:
                self._filler = None
            else:
                self._recent.append(self._waiting.popleft())
            return
        needed = FRAME_BYTES if utterance.played else bytes_of(self._lead)
        if there < needed and not utterance.whole:
            self._changed.clear()
            self._starved = utterance.played > 0
            await self._changed.wait()
            return
        if self._starved and self._source.queued_duration == 0:
            self._lead = min(LEAD_LIMIT, 2 * self._lead)
        self._starved = False
        if utterance.played == 0:
            self._on_sound(utterance)
        piece = bytes(utterance.pcm[utterance.played : utterance.played + FRAME_BYTES])
        utterance.played += len(piece)
        piece = piece.ljust(FRAME_BYTES, b"\0")
        self.reference.push(piece)
        await self._source.capture_frame(rtc.AudioFrame(piece, SAMPLE_RATE, 1, FRAME_BYTES // 2))
        self.sounds_until = time.monotonic() + self._source.queued_duration

    def _rewind(self) -> None:
        """Empty the network's queue, and count what was in it as not said."""
        left = bytes_of(self._source.queued_duration)
        self._source.clear_queue()
        self.reference.clear()
        self.sounds_until = time.monotonic()
        self._starved = False
        if self._filler is not None:
            left = self._take_back(self._filler, left)
            self._filler = None
        if self._waiting:
            left = self._take_back(self._waiting[0], left)
        while left > 0 and self._recent:
            utterance = self._recent.pop()
            left = self._take_back(utterance, left)
            self._waiting.appendleft(utterance)

    @staticmethod
    def _take_back(utterance: Utterance, size: int) -> int:
        """Returns what is left of `size` beyond the utterance's beginning."""
        back = min(size, utterance.played)
        utterance.played -= back
        return size - back
