"""A telephone line to an agent: what the caller says goes in, what the caller hears comes out.

Both directions are recorded on one clock, which begins when the line is open.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Protocol

import numpy as np

from voicefleet_cli.telephone.hearing import LOUD
from voicefleet_cli.telephone.sound import RATE, Samples, decode, encode, levels

LATE = 0.08
"""Seconds: sound that comes this much later than the clock says has had a gap before it."""


class Line(Protocol):
    """Somebody is at the other end."""

    began: float
    """Monotonic time of the clock's zero."""

    @property
    def now(self) -> float:
        """Seconds since then."""
        ...

    @property
    def last_loud(self) -> float | None:
        """When the agent was last heard; None before it was."""
        ...

    @property
    def gone(self) -> bool:
        """Whether the other side has hung up."""
        ...

    async def say(self, speech: Samples) -> tuple[float, float]:
        """Speak; returns when the first and the last sample went out, once the last one has."""
        ...

    def recordings(self) -> tuple[Samples, Samples]:
        """What the caller said and what it heard."""
        ...

    async def hang_up(self) -> None: ...


class Tape:
    """One direction: blocks of samples, each at its place in time."""

    def __init__(self) -> None:
        self._blocks: list[tuple[int, Samples]] = []
        self._end = 0
        self.last_loud: float | None = None

    def add(self, block: Samples, now: float) -> None:
        """A block whose last sample came at `now` (seconds).

        The first is where the clock says. Blocks follow one another without a gap, however
        unsteadily they come, until they are `LATE`: then nothing was sent for a while, which is
        silence.
        """
        place = max(0, round(now * RATE) - len(block))
        follows = self._blocks and place - self._end <= LATE * RATE
        start = self._end if follows else place
        self._blocks.append((start, block))
        self._end = start + len(block)
        if levels(block).max() > LOUD:
            self.last_loud = self._end / RATE

    def samples(self) -> Samples:
        """All of it."""
        whole = np.zeros(self._end)
        for start, block in self._blocks:
            whole[start : start + len(block)] = block
        return whole


class Taped:
    """Most of a `Line`: its clock, its tapes, and what is to be sent when."""

    def __init__(self, noise: Samples, frame: int) -> None:
        """`noise` goes on, repeated, for as long as the line is open; `frame` samples are sent at
        a time."""
        self._noise, self._frame = noise, frame
        self._saying: Samples = np.zeros(0)
        self._said = asyncio.Event()
        self._frames = 0
        self.began = time.monotonic()
        self._mouth, self._ear = Tape(), Tape()

    @property
    def now(self) -> float:
        return time.monotonic() - self.began

    @property
    def last_loud(self) -> float | None:
        return self._ear.last_loud

    async def say(self, speech: Samples) -> tuple[float, float]:
        start = self._frames * self._frame / RATE
        self._saying = speech
        self._said.clear()
        await self._said.wait()
        return start, start + len(speech) / RATE

    def recordings(self) -> tuple[Samples, Samples]:
        return self._mouth.samples(), self._ear.samples()

    async def _spoken(self) -> AsyncIterator[bytes]:
        """The next frame in µ-law, when the clock says so."""
        frame = self._frame
        self._frames = round(self.now * RATE / frame)
        while True:
            wait = self._frames * frame / RATE - self.now
            if wait > 0:
                await asyncio.sleep(wait)
            block = np.pad(self._saying[:frame], (0, max(0, frame - len(self._saying))))
            if len(self._saying):
                self._saying = self._saying[frame:]
                if not len(self._saying):
                    self._said.set()
            at = self._frames * frame
            coded = encode(block + self._noise.take(range(at, at + frame), mode="wrap"))
            self._frames += 1
            self._mouth.add(decode(coded), self._frames * frame / RATE)
            yield coded
