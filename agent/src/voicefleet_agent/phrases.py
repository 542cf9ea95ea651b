"""Sentences spoken ahead of time and kept as files: they start at once, with nobody to wait for.

One folder a client, one file a voice and sentence, so that a change of either makes a new one.
"""

from __future__ import annotations

import hashlib
import os
import wave
from collections.abc import Iterable
from enum import Enum
from pathlib import Path

from voicefleet_agent.audio import SAMPLE_RATE
from voicefleet_dialogue import locale as locales


class Essential(Enum):
    """What must be sayable when nothing works any more; in the words of the client's locale."""

    FILLER = "ack"
    STILL = "still"
    LONGER = "longer"
    AGAIN = "again"
    DEAF = "deaf"
    CONNECTING = "connecting_someone"
    GOODBYE = "call_later"

    def words(self, locale: str) -> str:
        """The sentence; raises KeyError for a locale that we do not have."""
        return locales.load(locale).say(self.value)


FILLER, STILL, LONGER, AGAIN, DEAF, CONNECTING, GOODBYE = Essential
FILLERS = (FILLER, STILL, LONGER)


def essential(locale: str) -> list[str]:
    """All of them."""
    return [phrase.words(locale) for phrase in Essential]


class Phrases:
    """What has been spoken ahead for one client."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, voice: str, text: str) -> Path:
        """The file of these words in this voice."""
        key = hashlib.sha256(f"{voice}\0{SAMPLE_RATE}\0{text}".encode()).hexdigest()
        return self.folder / f"{key}.wav"

    def find(self, voice: str, text: str) -> bytes | None:
        """16-bit mono PCM at `SAMPLE_RATE`; None where it is not there (yet)."""
        try:
            with wave.open(str(self.path(voice, text)), "rb") as wav:
                shape = (wav.getframerate(), wav.getnchannels(), wav.getsampwidth())
                return wav.readframes(wav.getnframes()) if shape == (SAMPLE_RATE, 1, 2) else None
        except (OSError, wave.Error, EOFError):
            return None

    def keep(self, voice: str, text: str, pcm: bytes) -> None:
        """Write the file whole or not at all; raises OSError."""
        write(self.path(voice, text), pcm)

    def prune(self, voices: Iterable[str], texts: Iterable[str]) -> None:
        """Remove what earlier words left behind; a call has read its file whole by then."""
        words = list(texts)
        keep = {self.path(voice, text) for voice in voices for text in words}
        for old in self.folder.glob("*.wav"):
            if old not in keep:
                old.unlink(missing_ok=True)


def write(path: Path, pcm: bytes) -> None:
    """A WAV file, whole or not at all; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with wave.open(str(partial), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(SAMPLE_RATE)
            out.writeframes(pcm)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
