"""What may be booked, by the profession's rules, and the booking itself."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from voicefleet_api import professions
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.professions import AppointmentType, BookingRules
from voicefleet_dialogue.booking import events
from voicefleet_dialogue.booking.opening import Opening
from voicefleet_dialogue.booking.store import Entry, Store
from voicefleet_dialogue.calendar import Appointment, Taken

DEFAULT_RULES = BookingRules(
    appointments=(AppointmentType(key="appointment", title="appointment", minutes=30),),
    buffer_minutes=0,
    lead_time_hours=2,
    horizon_days=60,
    same_day=True,
    confirmation="That is {appointment} on {time}. Shall I book it?",
)
"""Of a business without a profession."""

_LEAST_DIGITS = 7
"""Of a phone number, for its end to stand for the whole: callers leave the country code out."""


def now() -> datetime:
    """The time, with a zone."""
    return datetime.now(UTC)


class Bookings:
    """A `Calendar` in a folder of iCalendar files (see `store`).

    Every method raises OSError where the disk fails, TimeoutError where the lock is not to be had.
    """

    def __init__(
        self, folder: Path, config: AgentConfig, *, clock: Callable[[], datetime] = now
    ) -> None:
        self._store = Store(folder)
        self._clock = clock
        self.reload(config)

    def reload(self, config: AgentConfig) -> None:
        """Go by another configuration from now on."""
        self._zone = ZoneInfo(config.time_zone)
        self._rules = (
            professions.load(config.profession).booking if config.profession else DEFAULT_RULES
        )
        self._opening = Opening(config.hours, config.holidays, self._zone)
        self._capacity = config.capacity
        self._full_of: Mapping[str, Entry] | None = None
        self._full = _Full([], 1, 0)

    def free(
        self, kind: AppointmentType, after: datetime, before: datetime, *, limit: int
    ) -> Sequence[datetime]:
        """Starts on the half hour, or the quarter for what takes less than half an hour."""
        first, last = self._bounds()
        first = max(first, self._instant(after))
        last = min(last, self._instant(before) - 1)
        full = self._taken()
        found: list[datetime] = []
        day = datetime.fromtimestamp(first, self._zone).date()
        final = datetime.fromtimestamp(last, self._zone).date()
        while day <= final:
            starts = self._opening.starts(day, kind.minutes)
            at = bisect_left(starts, first)
            while at < len(starts) and starts[at] <= last:
                until = full.until(starts[at], starts[at] + kind.minutes * 60)
                if until is None:
                    found.append(datetime.fromtimestamp(starts[at], self._zone))
                    if len(found) == limit:
                        return found
                    at += 1
                else:
                    at = bisect_left(starts, until, at + 1)
            day += timedelta(days=1)
        return found

    def is_free(self, kind: AppointmentType, starts: datetime) -> bool:
        """Whether it keeps to the rules and nobody has that time; any minute will do."""
        return self._fits(self._instant(starts), kind.minutes * 60, self._taken())

    def book(
        self,
        kind: AppointmentType,
        starts: datetime,
        *,
        name: str,
        phone: str | None,
        notes: str,
        uid: str | None = None,
    ) -> Appointment:
        """One of two callers who want the same time gets `Taken`.

        What stands under `uid` already is the same booking, made again after a crash."""
        start = self._instant(starts)
        with self._store.locked():
            if uid is not None and (stands := self.get(uid)) is not None:
                return stands
            if not self._fits(start, kind.minutes * 60, self._taken()):
                raise Taken(kind.key)
            appointment = Appointment(
                uid=uid or events.new_uid(),
                title=kind.title,
                starts=datetime.fromtimestamp(start, self._zone),
                ends=datetime.fromtimestamp(start + kind.minutes * 60, self._zone),
                name=name,
                phone=phone,
                notes=notes,
            )
            file = f"{appointment.uid}.ics"
            self._store.write(file, events.compose(appointment))
            self._store.note(file)
            return appointment

    def get(self, uid: str) -> Appointment | None:
        """Whoever has made it."""
        try:
            return self._find(uid)[1]
        except KeyError:
            return None

    def move(self, uid: str, starts: datetime) -> Appointment:
        """Keep length, name and notes; its own old time does not stand in its way."""
        start = self._instant(starts)
        with self._store.locked():
            file, old = self._find(uid)
            length = int((old.ends - old.starts).total_seconds())
            others = {n: e for n, e in self._entries().items() if n != file}
            if not self._fits(start, length, self._full_without(others)):
                raise Taken(uid)
            moved = replace(
                old,
                starts=datetime.fromtimestamp(start, self._zone),
                ends=datetime.fromtimestamp(start + length, self._zone),
            )
            data = events.rescheduled(self._store.read(file), moved.starts, moved.ends)
            self._store.write(file, data)
            self._store.note(file)
            return moved

    def cancel(self, uid: str) -> Appointment:
        """Its time is free at once."""
        with self._store.locked():
            file, appointment = self._find(uid)
            self._store.remove(file)
            self._store.note(file)
            return appointment

    def find(self, *, name: str | None, phone: str | None) -> Sequence[Appointment]:
        """`name` may be a part of the whole name; `phone` may lack the country code."""
        present = self._clock()
        words = _words(name or "")
        digits = _digits(phone or "")
        return sorted(
            (
                self._local(found)
                for found in _appointments(self._entries().values())
                if found.ends > present
                and words <= _words(found.name)
                and (not digits or _same_number(digits, _digits(found.phone or "")))
            ),
            key=lambda found: found.starts,
        )

    def _entries(self) -> Mapping[str, Entry]:
        return self._store.entries(self._clock(), self._zone)

    def _taken(self) -> _Full:
        entries = self._entries()
        if entries is not self._full_of:
            self._full_of, self._full = entries, self._full_without(entries)
        return self._full

    def _full_without(self, entries: Mapping[str, Entry]) -> _Full:
        busy = [busy for entry in entries.values() if entry.event for busy in entry.event.busy]
        return _Full(busy, self._capacity, self._rules.buffer_minutes * 60)

    def _fits(self, start: int, length: int, full: _Full) -> bool:
        first, last = self._bounds()
        return (
            first <= start <= last
            and self._opening.contains(start, start + length)
            and full.until(start, start + length) is None
        )

    def _bounds(self) -> tuple[int, int]:
        """First and last start by lead time, same day and horizon."""
        present = self._clock().astimezone(self._zone)
        # In UTC: a change of the clocks makes no hour longer.
        first = int(present.timestamp()) + self._rules.lead_time_hours * 3600
        if not self._rules.same_day:
            tomorrow = datetime.combine(present.date() + timedelta(days=1), time(), self._zone)
            first = max(first, int(tomorrow.timestamp()))
        last = datetime.combine(
            present.date() + timedelta(days=self._rules.horizon_days),
            time(23, 59),
            self._zone,
        )
        return first, int(last.timestamp())

    def _find(self, uid: str) -> tuple[str, Appointment]:
        for file, entry in self._entries().items():
            if entry.event and entry.event.appointment and entry.event.appointment.uid == uid:
                return file, self._local(entry.event.appointment)
        raise KeyError(uid)

    def _local(self, appointment: Appointment) -> Appointment:
        return replace(
            appointment,
            starts=appointment.starts.astimezone(self._zone),
            ends=appointment.ends.astimezone(self._zone),
        )

    def _instant(self, value: datetime) -> int:
        """Seconds since the epoch; a time without a zone is the business's."""
        return int((value if value.tzinfo else value.replace(tzinfo=self._zone)).timestamp())


