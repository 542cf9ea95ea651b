"""Dialogues without sound: how many callers one core talks with at the same time."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from support.dialogues import config
from voicefleet_dialogue.booking import Bookings
from voicefleet_dialogue.booking.bookings import now
from voicefleet_dialogue.dialogue import Dialogue

SCRIPTS = Path(__file__).parents[1] / "golden" / "dialogues"
PACE = 4.0
"""Seconds from one turn of a caller's to the next."""
LATE = 0.05
"""Seconds at p95 after the caller's words, above which callers notice: a tenth of an answer."""


@dataclass(frozen=True, slots=True)
class Talks:
    """What so many conversations at once came to, in one process."""

    conversations: int
    turns: int
    seconds: float
    late: float
    """Seconds from a caller's words to the answer's, p95, waiting for other callers included."""
    core: float
    """Share of one core."""

    def complaints(self) -> list[str]:
        """Why these are too many."""
        return [f"answers after {1000 * self.late:.0f} ms"] if self.late > LATE else []


async def measure(conversations: int, seconds: float, folder: Path) -> Talks:
    """Callers who say what the golden dialogues have, each to a client with a calendar of its own
    in `folder`; the machine's time counts, since bookings are written to its disk."""
    waits: list[float] = []
    begun, spent = time.monotonic(), time.process_time()
    callers = [
        asyncio.create_task(_caller(number, folder / str(number), waits, begun + seconds))
        for number in range(conversations)
    ]
    await asyncio.gather(*callers)
    return Talks(
        conversations,
        len(waits),
        seconds,
        sorted(waits)[int(0.95 * len(waits))],
        (time.process_time() - spent) / (time.monotonic() - begun),
    )


async def _caller(number: int, folder: Path, waits: list[float], until: float) -> None:
    due = time.monotonic() + random.Random(number).uniform(0, PACE)
    scripts = itertools.cycle(_scripts())
    for profession, lines in itertools.islice(scripts, number % len(_scripts()), None):
        settings = config(profession)
        dialogue = Dialogue(settings, Bookings(folder, settings), clock=now)
        dialogue.commit(dialogue.open())
        for words in lines:
            await asyncio.sleep(due - time.monotonic())
            if time.monotonic() > until:
                return
            # As a call does it: what is likely, whether it is an answer, what to say to it.
            _ = dialogue.likely, dialogue.fit(words), dialogue.expects.judge(words)
            turn = dialogue.consider(words)
            if turn is not None:
                dialogue.commit(turn)
            waits.append(time.monotonic() - due)
            due += PACE


@cache
def _scripts() -> list[tuple[str, list[str]]]:
    """Profession and what its caller says."""
    return [
        (file.stem, [line["caller"] for line in script["talk"] if line.get("caller")])
        for file in sorted(SCRIPTS.glob("*.yaml"))
        for script in yaml.safe_load(file.read_text())
    ]
