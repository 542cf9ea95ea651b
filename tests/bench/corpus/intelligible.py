"""How well the machine's own transcribers understand the corpus, by voice, and how long they take.

Word error rate of the turns without numbers (which can be written in many ways), and error rate of
the figures of telephone numbers.

    python -m bench.corpus.intelligible [TRANSCRIBER…]   (in tests/)

Clean turns, as they are on disk. A voice that no model understands would measure nothing.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections import defaultdict

import numpy as np
from rapidfuzz.distance import Levenshtein

from bench import corpus
from voicefleet_cli.telephone.sound import RATE, Samples
from voicefleet_models.transcribers import RATE as HEARD_RATE
from voicefleet_models.transcribers import Moonshine, Whisper

FIGURES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TELEPHONE = 10


def words(text: str) -> list[str]:
    """As compared: small letters, no hesitations."""
    plain = re.sub(r"\[\d+\]", " ", text.lower()).replace("'", "")
    return [word for word in re.findall(r"[a-z0-9]+", plain) if word not in ("um", "uh")]


def figures(text: str) -> list[str]:
    """Only figures, as a telephone number has them ("oh" is one)."""
    plain = [word.replace("oh", "zero") for word in words(text)]
    spelled = [str(FIGURES.index(word)) if word in FIGURES else word for word in plain]
    return re.findall(r"\d", " ".join(spelled))


MODELS = {"moonshine": Moonshine, "whisper": Whisper}


def widened(samples: Samples) -> np.ndarray:
    """As 16-bit samples at the transcribers' rate, by linear interpolation."""
    length = len(samples) * HEARD_RATE // RATE
    at = np.arange(length) * RATE / HEARD_RATE
    return (np.interp(at, np.arange(len(samples)), samples) * 32767).astype(np.int16)


def main() -> None:
    """Print the rates."""
    models = {name: MODELS[name]() for name in sys.argv[1:] or MODELS}
    wrong: dict[tuple[str, str, str], int] = defaultdict(int)
    count: dict[tuple[str, str, str], int] = defaultdict(int)
    seconds: dict[str, list[float]] = defaultdict(list)
    for model in models.values():
        model.load()
    silence = np.zeros(RATE // 2)
    for call in corpus.calls():
        for turn in call.turns:
            telephone = len(figures(turn.say)) >= TELEPHONE
            if not telephone and turn.kind in ("number", "date", "time", "address"):
                continue
            sound = widened(np.concatenate([silence, corpus.speech(turn), silence]))
            parts = figures if telephone else words
            for name, model in models.items():
                started = time.monotonic()
                heard = model.text(sound)
                seconds[name].append(time.monotonic() - started)
                for voice in (call.voice, "all"):
                    where = voice, parts.__name__, name
                    wrong[where] += Levenshtein.distance(parts(turn.say), parts(heard))
                    count[where] += len(parts(turn.say))
                print(f"{turn.id:16} {name:10} {turn.say} | {heard}", file=sys.stderr)
    for where in sorted(count):
        print("{:12} {:8} {:10}".format(*where), f"{wrong[where] / count[where]:6.1%}", end=" ")
        print(f"of {count[where]}")
    for name, took in seconds.items():
        half, most = np.percentile(took, (50, 95))
        print(f"{name}: {half:.2f} s p50, {most:.2f} s p95 of {len(took)}; load", os.getloadavg())


if __name__ == "__main__":
    main()
