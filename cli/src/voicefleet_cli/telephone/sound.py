"""Telephone sound: band, µ-law, noise at a stated distance, and where speech begins and ends.

Samples are float64 in -1…1 at `RATE`.
"""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]

RATE = 8000
"""Hz, of every telephone line (G.711)."""
LOW, HIGH = 300.0, 3400.0
"""Hz, the band that a telephone line carries."""
LOUDNESS = 0.05
"""RMS of active speech, -26 dB below full scale, as on a telephone line (ITU-T P.56)."""
_BIAS, _CLIP = 33, 8159
QUIET_DB = -40.0
"""Below the loudest 10 ms of a piece of speech; what is quieter at its ends is not speech."""


def telephone(samples: Samples, rate: int) -> Samples:
    """The same sound at 8 kHz, 300 to 3400 Hz; linear phase, so nothing is shifted in time."""
    size = round(len(samples) * RATE / rate)
    spectrum = np.fft.rfft(samples)
    frequencies = np.fft.rfftfreq(len(samples), 1 / rate)
    rise = np.clip((frequencies - LOW + 50) / 100, 0, 1)
    fall = np.clip((HIGH + 100 - frequencies) / 200, 0, 1)
    spectrum *= np.sin(np.pi / 2 * rise) ** 2 * np.sin(np.pi / 2 * fall) ** 2
    bins = size // 2 + 1
    kept = np.pad(spectrum[:bins], (0, max(0, bins - len(spectrum))))
    return np.fft.irfft(kept, size) * size / len(samples)


def levels(samples: Samples, step: int = RATE // 100) -> Samples:
    """RMS of each 10 ms."""
    whole = samples[: len(samples) // step * step].reshape(-1, step)
    return np.asarray(np.sqrt(np.mean(whole**2, axis=1)))


def trim(samples: Samples) -> Samples:
    """Without the silence before the first and after the last sound, to 10 ms."""
    step = RATE // 100
    energy = levels(samples, step)
    loud = np.flatnonzero(energy > energy.max() * 10 ** (QUIET_DB / 20))
    return samples[loud[0] * step : (loud[-1] + 1) * step]


def active_rms(samples: Samples) -> float:
    """RMS of the parts that carry speech."""
    energy = levels(samples)
    active = energy[energy > energy.max() * 10 ** (QUIET_DB / 20)]
    return float(np.sqrt(np.mean(active**2)))


def at_loudness(samples: Samples) -> Samples:
    """Scaled to `LOUDNESS`."""
    return samples * (LOUDNESS / active_rms(samples))


def encode(samples: Samples) -> bytes:
    """To G.711 µ-law: 8 bits with a logarithmic step."""
    linear = np.round(np.clip(samples, -1, 1) * _CLIP).astype(int)
    magnitude = np.minimum(np.abs(linear), _CLIP - _BIAS) + _BIAS
    exponent = np.floor(np.log2(magnitude)).astype(int) - 5
    mantissa = (magnitude >> (exponent + 1)) & 0x0F
    coded = ~(np.where(linear < 0, 0x80, 0) | exponent << 4 | mantissa) & 0xFF
    return bytes(coded.astype(np.uint8).tobytes())


def decode(coded: bytes) -> Samples:
    """From G.711 µ-law."""
    value = ~np.frombuffer(coded, np.uint8).astype(int) & 0xFF
    magnitude = (((value & 0x0F) << 1) + _BIAS << (value >> 4 & 7)) - _BIAS
    return np.asarray(np.where(value & 0x80, -magnitude, magnitude) / _CLIP)


def mixed(speech: Samples, noise: Samples, decibels: float) -> Samples:
    """`speech` at `LOUDNESS` with as much of `noise`, `decibels` quieter."""
    level = LOUDNESS * 10 ** (-decibels / 20)
    return np.asarray(speech + noise * (level / np.sqrt(np.mean(noise**2))))


def hum(samples: int, seed: int) -> Samples:
    """A bad line: hiss, with overtones of the mains."""
    random = np.random.default_rng(seed)
    time = np.arange(samples) / RATE
    mains = sum(np.sin(2 * np.pi * 60 * n * time) / n for n in (6, 8, 10, 14))
    return telephone(random.standard_normal(samples) + mains, RATE)


def street(samples: int, seed: int) -> Samples:
    """Traffic: pink noise that swells as cars pass."""
    random = np.random.default_rng(seed)
    spectrum = np.fft.rfft(random.standard_normal(samples))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    time = np.arange(samples) / RATE
    swell = 1 + 0.6 * np.sin(2 * np.pi * time / 3.7) + 0.4 * np.sin(2 * np.pi * time / 9.1)
    return telephone(np.fft.irfft(spectrum, samples) * (0.2 + swell.clip(0)), RATE)


def babble(samples: int, seed: int, speech: Samples, people: int = 8) -> Samples:
    """A full room: `people` who talk at the same time, each from another place of `speech`."""
    random = np.random.default_rng(seed)
    places = random.integers(0, len(speech) - samples, people)
    return np.asarray(np.sum([speech[at : at + samples] for at in places], axis=0))


def save(file: Path, *sides: Samples) -> None:
    """A WAV file with a channel for each; the shorter ones end in silence."""
    size = max(map(len, sides))
    both = np.stack([np.pad(side, (0, size - len(side))) for side in sides], axis=1)
    with wave.open(str(file), "wb") as out:
        out.setparams((len(sides), 2, RATE, 0, "NONE", ""))
        out.writeframes((both.clip(-1, 1) * 32767).astype("<i2").tobytes())
