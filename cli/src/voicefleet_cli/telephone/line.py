"""A telephone line to an agent: what the caller says goes in, what the caller hears comes out.

Both directions are recorded on one clock, which begins when the line is open.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from voicefleet_cli.telephone.hearing import LOUD
from voicefleet_cli.telephone.sound import RATE, Samples, levels

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

        Blocks follow one another without a gap, however unsteadily they come, until they are
        `LATE`: then nothing was sent for a while, which is silence.
        """
        place = round(now * RATE) - len(block)
        start = place if place - self._end > LATE * RATE else self._end
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
