"""When a business is open, in instants: its local hours with daylight saving time taken in."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from voicefleet_api.receptionist import DAYS, DEFAULT_HOURS, OpeningHours

_QUARTER = 15 * 60
"""Every time zone's offset is a multiple of it."""
_LAST_MINUTE = time(23, 59)
"""As closing time it means midnight: the API has no 24:00."""

Span = tuple[int, int]
"""From and to, seconds since the epoch."""


class Opening:
    """The week's spans without the holidays; spans that meet (at midnight) are one."""

    def __init__(
        self, hours: Sequence[OpeningHours], holidays: Collection[str], zone: ZoneInfo
    ) -> None:
        self.zone = zone
        self._holidays = frozenset(holidays)
        self._week: dict[str, list[OpeningHours]] = {day: [] for day in DAYS}
        for entry in hours or DEFAULT_HOURS:
            self._week[entry.day].append(entry)
        # One object a configuration: the caches go with it.
        self.spans = cache(self._spans)
        self.starts = cache(self._starts)

    def contains(self, start: int, end: int) -> bool:
        """Whether it is open all the while."""
        day = datetime.fromtimestamp(start, self.zone).date()
        return any(opens <= start and end <= closes for opens, closes in self.spans(day))

    def _spans(self, day: date) -> list[Span]:
        """Those that touch the day, whole: one past midnight is in both days' lists."""
        near = (day + timedelta(days=offset) for offset in (-1, 0, 1))
        merged: list[Span] = []
        for opens, closes in sorted(span for each in near for span in self._own(each)):
            if merged and opens <= merged[-1][1]:
                merged[-1] = merged[-1][0], max(closes, merged[-1][1])
            else:
                merged.append((opens, closes))
        begin, end = self._at(day, time()), self._at(day + timedelta(days=1), time())
        return [(opens, closes) for opens, closes in merged if opens < end and begin < closes]

    def _own(self, day: date) -> list[Span]:
        if day.isoformat() in self._holidays:
            return []
        found = []
        for entry in self._week[DAYS[day.weekday()]]:
            opens, closes = time.fromisoformat(entry.opens), time.fromisoformat(entry.closes)
            if closes == _LAST_MINUTE:
                day_after, closes = day + timedelta(days=1), time()
                found.append((self._at(day, opens), self._at(day_after, closes)))
            else:
                found.append((self._at(day, opens), self._at(day, closes)))
        return found

    def _starts(self, day: date, minutes: int) -> list[int]:
        """Starts on the day that are worth offering: on the half hour, the short on the quarter."""
        grid = 30 if minutes >= 30 else 15
        begin, end = self._at(day, time()), self._at(day + timedelta(days=1), time())
        return [
            start
            for opens, closes in self.spans(day)
            for start in range(
                -(-max(opens, begin) // _QUARTER) * _QUARTER,
                min(closes - minutes * 60 + 1, end),
                _QUARTER,
            )
            if datetime.fromtimestamp(start, self.zone).minute % grid == 0
        ]

    def _at(self, day: date, clock: time) -> int:
        """A wall-clock time that the change to summer leaves out is as far after it."""
        return int(datetime.combine(day, clock, self.zone).astimezone(UTC).timestamp())
