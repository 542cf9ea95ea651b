"""Tones: a sound that is found again."""

from __future__ import annotations

import wave
from array import array
from math import pi, sin
from pathlib import Path


def tone(file: Path, hertz: int, *, seconds: float, rate: int) -> Path:
    """Write a sine tone (WAV, 16 bit, one channel)."""
    samples = array(
        "h", (int(12000 * sin(2 * pi * hertz * n / rate)) for n in range(int(rate * seconds)))
    )
    with wave.open(str(file), "wb") as sound:
        sound.setparams((1, 2, rate, 0, "NONE", ""))
        sound.writeframes(samples.tobytes())
    return file


def loudness(samples: array[int], hertz: int, rate: int) -> float:
    """How much of one frequency is in the samples (Goertzel's sum); 1 is nothing else."""
    real = sum(v * sin(2 * pi * hertz * n / rate) for n, v in enumerate(samples))
    imaginary = sum(v * sin(2 * pi * hertz * n / rate + pi / 2) for n, v in enumerate(samples))
    energy = sum(v * v for v in samples)
    return 2 * (real**2 + imaginary**2) / (len(samples) * energy) if energy else 0.0
