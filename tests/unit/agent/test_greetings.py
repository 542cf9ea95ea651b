from __future__ import annotations

import asyncio
import wave
from pathlib import Path
from typing import Any

import pytest

from voicefleet_agent import greetings
from voicefleet_agent.speech import SAMPLE_RATE

pytestmark = pytest.mark.unit


def write(path: Path, rate: int = SAMPLE_RATE, frames: bytes = b"\1\0" * 480) -> None:
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(frames)


class Piper:
    """Instead of the speech program; counts how often it is asked."""

    def __init__(self, returncode: int = 0, stderr: bytes = b"") -> None:
        self.asked: list[str] = []
        self.returncode: int | None = returncode
        self.stderr = stderr

    async def __call__(self, *command: str, **_: Any) -> Piper:
        self.target = Path(command[-1])
        assert not any("Hello" in word for word in command)
        return self

    async def communicate(self, text: bytes) -> tuple[None, bytes]:
        self.asked.append(text.decode())
        if self.returncode == 0:
            write(self.target)
        return None, self.stderr


def test_words_and_voice_name_the_file(tmp_path: Path) -> None:
    one, two = (greetings.path_for(tmp_path, text) for text in ("Hello A.", "Hello B."))
    assert one != two
    assert one == greetings.path_for(tmp_path, "Hello A.")


async def test_words_are_spoken_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    piper = Piper()
    monkeypatch.setattr(asyncio, "create_subprocess_exec", piper)
    folder = tmp_path / "greetings"
    path = await greetings.ensure(folder, "Hello A.")
    assert await greetings.ensure(folder, "Hello A.") == path
    assert piper.asked == ["Hello A."]
    assert len(greetings.load(path)) == 960
    newer = await greetings.ensure(folder, "Hello B.")
    greetings.prune(folder, newer)
    assert list(folder.iterdir()) == [newer]


async def test_a_failure_names_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    piper = Piper(returncode=1, stderr=b"Traceback\n  ...\nOSError: disk full\n")
    monkeypatch.setattr(asyncio, "create_subprocess_exec", piper)
    with pytest.raises(greetings.SpeechFailed, match="exit status 1: OSError: disk full"):
        await greetings.ensure(tmp_path, "Hello A.")


def test_another_format_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "x.wav", rate=22_050)
    with pytest.raises(wave.Error, match="format"):
        greetings.load(tmp_path / "x.wav")
