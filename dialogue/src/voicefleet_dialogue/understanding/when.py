"""Days and times of day in speech, relative to now and the business's opening hours."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, time, timedelta

from voicefleet_dialogue.locale import Locale

_TWO_DIGITS = re.compile(r"\s+(\d\d)\b")
_RUNS_ON = re.compile(r"\u00a7\s*\d")

Opens = Callable[[date | None, time], bool]
"""Whether the business is open then (on any day, where none is given)."""


@dataclass(frozen=True, slots=True)
class When:
    """A wish for a time: as much of it as was said."""

    day: date | None = None
    until: date | None = None
    """Last day, where a span such as "next week" was named; `day` is its first then."""
    at: time | None = None
    part: tuple[time, time] | None = None
    """Part of the day: from, to."""
    soonest: bool = False
    weekday: bool = False
    """Only a day of the week was said."""

    def __bool__(self) -> bool:
        return bool(self.day or self.at or self.part or self.soonest)

    def over(self, earlier: When) -> When:
        """What is said now, completed by what was said before."""
        time_said = self.at or self.part
        return replace(
            self,
            day=self.day or earlier.day,
            until=self.until if self.day else earlier.until,
            at=self.at or (None if time_said or self.soonest else earlier.at),
            part=self.part or (None if time_said or self.soonest else earlier.part),
            soonest=self.soonest or (earlier.soonest and not self),
        )

    def amending(self, earlier: When) -> When:
        """As a correction: "no, I meant Thursday" is that of the week talked about."""
        new = self
        if self.weekday and self.day and earlier.day and earlier.day > self.day:
            weeks = round((earlier.day - self.day).days / 7)
            new = replace(self, day=self.day + timedelta(weeks=weeks))
        return new.over(earlier)


def find(text: str, today: date, locale: Locale, opens: Opens, *, bare: bool = False) -> When:
    """The wish in an evened text with digits; `bare`: a lone number is an hour."""
    found, rest = _day(text, today, locale)
    part = _part(rest, locale)
    # "monday ten thirty": beside a day a pair is a time; a lone number only right behind it.
    pairs = ("clock", "bare") if bare or _RUNS_ON.search(rest) else ("clock", "pair")
    at = _time(rest, locale, opens, found.day, part, pairs if found or bare else ("clock",))
    return replace(
        found,
        at=at,
        part=part if at is None else None,
        soonest=at is None and locale.matches(text, "times", "soonest"),
    )


def find_date(text: str, today: date, locale: Locale) -> date | None:
    """A day in the past or the future, such as one of birth; without a year the nearest one."""
    for pattern in locale.patterns("dates", "month_day"):
        if match := pattern.search(text):
            month = _month(match["month"], locale)
            said = match["year"] or _TWO_DIGITS.match(text[match.end() :])
            year = (
                None if said is None else _year(said if isinstance(said, str) else said[1], today)
            )
            if year is not None:
                return _date(year, month, int(match["day"]))
            near = [_date(today.year + step, month, int(match["day"])) for step in (-1, 0, 1)]
            return min((d for d in near if d), key=lambda d: abs((d - today).days), default=None)
    return _day(text, today, locale)[0].day


def _day(text: str, today: date, locale: Locale) -> tuple[When, str]:
    """The day, and the text with a mark in its place."""
    for pattern, make in _rules(today, locale):
        for match in pattern.finditer(text):
            made = make(match)
            if made is not None:
                return made, f"{text[: match.start()]} \u00a7 {text[match.end() :]}"
    return When(), text


def _rules(
    today: date, locale: Locale
) -> Iterator[tuple[re.Pattern[str], Callable[[re.Match[str]], When | None]]]:
    monday = today + timedelta(days=7 - today.weekday())

    def weekday(match: re.Match[str]) -> int:
        return locale.alternatives("weekdays", match["weekday"])

    def coming(index: int) -> date:
        return today + timedelta(days=(index - today.weekday()) % 7 or 7)

    def count(match: re.Match[str], unit: int) -> When:
        n = int(match["n"]) if match["n"].isdigit() else 1
        return When(day=today + timedelta(days=min(n, 999) * unit))

    def month_day(match: re.Match[str]) -> When | None:
        month, day = _month(match["month"], locale), int(match["day"])
        if match["year"]:
            found = _date(_year(match["year"], today), month, day)
        else:
            found = _date(today.year, month, day)
            if found and found < today:
                found = _date(today.year + 1, month, day)
        return When(day=found) if found else None

    def day_of_month(match: re.Match[str]) -> When | None:
        for step in range(3):
            year, month = divmod(today.month - 1 + step, 12)
            found = _date(today.year + year, month + 1, int(match["day"]))
            if found and found >= today:
                return When(day=found)
        return None

    def offset(days: int) -> Callable[[re.Match[str]], When]:
        return lambda match: When(day=today + timedelta(days=days))

    dates = locale.data["dates"]
    for pattern, (_, days) in zip(
        locale.patterns("dates", "offsets"), dates["offsets"], strict=True
    ):
        yield re.compile(rf"\b(?:{pattern.pattern})\b"), offset(days)
    by_key: dict[str, Callable[[re.Match[str]], When | None]] = {
        "in_days": lambda m: count(m, 1),
        "in_weeks": lambda m: count(m, 7),
        "weekday_after_weeks": lambda m: When(day=coming(weekday(m)) + timedelta(days=7)),
        "month_day": month_day,
        "next_weekday": lambda m: When(day=monday + timedelta(days=weekday(m))),
        "weekday": lambda m: When(day=coming(weekday(m)), weekday=True),
        "next_week": lambda m: When(day=monday, until=monday + timedelta(days=6)),
        "this_week": lambda m: When(day=today, until=monday - timedelta(days=1)),
        "day_of_month": day_of_month,
    }
    for key, make in by_key.items():
        for pattern in locale.patterns("dates", key):
            yield re.compile(rf"(?<!\w){pattern.pattern}"), make


def _month(word: str, locale: Locale) -> int:
    return int(word) if word.isdigit() else locale.alternatives("months", word) + 1


def _year(said: str, today: date) -> int:
    """1984 from "1984", "19 84", "19 oh 5", "84"."""
    digits = [int(piece) for piece in re.findall(r"\d+", said)]
    if len(digits) == 2:
        return digits[0] * 100 + digits[1] if digits[0] < 100 else digits[0] + digits[1]
    year = digits[0]
    if year < 100:
        year += 2000 if year <= today.year % 100 + 1 else 1900
    return year


def _date(year: int, month: int, day: int) -> date | None:
    if not (1900 <= year <= 2200 and 1 <= month <= 12):
        return None
    return date(year, month, day) if 1 <= day <= calendar.monthrange(year, month)[1] else None


def _part(text: str, locale: Locale) -> tuple[time, time] | None:
    for pattern, (_, begin, end) in zip(
        locale.patterns("times", "parts"), locale.data["times"]["parts"], strict=True
    ):
        if re.search(rf"\b(?:{pattern.pattern})\b", text):
            return time.fromisoformat(begin), time.fromisoformat(end)
    return None


def _time(
    text: str,
    locale: Locale,
    opens: Opens,
    day: date | None,
    part: tuple[time, time] | None,
    keys: Sequence[str],
) -> time | None:
    times = locale.data["times"]
    for words, value in times["named"].items():
        if re.search(rf"\b(?:{words})\b", text):
            return time.fromisoformat(value)
    for key in keys:
        for pattern, entry in zip(locale.patterns("times", key), times[key], strict=True):
            for match in pattern.finditer(text):
                found = _clock(match, entry[1:], opens, day, part)
                if found is not None:
                    return found
    return None


def _clock(
    match: re.Match[str],
    fixed: list[int],
    opens: Opens,
    day: date | None,
    part: tuple[time, time] | None,
) -> time | None:
    said = match.groupdict()
    hour, minute = int(said["h"]), int(said.get("m") or 0)
    if fixed:
        hour, minute = hour + fixed[0], fixed[1]
    if said.get("before"):
        hour, minute = hour - 1, 60 - int(said["before"])
    if fixed and hour == 0:
        hour = 12
    if not (0 <= hour <= 23 and 0 <= minute <= 59):
        return None
    meridiem = said.get("ap")
    if meridiem and hour <= 12:
        return time(hour % 12 + (12 if meridiem == "pm" else 0), minute)
    if hour > 12 or hour == 0:
        return time(hour, minute)
    morning, evening = time(hour % 12, minute), time(hour % 12 + 12, minute)
    if part:
        if part[0] <= morning < part[1]:
            return morning
        if part[0] <= evening or part[1] > time(12):
            return evening
        return morning
    usual = (morning, evening) if 7 <= hour < 12 else (evening, morning)
    return next((choice for choice in usual if opens(day, choice)), usual[0])
