"""Fallback between providers: each failure injected, each limit with its number."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from voicefleet_agent.providers import Asked, ProviderFailed, Transcript, chain
from voicefleet_agent.providers.chain import (
    REST_SECONDS,
    ModelChain,
    Resting,
    SpeakerChain,
    TranscriberChain,
)
from voicefleet_dialogue.acts import ModelUnavailable

pytestmark = pytest.mark.unit


class Fake:
    """Every kind of provider; `does` says what becomes of a request."""

    def __init__(self, name: str, does: str = "works") -> None:
        self.name = name
        self.does = does
        self.asked = 0

    async def _pieces(self, error: type[Exception]) -> AsyncIterator[Any]:
        self.asked += 1
        if self.does == "refuses":
            raise error("HTTP 500")
        if self.does == "hangs":
            await asyncio.sleep(3600)
        if self.does == "is silent":
            return
        yield self.name
        if self.does == "breaks off":
            raise error("closed")
        if self.does == "stalls":
            await asyncio.sleep(3600)
        yield "."

    async def transcribe(self, pcm: bytes, asked: Asked | None = None) -> Transcript:
        return Transcript("".join([p async for p in self._pieces(ProviderFailed)]))

    async def speak(self, text: str) -> AsyncIterator[bytes]:
        async for piece in self._pieces(ProviderFailed):
            yield piece.encode()

    async def complete(
        self, system: str, user: str, *, schema: Mapping[str, Any] | None = None, max_tokens: int
    ) -> AsyncIterator[str]:
        async for piece in self._pieces(ModelUnavailable):
            yield piece


class Counted:
    """A `Meter`."""

    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []

    def used(self, *what: Any) -> None:
        self.log.append(("used", *what))

    def failed(self, *what: Any) -> None:
        self.log.append(("failed", *what))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRANSCRIPT_SECONDS", "FIRST_PIECE_SECONDS", "FIRST_SOUND_SECONDS"):
        assert getattr(chain, name) <= 3.0
        monkeypatch.setattr(chain, name, 0.05)
    monkeypatch.setattr(chain, "NEXT_SECONDS", 0.05)


BEFORE = ["refuses", "hangs"]


@pytest.mark.parametrize("does", BEFORE)
async def test_another_transcriber_answers(does: str) -> None:
    first, second = Fake("a", does), Fake("b")
    counted = Counted()
    stt = TranscriberChain([first, second], meter=counted)
    assert (await stt.transcribe(bytes(32_000))).text == "b."
    assert counted.log == [("failed", "STT", "a"), ("used", "STT", "b", 1.0)]
    with pytest.raises(ProviderFailed, match="no transcriber"):
        await TranscriberChain([first]).transcribe(b"")


@pytest.mark.parametrize("does", [*BEFORE, "is silent"])
async def test_another_voice_speaks(does: str) -> None:
    first, second = Fake("a", does), Fake("b")
    tts = SpeakerChain([first, second])
    assert [p async for p in tts.speak("Hello")] == [b"b", b"."]
    with pytest.raises(ProviderFailed, match="no voice"):
        [p async for p in SpeakerChain([first]).speak("Hello")]


async def test_a_slow_voice_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(Fake):
        async def speak(self, text: str) -> AsyncIterator[bytes]:
            for _ in range(2):
                await asyncio.sleep(0.05)
                yield b"slow"

    for limit in ("FIRST_SOUND_SECONDS", "NEXT_SECONDS"):
        monkeypatch.setattr(chain, limit, 0.01)
    voices = [Slow("a"), Fake("b")]
    assert [p async for p in SpeakerChain(voices, slow={"a": 5}).speak("Hello")] == [b"slow"] * 2
    assert [p async for p in SpeakerChain(voices, slow={"b": 5}).speak("Hello")] == [b"b", b"."]


@pytest.mark.parametrize("does", ["breaks off", "stalls"])
async def test_another_voice_begins_the_sentence_anew(does: str) -> None:
    tts = SpeakerChain([Fake("a", does), Fake("b")])
    assert [p async for p in tts.speak("Hello")] == [b"a", b"b", b"."]


@pytest.mark.parametrize("does", BEFORE)
async def test_another_model_answers(does: str) -> None:
    llm = ModelChain([Fake("a", does), Fake("b")])
    assert [p async for p in llm.complete("", "", max_tokens=1)] == ["b", "."]


@pytest.mark.parametrize("does", ["breaks off", "stalls", "refuses", "hangs"])
async def test_a_model_that_breaks_off_is_not_continued_by_another(does: str) -> None:
    second = Fake("b")
    providers = [Fake("a", does)] if does in BEFORE else [Fake("a", does), second]
    llm = ModelChain(providers)
    with pytest.raises(ModelUnavailable):
        [p async for p in llm.complete("", "", max_tokens=1)]
    assert second.asked == 0


async def test_a_provider_that_failed_rests() -> None:
    clock = Clock()
    first, second = Fake("a", "refuses"), Fake("b")
    stt = TranscriberChain([first, second], Resting(clock))
    for _ in range(3):
        await stt.transcribe(b"")
    assert (first.asked, second.asked) == (1, 3)
    clock.now = REST_SECONDS
    first.does = "works"
    assert (await stt.transcribe(b"")).text == "a."


async def test_where_all_rest_all_are_tried() -> None:
    first, second = Fake("a", "refuses"), Fake("b", "refuses")
    stt = TranscriberChain([first, second], Resting(Clock()))
    for _ in range(2):
        with pytest.raises(ProviderFailed):
            await stt.transcribe(b"")
    assert (first.asked, second.asked) == (2, 2)
    first.does = "works"
    assert (await stt.transcribe(b"")).text == "a."


async def test_an_answer_that_is_not_wanted_any_more_is_cancelled() -> None:
    slow = Fake("a", "hangs")
    task = asyncio.create_task(TranscriberChain([slow, Fake("b")]).transcribe(b""))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
