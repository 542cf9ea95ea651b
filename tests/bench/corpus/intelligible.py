"""How well the machine's own transcriber understands the corpus, by voice.

Word error rate of the turns without numbers (which can be written in many ways), and error rate of
the figures of telephone numbers.

    python -m bench.corpus.intelligible   (in tests/)

Clean turns, as they are on disk. A voice that no model understands would measure nothing.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict

import numpy as np
from moonshine_voice import ModelArch, Transcriber, get_model_path
from rapidfuzz.distance import Levenshtein

from bench import corpus
from bench.corpus.sound import RATE

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


def main() -> None:
    """Print the rates."""
    wrong: dict[tuple[str, str], int] = defaultdict(int)
    count: dict[tuple[str, str], int] = defaultdict(int)
    silence = np.zeros(RATE // 2)
    with Transcriber(get_model_path("tiny-en"), ModelArch.TINY) as transcriber:
        for call in corpus.calls():
            for turn in call.turns:
                telephone = len(figures(turn.say)) >= TELEPHONE
                if not telephone and turn.kind in ("number", "date", "time", "address"):
                    continue
                sound = np.concatenate([silence, corpus.speech(turn), silence])
                lines = transcriber.transcribe_without_streaming(sound.tolist(), RATE).lines
                heard = " ".join(line.text for line in lines)
                parts = figures if telephone else words
                for key in (call.voice, "all"):
                    where = key, parts.__name__
                    wrong[where] += Levenshtein.distance(parts(turn.say), parts(heard))
                    count[where] += len(parts(turn.say))
                print(f"{turn.id:16} {turn.say} | {heard}", file=sys.stderr)
    for voice, what in sorted(count):
        rate = wrong[voice, what] / count[voice, what]
        print(f"{voice:12} {what:8} {rate:6.1%} of {count[voice, what]}")


if __name__ == "__main__":
    main()
