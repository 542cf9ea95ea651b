"""Sentences made ahead: by the client's voice, else by our own program."""

from __future__ import annotations

import asyncio
import json
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from voicefleet_agent import ahead, phrases, speech
from voicefleet_agent.phrases import Phrases
from voicefleet_agent.providers import ProviderFailed

pytestmark = pytest.mark.unit

PCM = b"\1\0" * 480


class Piper:
    """Instead of the speech program; counts what it is asked."""

    def __init__(self, returncode: int = 0, stderr: bytes = b"") -> None:
        self.asked: list[str] = []
        self.returncode: int | None = returncode
        self.stderr = stderr

    async def __call__(self, *command: str, **_: Any) -> Piper:
        self.made = Phrases(Path(command[-1]))
        assert not any("Hello" in word for word in command)
        return self

    async def communicate(self, texts: bytes) -> tuple[None, bytes]:
        for text in json.loads(texts):
            self.asked.append(text)
            if self.returncode == 0:
                self.made.keep(speech.NAME, text, PCM)
        return None, self.stderr


class Voice:
    """A `Speaker`."""

    name = "Cartesia/x"

    def __init__(self, *, broken: bool = False) -> None:
        self.asked: list[str] = []
        self.broken = broken

    async def speak(self, text: str) -> AsyncIterator[bytes]:
        self.asked.append(text)
        if self.broken:
            raise ProviderFailed("HTTP 500")
        yield PCM
        yield PCM


@pytest.fixture
def made(tmp_path: Path) -> Phrases:
    return Phrases(tmp_path / "phrases")


def test_words_and_voice_name_the_file(made: Phrases) -> None:
    paths = {made.path(voice, text) for voice in "ab" for text in ("Hello A.", "Hello B.")}
    assert len(paths) == 4
    assert made.path("a", "Hello A.") in paths


async def test_words_are_spoken_once_and_old_ones_go(made: Phrases) -> None:
    voice = Voice()
    await ahead.speak(made, voice, ["Hello A.", "Hello B."])
    await ahead.speak(made, voice, ["Hello B.", "Hello A."])
    assert voice.asked == ["Hello A.", "Hello B."]
    assert made.find(voice.name, "Hello A.") == 2 * PCM
    made.prune({voice.name}, ["Hello B."])
    assert made.find(voice.name, "Hello A.") is None
    assert list(made.folder.iterdir()) == [made.path(voice.name, "Hello B.")]


async def test_our_own_voice_speaks_where_the_clients_does_not(
    made: Phrases, monkeypatch: pytest.MonkeyPatch
) -> None:
    piper = Piper()
    monkeypatch.setattr(asyncio, "create_subprocess_exec", piper)
    voice = Voice(broken=True)
    for _ in range(2):
        await ahead.speak_somehow(made, voice, ["Hello A."], "en-US")
    assert piper.asked == ["Hello A."]
    assert ahead.find(made, voice, "Hello A.") == PCM
    assert ahead.find(made, voice, "Hello B.") is None


async def test_our_own_voice_speaks_no_other_language(
    made: Phrases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asyncio, "create_subprocess_exec", Piper())
    with pytest.raises(ahead.SpeechFailed, match="es-US"):
        await ahead.speak_somehow(made, Voice(broken=True), ["Hola."], "es-US")
    assert ahead.find(made, Voice(), "Hola.") is None


@pytest.mark.parametrize(
    ("locale", "words"), [("en-US", "One moment, please."), ("es-ES", "Un momento, por favor.")]
)
def test_what_must_be_sayable_is_in_the_clients_language(locale: str, words: str) -> None:
    assert phrases.FILLER.words(locale) == words
    assert len(set(phrases.essential(locale))) == len(phrases.Essential)


async def test_a_failure_names_the_error(made: Phrases, monkeypatch: pytest.MonkeyPatch) -> None:
    piper = Piper(returncode=1, stderr=b"Traceback\n  ...\nOSError: disk full\n")
    monkeypatch.setattr(asyncio, "create_subprocess_exec", piper)
    with pytest.raises(ahead.SpeechFailed, match="exit status 1: OSError: disk full"):
        await ahead.speak_here(made, ["Hello A."])


def test_another_format_or_half_a_file_is_not_played(made: Phrases) -> None:
    made.keep("a", "Hello A.", PCM)
    path = made.path("a", "Hello A.")
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(22_050)
        out.writeframes(PCM)
    assert made.find("a", "Hello A.") is None
    path.write_bytes(b"RIFF")
    assert made.find("a", "Hello A.") is None
