"""Calls that go on at the same time, and what becomes of their sound and answers."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from statistics import fmean, median

from voicefleet_cli.phone import telephone_samples
from voicefleet_cli.telephone import rtp
from voicefleet_cli.telephone.phones import Phone, keep_sending
from voicefleet_cli.telephone.signalling import NotAnswered

QUESTION = Path(str(files(__package__).joinpath("recordings", "hours.flac")))
"""What callers ask, again and again: every client's agent knows its hours, without a model, and
nothing is booked by it."""
CALLER = "+1500555"
"""What callers' numbers begin with: nobody's (Twilio's for tests)."""
MISSING = 0.01
"""Share of packets, lost or late, above which speech audibly suffers (ITU-T G.107 with G.711: a
point of R in a hundred packets is three)."""
BROKEN = 0.01
"""Share of a steady sound that has holes."""
SLOWER = 0.25
"""Seconds that the median answer may come later than with one call."""
SETTLE = 2.0
"""Seconds from the last answer to the first measured packet."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured with so many calls. Times are seconds, shares 0 to 1."""

    calls: int
    answered_after: list[float]
    """Of the calls that rang for this step."""
    rate: float | None
    """Calls a second that were set up, all having rung at once."""
    refused: dict[str, int]
    """Last SIP status of those that were not answered, and how many."""
    dropped: int
    """That the other side has ended."""
    lost: float
    late: float
    jitter: float
    broken: float | None
    """None where what sounds has pauses of its own."""
    answers: list[float]
    """From the end of a question to the first sound of its answer."""
    unanswered: int
    """Questions without an answer."""

    def complaints(self, one: Figures) -> list[str]:
        """Why these are more calls than are carried well; `one` is with a single call."""
        found = [f"{count} refused: {status}" for status, count in self.refused.items()]
        if self.dropped:
            found.append(f"{self.dropped} dropped")
        if self.lost + self.late > MISSING:
            found.append(f"{self.lost + self.late:.1%} of packets lost or late")
        if self.broken is not None and self.broken > BROKEN:
            found.append(f"{self.broken:.1%} of the sound missing")
        if self.unanswered:
            found.append(f"{self.unanswered} questions not answered")
        if self.answers and one.answers and median(self.answers) > median(one.answers) + SLOWER:
            found.append(f"answers {median(self.answers) - median(one.answers):.2f} s later")
        return found


def percentile(values: Sequence[float], percent: int) -> float | None:
    """The least value that so many of 100 do not exceed; None of nothing."""
    return sorted(values)[-(-len(values) * percent // 100) - 1] if values else None


@dataclass
class Load:
    """Callers of one SIP server; to be ended. Calls are added and go on until then."""

    address: str
    port: int
    background: bytes = rtp.SILENCE
    asking: bool = True
    """Whether they ask; else only the background is sent, and what comes back is steady, too."""
    steady: bool = False
    """Whether what comes back has no pauses."""
    phones: list[Phone] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _refused: Counter[str] = field(default_factory=Counter)
    _rang: int = 0

    async def add(self, numbers: Iterable[str]) -> None:
        """Ring all of them at once; returns when each is answered or not."""
        if not self._tasks:
            self._question = rtp.coded(
                sample
                for piece in telephone_samples(QUESTION)
                for sample in memoryview(piece).cast("h")
            )
            self._tasks = [asyncio.create_task(keep_sending(self.phones))]
        new = [Phone(number, self.background) for number in numbers]
        self._rang, self._refused = len(new), Counter()
        self.phones += new
        await asyncio.gather(*(self._ring(phone) for phone in new))

    async def _ring(self, phone: Phone) -> None:
        # Each caller has a number: two of the same would be one participant of a room.
        caller = f"{CALLER}{self.phones.index(phone):04d}"
        try:
            await phone.ring(self.address, self.port, caller)
        except NotAnswered as error:
            self._refused[str(error)] += 1
        else:
            if self.asking:
                self._tasks.append(asyncio.create_task(phone.ask(self._question)))

    async def measure(self, seconds: float) -> Figures:
        """So many seconds of the calls that there are, from now on."""
        begun = time.time()
        for phone in self.phones:
            phone.packets.clear()
        await asyncio.sleep(seconds)
        there = [phone for phone in self.phones if phone.answered is not None]
        heard = [rtp.judge(phone.packets) for phone in there]
        answers = [a for phone in there for a in phone.answers if a.asked > begun]
        new = [phone for phone in self.phones[-self._rang :] if phone.answered is not None]
        took = max((phone.answered or 0) - phone.rang for phone in new) if new else None
        return Figures(
            calls=len(self.phones),
            answered_after=[(phone.answered or 0) - phone.rang for phone in new],
            rate=len(new) / took if took else None,
            refused=dict(self._refused),
            dropped=sum(phone.call.gone.is_set() for phone in there),
            lost=fmean([one.lost for one in heard] or [1.0]),
            late=fmean([one.late for one in heard] or [0.0]),
            jitter=fmean([one.jitter for one in heard] or [0.0]),
            broken=fmean([one.broken for one in heard] or [1.0]) if self.steady else None,
            answers=[a.after for a in answers if a.after is not None],
            unanswered=sum(a.after is None for a in answers),
        )

    async def end(self) -> None:
        """Hang up, all of them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(phone.hang_up() for phone in self.phones))
        self.phones.clear()
        self._tasks.clear()
