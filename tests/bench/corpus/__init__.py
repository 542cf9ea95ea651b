"""Caller turns with the answers that count as right: words, labels, sound at 8 kHz."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import yaml

from voicefleet_cli.telephone.sound import Samples, mixed

HERE = Path(__file__).parent

Label = Literal["closed", "slot", "open"]
KINDS: dict[str, Label] = {
    "yesNo": "closed",
    "time": "closed",
    "choice": "closed",
    "name": "slot",
    "number": "slot",
    "date": "slot",
    "address": "slot",
    "open": "open",
}


@dataclass(frozen=True, slots=True)
class Turn:
    """What a caller says once."""

    id: str
    """`call/number`."""
    asked: str
    """What the agent has just asked: see `calls.yaml`."""
    kind: str
    say: str
    right: dict[str, Any]

    @property
    def label(self) -> Label:
        """Which of the three goals applies."""
        return KINDS[self.kind]


@dataclass(frozen=True, slots=True)
class Call:
    """A caller and what it says, in order."""

    id: str
    client: str
    voice: str
    noise: str
    """`none`, or kind and distance in dB below the speech: `street-15`."""
    turns: tuple[Turn, ...]


@cache
def calls() -> tuple[Call, ...]:
    """The corpus."""
    made = []
    for call in yaml.safe_load((HERE / "calls.yaml").read_text())["calls"]:
        turns = [Turn(f"{call['id']}/{i}", **turn) for i, turn in enumerate(call.pop("turns"), 1)]
        made.append(Call(**call, turns=tuple(turns)))
    return tuple(made)


@cache
def clients() -> dict[str, dict[str, Any]]:
    """What each called business knows, by profession."""
    loaded: dict[str, dict[str, Any]] = yaml.safe_load((HERE / "clients.yaml").read_text())
    return loaded


@cache
def index() -> dict[str, Any]:
    """Where each turn is in its call's file, in samples; SHA-256 of each file's samples."""
    loaded: dict[str, Any] = json.loads((HERE / "index.json").read_text())
    return loaded


def pcm(name: str) -> bytes:
    """A file's samples: 16 bit, little endian, 8 kHz."""
    with av.open(str(HERE / "audio" / name)) as file:
        return b"".join(f.to_ndarray().astype("<i2").tobytes() for f in file.decode(audio=0))


@cache
def samples(name: str) -> Samples:
    """A file's samples in -1…1."""
    return np.frombuffer(pcm(name), "<i2") / 32768


def speech(turn: Turn) -> Samples:
    """The clean words, from their first to their last sound."""
    place = index()["turns"][turn.id]
    return samples(f"{turn.id.partition('/')[0]}.flac")[place["start"] : place["end"]]


def noise(call: Call) -> Samples:
    """What goes on in the background of the call, to be repeated; zeros where it is quiet."""
    kind, _, distance = call.noise.partition("-")
    bed = samples("line.flac" if kind == "none" else f"{kind}.flac")
    return mixed(bed * 0, bed, float(distance or np.inf))
