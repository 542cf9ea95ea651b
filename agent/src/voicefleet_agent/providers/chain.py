"""Fallback between providers within what a caller on the phone waits for.

A provider that failed rests for a while: the next turn does not pay for it again. Where all rest,
all are tried.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Generic, Literal, Protocol, TypeVar

from voicefleet_agent.audio import seconds_of
from voicefleet_agent.logs import LOGGER
from voicefleet_agent.providers.base import Asked, ProviderFailed, Speaker, Transcriber, Transcript
from voicefleet_dialogue.acts import LanguageModel, ModelUnavailable

REST_SECONDS = 20.0
TRANSCRIPT_SECONDS = 1.5
FIRST_PIECE_SECONDS = 3.0
"""A model's; the caller hears an acknowledgement or a filler meanwhile."""
FIRST_SOUND_SECONDS = 1.2
NEXT_SECONDS = 2.0
"""Between two pieces of text or sound."""

Component = Literal["STT", "LLM", "TTS"]

log = logging.getLogger(LOGGER)


class Named(Protocol):
    """A provider."""

    @property
    def name(self) -> str: ...


P = TypeVar("P", bound=Named)
T = TypeVar("T")


class Meter(Protocol):
    """Who counts what providers do in a call."""

    def used(self, component: Component, provider: str, amount: float) -> None:
        """It has answered; `amount` in seconds of sound, or characters."""
        ...

    def failed(self, component: Component, provider: str) -> None:
        """It has not, or too late."""
        ...


class Resting:
    """Which providers failed lately; shared by the calls of a process and by its chains."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}

    def order(self, providers: Sequence[P]) -> list[P]:
        """Those that do not rest; all of them, where all do."""
        now = self._clock()
        awake = [p for p in providers if self._until.get(p.name, 0.0) <= now]
        return awake or list(providers)

    def failed(self, name: str) -> None:
        """Let it rest."""
        self._until[name] = self._clock() + REST_SECONDS

    def worked(self, name: str) -> None:
        """It is well again."""
        self._until.pop(name, None)


class _Chain(Generic[P]):
    component: Component

    def __init__(
        self, providers: Sequence[P], resting: Resting | None = None, meter: Meter | None = None
    ) -> None:
        self.providers = list(providers)
        self._meter = meter
        self._resting = resting or Resting()

    def _order(self) -> list[P]:
        return self._resting.order(self.providers)

    def _worked(self, provider: P, amount: float) -> None:
        if self._meter is not None:
            self._meter.used(self.component, provider.name, amount)
        self._resting.worked(provider.name)

    def _failed(self, provider: P, error: Exception) -> None:
        if self._meter is not None:
            self._meter.failed(self.component, provider.name)
        self._resting.failed(provider.name)
        reason = "took too long" if isinstance(error, TimeoutError) else str(error)
        log.warning(
            "provider failed",
            extra={
                "action": "ProviderFailed",
                "component": self.component,
                "provider": provider.name,
                "reason": reason,
            },
        )


async def _in_time(
    pieces: AsyncIterator[T], first: float, then: float | None = None
) -> AsyncIterator[T]:
    """The pieces; raises TimeoutError where one is late."""
    limit = first
    while True:
        try:
            async with asyncio.timeout(limit):
                piece = await anext(pieces)
        except StopAsyncIteration:
            return
        yield piece
        limit = then or NEXT_SECONDS


class TranscriberChain(_Chain[Transcriber]):
    """A `Transcriber` made of several."""

    component = "STT"

    @property
    def name(self) -> str:
        """Of the transcriber that is preferred."""
        return self.providers[0].name

    async def transcribe(self, pcm: bytes, asked: Asked | None = None) -> Transcript:
        """The first answer; raises ProviderFailed where nobody has one."""
        for provider in self._order():
            try:
                async with asyncio.timeout(TRANSCRIPT_SECONDS):
                    transcript = await provider.transcribe(pcm, asked)
            except (ProviderFailed, TimeoutError) as error:
                self._failed(provider, error)
                continue
            self._worked(provider, seconds_of(pcm))
            return transcript
        raise ProviderFailed("no transcriber answers")


class SpeakerChain(_Chain[Speaker]):
    """A `Speaker` made of several."""

    component = "TTS"

    def __init__(
        self,
        providers: Sequence[Speaker],
        resting: Resting | None = None,
        meter: Meter | None = None,
        slow: Mapping[str, float] | None = None,
    ) -> None:
        """`slow`: voices whose sounds may take longer, and how many seconds."""
        super().__init__(providers, resting, meter)
        self._slow = slow or {}

    @property
    def name(self) -> str:
        """Of the voice that is preferred."""
        return self.preferred.name

    @property
    def preferred(self) -> Speaker:
        """That voice alone: what is kept under its name is never another's sound."""
        return self.providers[0]

    async def speak(self, text: str) -> AsyncIterator[bytes]:
        """Whoever can; where a voice breaks off, the next says the sentence from its beginning."""
        for provider in self._order():
            sounded = False
            try:
                slow = self._slow.get(provider.name)
                pieces = _in_time(provider.speak(text), slow or FIRST_SOUND_SECONDS, slow)
                async for piece in pieces:
                    sounded = sounded or bool(piece)
                    yield piece
                if not sounded:
                    raise ProviderFailed("no sound")
            except (ProviderFailed, TimeoutError) as error:
                self._failed(provider, error)
                continue
            self._worked(provider, len(text))
            return
        raise ProviderFailed("no voice speaks")


class NamedModel(LanguageModel, Protocol):
    """A language model with a name."""

    @property
    def name(self) -> str: ...


class ModelChain(_Chain[NamedModel]):
    """A `LanguageModel` made of several."""

    component = "LLM"

    async def complete(
        self,
        system: str,
        user: str,
        *,
        schema: Mapping[str, Any] | None = None,
        max_tokens: int,
    ) -> AsyncIterator[str]:
        """The first that begins; one that breaks off in the middle is not continued by another.

        Raises ModelUnavailable.
        """
        for provider in self._order():
            begun = False
            length = 0
            try:
                pieces = provider.complete(system, user, schema=schema, max_tokens=max_tokens)
                async for piece in _in_time(pieces, FIRST_PIECE_SECONDS):
                    begun = True
                    length += len(piece)
                    yield piece
            except (ModelUnavailable, TimeoutError) as error:
                self._failed(provider, error)
                if begun:
                    raise ModelUnavailable("the model broke off") from error
                continue
            self._worked(provider, length)
            return
        raise ModelUnavailable("no language model answers")
