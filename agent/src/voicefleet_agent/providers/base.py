"""The interfaces. A language model's is the dialogue's own (`voicefleet_dialogue.acts`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


class ProviderFailed(Exception):
    """A provider refused, broke or took too long; the text never holds what was said."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said."""

    text: str
    """Empty for noise."""
    end_of_turn: float | None = None
    """Probability (0 to 1) that it sounds ended, where the provider tells."""


Fit = Literal["Surely", "Perhaps", "No"]
"""Whether words answer what was asked."""


class Asked(Protocol):
    """What the caller was asked (the dialogue): who can hear in several ways, chooses by it."""

    @property
    def likely(self) -> Sequence[str]:
        """Words and phrases that the answer may hold."""
        ...

    def fit(self, heard: str) -> Fit:
        """Whether the words are an answer."""
        ...


class Transcriber(Protocol):
    """Sound to text."""

    @property
    def name(self) -> str:
        """Provider and model."""
        ...

    async def transcribe(self, pcm: bytes, asked: Asked | None = None) -> Transcript:
        """The words in `pcm` (16-bit mono at 16 kHz); raises ProviderFailed."""
        ...


class Speaker(Protocol):
    """Text to sound."""

    @property
    def name(self) -> str:
        """Provider and voice: the same name is the same sound."""
        ...

    def speak(self, text: str) -> AsyncIterator[bytes]:
        """16-bit mono PCM at 16 kHz as it is made; raises ProviderFailed."""
        ...
