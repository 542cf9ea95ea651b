"""How much of what callers say the dialogue answers rightly by itself, without a language model.

    python tests/bench/understanding.py            # the corpus's words as they are written
    python tests/bench/understanding.py --heard    # as the transcriber hears them by telephone

Prints the share by label, and with -v each turn that was answered wrongly.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import corpus, right
from bench.corpus import Call, Turn
from bench.machine import config
from bench.robot import Script
from support.dialogues import MemoryCalendar
from support.ears import Ears
from voicefleet_agent.providers.base import Asked
from voicefleet_api.calls import CallRecord
from voicefleet_cli.telephone.sound import RATE
from voicefleet_dialogue.acts import Act, Say
from voicefleet_dialogue.dialogue import Dialogue

NOW = datetime.fromisoformat("2026-11-23T09:00:00-06:00")
LEAD, TAIL = 0.3, 0.06
"""Seconds of the line around the words that the agent's transcriber gets."""

Hears = Callable[[Call, Turn, Asked], str]
"""A turn of a call to words; the last tells what was asked."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A turn as it went."""

    turn: Turn
    heard: str
    reply: str
    rightly: bool


def written(call: Call, turn: Turn, asked: Asked) -> str:
    """The words, without the marks for pauses."""
    return re.sub(r"\[\d+\] ?", "", turn.say)


def by_telephone() -> Hears:
    """What the agent's local transcriber makes of the recording and the noise around it."""
    ears = Ears()

    def hear(call: Call, turn: Turn, asked: Asked) -> str:
        words = np.pad(corpus.speech(turn), (int(LEAD * RATE), int(TAIL * RATE)))
        narrow = words + np.resize(corpus.noise(call), len(words))
        spectrum = np.pad(np.fft.rfft(narrow), (0, len(narrow) - len(narrow) // 2))
        wide = 2 * np.fft.irfft(spectrum, 2 * len(narrow))
        pcm = (wide.clip(-1, 1) * 32767).astype("<i2").tobytes()
        return asyncio.run(ears.transcribe(pcm, asked)).text

    return hear


def talk(call: Call, hears: Hears) -> Iterator[Answered]:
    """The call, in the order in which a caller says its turns (`robot.Script`)."""
    settings = config(call.client, "ws://127.0.0.1:1")
    dialogue = Dialogue(settings, MemoryCalendar(settings, NOW), clock=lambda: NOW)
    script = Script(call)
    last = _words(dialogue.commit(dialogue.open()))
    turn = script.in_order()
    said: list[tuple[Turn, str, str, bool]] = []
    while turn is not None and len(said) < 2 * len(call.turns):
        heard = hears(call, turn, dialogue)
        considered = dialogue.consider(heard)
        assert considered is not None
        acts = dialogue.commit(considered)
        last = _words(acts)
        again = script.asked(last) == turn.asked and turn.asked != "more"
        said.append((turn, heard, last, bool(last) and not again))
        if any(not isinstance(act, Say) for act in acts):
            break
        turn = script.next(last, turn)
    outcome = dialogue.outcome
    record = CallRecord.model_construct(
        started=NOW,
        slots=dict(outcome.slots),
        appointments=outcome.appointments,
        outcome=outcome.result,
        transferred_to=outcome.transferred_to,
    )
    for turn, heard, reply, moved_on in said:
        rightly = right.answered_rightly(turn, record, reply, moved_on=moved_on)
        yield Answered(turn, heard, reply, rightly)


def _words(acts: Iterator[Act]) -> str:
    return " ".join(act.text for act in acts if isinstance(act, Say))


def shares(answered: list[Answered]) -> dict[str, float]:
    """By label, and of all."""
    found: dict[str, list[bool]] = defaultdict(list)
    for one in answered:
        found[one.turn.label].append(one.rightly)
        found["all"].append(one.rightly)
    return {label: sum(values) / len(values) for label, values in found.items()}


def main() -> None:
    """Talk and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heard", action="store_true", help="the sound, not the words")
    parser.add_argument("-v", action="store_true", help="each turn that was answered wrongly")
    args = parser.parse_args()
    hears = by_telephone() if args.heard else written
    answered = [one for call in corpus.calls() for one in talk(call, hears)]
    if args.v:
        for one in answered:
            if not one.rightly:
                print(f"{one.turn.id}: {one.turn.say} | {one.heard} | {one.reply}")
    for label, share in shares(answered).items():
        print(f"{label}: {share:.1%} answered rightly")


if __name__ == "__main__":
    main()
