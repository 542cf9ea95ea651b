"""The company that a caller is kept while something is slow: no silence without a sound."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable

from voicefleet_agent import phrases
from voicefleet_agent.speaking import Mouth, Utterance

PAUSE_SECONDS = 1.25
"""Of silence before a filler: with what it takes to notice it, a sound comes within 1.5 s. And
longer than a caller with half a number is waited for (`turns.Timing.incomplete`)."""


class Company:
    """Fillers for the silences of an answer that is on its way, also between its sentences."""

    def __init__(
        self,
        mouth: Mouth,
        made: Callable[[str], bytes | None],
        noted: Callable[[Utterance], None],
        locale: str,
    ) -> None:
        """`made` finds the sound of what was made ahead; `noted` is told what is going to sound."""
        self._texts = [phrase.words(locale) for phrase in phrases.FILLERS]
        self._mouth = mouth
        self._made = made
        self._noted = noted
        self._since = 0.0
        self._keeping: asyncio.Task[None] | None = None

    def keep(self) -> None:
        """From now on, unless it is kept already."""
        if self._keeping is None:
            self._since = time.monotonic()
            self._keeping = asyncio.create_task(self._keep())

    def leave(self) -> None:
        """What is awaited is there, or of no use any more: a filler breaks off."""
        if self._keeping is not None:
            self._keeping.cancel()
            self._keeping = None
        self._mouth.hush()

    async def _keep(self) -> None:
        texts = itertools.cycle(self._texts)
        while True:
            left = PAUSE_SECONDS - (time.monotonic() - max(self._since, self._mouth.sounds_until))
            if left > 0:
                await asyncio.sleep(left)
                continue
            text = next(texts)
            if (sound := self._made(text)) is not None:
                filler = Utterance(text, answer=False)
                self._noted(filler)
                self._mouth.fill(filler, sound)
            self._since = time.monotonic()
