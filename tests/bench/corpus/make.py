"""Speak the corpus: `calls.yaml` to `audio/*.flac` and `index.json`.

    python -m bench.corpus.make   (in tests/)

Needs flite. Turns are kept clean, in the telephone's band, one file a call; the noises
are files of their own, which the caller robot mixes in, since on a real line the noise goes on when
nobody speaks. The same words give the same samples: nothing here is random but seeded noise.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import av
import numpy as np
import yaml

from bench.corpus.voices import VOICES, Speak
from voicefleet_cli.telephone.sound import (
    RATE,
    Samples,
    at_loudness,
    babble,
    hum,
    street,
    telephone,
    trim,
)

HERE = Path(__file__).parent
AUDIO = HERE / "audio"
SPACE = np.zeros(RATE // 2)
"""Between two turns in a file."""
NOISE_SECONDS = 15


def spoken(say: str, speak: Speak) -> Samples:
    """The words, with pauses of exactly the length that is written: [300] is 300 ms.

    Every piece is trimmed to its first and last sound, so the result ends with its last word.
    """
    pieces: list[Samples] = []
    for number, piece in enumerate(re.split(r"\[(\d+)\]", say)):
        if number % 2:
            pieces.append(np.zeros(int(piece) * RATE // 1000))
        else:
            samples, rate = speak(piece.strip())
            pieces.append(at_loudness(trim(telephone(samples, rate))))
    return np.concatenate(pieces)


def write(file: Path, samples: Samples) -> str:
    """A FLAC file; the SHA-256 of its samples (16 bit, little endian)."""
    pcm = (samples.clip(-1, 1) * 32767).astype("<i2")
    with av.open(str(file), "w") as out:
        stream = out.add_stream("flac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(pcm[np.newaxis], format="s16", layout="mono")
        frame.sample_rate = RATE
        for packet in (*stream.encode(frame), *stream.encode(None)):
            out.mux(packet)
    return hashlib.sha256(pcm.tobytes()).hexdigest()


def main() -> None:
    """Write everything anew."""
    AUDIO.mkdir(exist_ok=True)
    index: dict[str, Any] = {"rate": RATE, "files": {}, "turns": {}}
    everything: list[Samples] = []
    for call in yaml.safe_load((HERE / "calls.yaml").read_text())["calls"]:
        name, parts, at = f"{call['id']}.flac", [], 0
        for number, turn in enumerate(call["turns"], 1):
            samples = spoken(turn["say"], VOICES[call["voice"]])
            index["turns"][f"{call['id']}/{number}"] = {"start": at, "end": at + len(samples)}
            parts += [samples, SPACE]
            at += len(samples) + len(SPACE)
        index["files"][name] = write(AUDIO / name, np.concatenate(parts))
        everything += parts[::2]
        print(name, f"{at / RATE:.1f} s", flush=True)
    size = NOISE_SECONDS * RATE
    beds = {
        "line": hum(size, 1),
        "street": street(size, 2),
        "babble": babble(size, 3, np.concatenate(everything)),
    }
    for name, noise in beds.items():
        index["files"][f"{name}.flac"] = write(AUDIO / f"{name}.flac", at_loudness(noise))
    (HERE / "index.json").write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main()
