"""Whether a turn was answered rightly: by facts that the call left behind, never by a model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from rapidfuzz import fuzz

from bench.corpus import Turn
from voicefleet_api.calls import CallRecord

ALIKE = 85
"""Of 100: a name or a street that is transcribed this well could be found by the business."""
_YES_NO = {"true": "yes", "false": "no", "y": "yes", "n": "no"}
_FIGURES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def answered_rightly(turn: Turn, record: CallRecord, reply: str, *, moved_on: bool) -> bool:
    """Compare with what the corpus says.

    `reply` is what the agent said next; `moved_on` says whether it did not ask the same again.
    """
    right = turn.right
    if "slot" in right:
        return all(same(turn, record.slots.get(key), value) for key, value in right["slot"].items())
    if "booked" in right:
        return _booked(right["booked"], record)
    if "spoken" in right:
        return spoken(reply, right["spoken"])
    if "outcome" in right:
        return _outcome(right["outcome"], record)
    return moved_on


def same(turn: Turn, found: str | None, wanted: str) -> bool:
    """Whether a slot holds the wanted value, however it is written."""
    if found is None:
        return wanted == "none"
    have, want = found.strip().lower(), wanted.lower()
    if turn.kind == "number":
        return _digits(have) == _digits(want)
    if turn.kind == "address" and _digits(have) != _digits(want):
        return False
    if turn.kind in ("name", "address"):
        return fuzz.ratio(_plain(have), _plain(want)) >= ALIKE
    if turn.kind == "yesNo":
        return _YES_NO.get(have, have) == want
    if turn.kind == "open":
        return want in have or fuzz.partial_ratio(want, have) >= ALIKE
    return have == want


def spoken(text: str, wanted: Sequence[str]) -> bool:
    """Whether one of these facts is in the text."""
    return any(_plain(words) in _plain(text) for words in wanted)


def _booked(wanted: Mapping[str, str], record: CallRecord) -> bool:
    if not record.appointments:
        return False
    starts = record.appointments[-1].starts
    day, time = wanted.get("day"), wanted.get("time")
    return (time is None or f"{starts:%H:%M}" == time) and (
        day is None or _day(starts, record.started) == day or f"{starts:%A}" == day
    )


def _day(starts: datetime, called: datetime) -> str:
    tomorrow = called.astimezone(starts.tzinfo).date() + timedelta(days=1)
    return "tomorrow" if starts.date() == tomorrow else f"{starts:%A}"


def _outcome(wanted: str, record: CallRecord) -> bool:
    """A call that was on its way to a booking when it ended has a slot filled."""
    if wanted == "Booked":
        return record.booked_appointment or bool(record.slots)
    if wanted == "Emergency":
        return record.outcome == "Emergency" or record.transferred_to is not None
    return record.outcome == wanted


def _plain(text: str) -> str:
    """Small letters and figures, with single spaces."""
    return " ".join(re.sub(r"[^a-z0-9]+", " ", text.lower()).split())


def _digits(text: str) -> str:
    """The figures in it, written as figures or as words; a number of ten is a telephone's."""
    words = [str(_FIGURES.index(w)) if w in _FIGURES else w for w in _plain(text).split()]
    figures = re.sub(r"\D", "", "".join(words))
    return figures[1:] if len(figures) == 11 and figures[0] == "1" else figures
