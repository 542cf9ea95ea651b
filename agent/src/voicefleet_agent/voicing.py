"""The sound of what is said, sentence by sentence: what was made ahead, then what is made now.

A sentence is made once and in order, whether it was begun on the chance that it will be said or
because it is said; while one is heard the next is made.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable

from voicefleet_agent.providers import Speaker
from voicefleet_dialogue import sentences


class _Sentence:
    """Its sound as it comes."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._changed = asyncio.Event()
        self._done = False
        self._error: Exception | None = None

    def put(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._changed.set()

    def end(self, error: Exception | None = None) -> None:
        self._done, self._error = True, error
        self._changed.set()

    async def sound(self) -> AsyncIterator[bytes]:
        at = 0
        while True:
            while at < len(self._pieces):
                yield self._pieces[at]
                at += 1
            if self._error is not None:
                raise self._error
            if self._done:
                return
            self._changed.clear()
            await self._changed.wait()


class Voicing:
    """One turn's sentences, in one voice."""

    def __init__(self, made: Callable[[str], bytes | None], speaker: Speaker) -> None:
        """`made` finds the sound of a text that was made ahead."""
        self._made = made
        self._speaker = speaker
        self._sentences: dict[str, _Sentence] = {}
        self._waiting: deque[str] = deque()
        self._making: asyncio.Task[None] | None = None

    def begin(self, texts: Iterable[str]) -> None:
        """Make what is not there yet."""
        for text in texts:
            if self._made(text) is not None:
                continue
            for sentence in sentences.split(text):
                if sentence not in self._sentences and self._made(sentence) is None:
                    self._sentences[sentence] = _Sentence()
                    self._waiting.append(sentence)
        if self._waiting and (self._making is None or self._making.done()):
            self._making = asyncio.create_task(self._make())

    def sound(self, text: str) -> bytes | AsyncIterator[bytes]:
        """16-bit mono PCM at 16 kHz; what comes in pieces raises ProviderFailed."""
        made = self._made(text)
        if made is not None:
            return made
        self.begin([text])
        return self._pieces(text)

    def drop(self) -> None:
        """None of it will be said."""
        if self._making is not None:
            self._making.cancel()

    async def _pieces(self, text: str) -> AsyncIterator[bytes]:
        for sentence in sentences.split(text):
            if (making := self._sentences.get(sentence)) is None:
                yield self._made(sentence) or b""
                continue
            async for piece in making.sound():
                yield piece

    async def _make(self) -> None:
        while self._waiting:
            sentence = self._waiting.popleft()
            try:
                async for piece in self._speaker.speak(sentence):
                    self._sentences[sentence].put(piece)
            except Exception as error:
                # Whoever waits for the sound is told.
                self._sentences[sentence].end(error)
            else:
                self._sentences[sentence].end()
