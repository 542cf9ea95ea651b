"""Speak the recordings that `voicefleet tune` measures with, `calls.yaml` to `*.flac` beside it,
and what the callers of `voicefleet loadtest` ask.

    python tests/bench/recordings.py

Needs flite; the voices and the telephone are the corpus's (`corpus/make.py`), the words are not.
"""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import corpus
from bench.corpus.make import spoken, write
from bench.corpus.voices import VOICES
from voicefleet_cli.telephone.sound import LOUDNESS, RATE, at_loudness

FOLDER = Path(str(files("voicefleet_cli").joinpath("recordings")))
NOISES = {"line": 22, "babble": 20}
"""Decibels below the speech."""
NOISE_SECONDS = 4
QUESTION, ASKER = "What are your opening hours?", "rms"


def main() -> None:
    """Write everything anew."""
    for call in yaml.safe_load((FOLDER / "calls.yaml").read_text()):
        for turn in call["turns"]:
            write(FOLDER / turn["sound"], spoken(turn["say"], VOICES[call["voice"]]))
    write(FOLDER / "hours.flac", spoken(QUESTION, VOICES[ASKER]))
    for name, below in NOISES.items():
        bed = at_loudness(corpus.samples(f"{name}.flac"))[: NOISE_SECONDS * RATE]
        level = LOUDNESS * 10 ** (-below / 20)
        write(FOLDER / f"{name}.flac", bed * level / np.sqrt(np.mean(bed**2)))


if __name__ == "__main__":
    main()