class _Full:
    """The times at which nothing more fits, in order and apart from one another."""

    def __init__(self, busy: Iterable[events.Busy], capacity: int, buffer: int) -> None:
        changes = sorted(
            change
            for each in busy
            for weight in (capacity if each.whole else 1,)
            for change in ((each.starts - buffer, weight), (each.ends + buffer, -weight))
        )
        self._starts: list[int] = []
        self._ends: list[int] = []
        held = 0
        for at, weight in changes:
            before, held = held, held + weight
            if before < capacity <= held:
                self._starts.append(at)
            elif held < capacity <= before:
                self._ends.append(at)

    def until(self, start: int, end: int) -> int | None:
        """When the obstacle ends that lies between `start` and `end`; None where there is none."""
        at = bisect_left(self._starts, end) - 1
        return self._ends[at] if at >= 0 and self._ends[at] > start else None


def _appointments(entries: Iterable[Entry]) -> Iterable[Appointment]:
    return (e.event.appointment for e in entries if e.event and e.event.appointment)


def _words(name: str) -> set[str]:
    """Lower case, without accents: neither is heard."""
    plain = unicodedata.normalize("NFKD", name.casefold())
    return set(
        "".join(c if c.isalnum() else " " for c in plain if not unicodedata.combining(c)).split()
    )


def _digits(phone: str) -> str:
    return "".join(filter(str.isdecimal, phone))


def _same_number(asked: str, known: str) -> bool:
    shorter, longer = sorted((asked, known), key=len)
    return len(shorter) >= _LEAST_DIGITS and longer.endswith(shorter)
