"""What can be read from the two directions of a recorded call, and nothing else.

Times are seconds from the recording's beginning, one clock for both directions; samples are
float64 in -1…1 at `RATE`. What the caller said and when it ended is known, not measured: the robot
said it. What the agent said is known from its own record, up to `TOLERANCE`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voicefleet_cli.telephone.sound import RATE, Samples, levels

STEP = 0.005
"""Seconds: how finely the beginning of a sound is looked for."""
LOUD = 0.004
"""RMS, -48 dB below full scale: above a quiet line, below any speech."""
SHORTEST = 0.03
"""Seconds of loudness that make a sound; a click is none."""
JOIN = 0.25
"""Silence within a sentence; longer ones part two sounds."""
TOLERANCE = 0.3
"""Seconds between what the agent's record says and what is heard: network and jitter buffer."""
EARLY = 0.06
"""Seconds: a sound that begins this little before the caller has ended does not cut in."""


@dataclass(frozen=True, slots=True)
class Sound:
    """Something that is heard, from its first to its last loud moment."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Utterance:
    """What the agent's record says that it said, in order, and when: no later than it is heard."""

    at: float
    answer: bool
    """False: an acknowledgement or a filler, which does not count as an answer."""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of one turn of the caller's."""

    answer: float | None
    """Seconds from the end of the caller's speech to the first sound of the answer."""
    first_sound: float | None
    """The same, to any sound: an acknowledgement or a filler counts."""
    cut_off: bool
    """The agent began to speak before the caller had ended."""


def sounds(samples: Samples) -> list[Sound]:
    """Everything that is heard, in order."""
    step = round(STEP * RATE)
    loud = levels(samples, step) > LOUD
    edges = np.flatnonzero(np.diff(np.concatenate(([0], loud.astype(np.int8), [0]))))
    found: list[Sound] = []
    for start, end in zip(edges[::2] * STEP, edges[1::2] * STEP, strict=True):
        if found and start - found[-1].end < JOIN:
            found[-1] = Sound(found[-1].start, float(end))
        else:
            found.append(Sound(float(start), float(end)))
    return [s for s in found if _loud_seconds(loud, s) >= SHORTEST - 1e-9]


def _loud_seconds(loud: NDArray[np.bool_], sound: Sound) -> float:
    return float(loud[round(sound.start / STEP) : round(sound.end / STEP)].sum()) * STEP


def clock_offset(record: Sequence[Utterance], heard: Sequence[Sound]) -> float:
    """Seconds to add to the record's times to have the recording's.

    From the first thing said, which is the greeting in both; 0 where nothing was said or heard.
    """
    return heard[0].start - record[0].at if record and heard else 0.0


def judge(
    agent: Samples,
    start: float,
    end: float,
    until: float,
    record: Sequence[Utterance] = (),
) -> Heard:
    """What the caller heard of a turn that it spoke from `start` to `end`.

    `until` is when the caller no longer waited for an answer. `record` has what the agent said, by
    the recording's clock: what it does not call an answer is none. Where it is empty every sound is
    one. Nothing may be speaking when the turn begins.
    """
    found = [s for s in sounds(agent[: round(until * RATE)]) if s.start >= start]
    cut_off = any(s.start < end - EARLY for s in found)
    after = [s.start - end for s in found if s.start >= end - EARLY]
    return Heard(
        answer=_answer(agent, start, end, until, found, record),
        first_sound=max(0.0, after[0]) if after else None,
        cut_off=cut_off,
    )


def _answer(
    agent: Samples,
    start: float,
    end: float,
    until: float,
    found: Sequence[Sound],
    record: Sequence[Utterance],
) -> float | None:
    """The first sound after `end` that is no filler.

    A filler may run into its answer without a pause; then the answer begins where the record says.
    """
    for sound in found:
        if sound.start < end - EARLY:
            continue
        before = [u for u in record if start <= u.at <= sound.start + TOLERANCE]
        if not record or (before and before[-1].answer):
            return max(0.0, sound.start - end)
        within = [u for u in record if u.answer and sound.start < u.at < min(sound.end, until)]
        if within:
            begins = round(within[0].at * RATE)
            loud = np.flatnonzero(levels(agent[begins:], round(STEP * RATE)) > LOUD)
            return within[0].at + float(loud[0]) * STEP - end
    return None
