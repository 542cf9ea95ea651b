"""Appointments as iCalendar (RFC 5545), and what an event of anybody's says about time."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import icalendar
import recurring_ical_events

from voicefleet_dialogue.calendar import Appointment

_PRODID = "-//voicefleet//booking//EN"
# What a person sees is SUMMARY and DESCRIPTION; these say the same for programs.
_TITLE, _NAME, _PHONE = "X-VOICEFLEET-TITLE", "X-VOICEFLEET-NAME", "X-VOICEFLEET-PHONE"
_REPEATS = ("RRULE", "RDATE", "RECURRENCE-ID")
_BOOKKEEPING = (b"DTSTAMP", b"CREATED", b"LAST-MODIFIED", b"PRODID")
_MOST_OCCURRENCES = 5000
"""Of one series: hourly for half a year. More is no appointment but a mistake, and costs time."""

Window = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Busy:
    """A time that is taken; seconds since the epoch."""

    starts: int
    ends: int
    whole: bool
    """An all-day event: the business is away, however many it could receive."""


@dataclass(frozen=True, slots=True)
class Event:
    """What a file of the calendar says."""

    busy: tuple[Busy, ...]
    """Within the window that it was read for."""
    repeats: bool
    appointment: Appointment | None
    """If it is one of ours."""


def compose(appointment: Appointment) -> bytes:
    """A new event. Its times are in UTC: they need no definition of a time zone beside them."""
    event = icalendar.Event()
    event.add("UID", appointment.uid)
    event.add(
        "SUMMARY", f"{appointment.title[:1].upper()}{appointment.title[1:]}: {appointment.name}"
    )
    event.add("DESCRIPTION", "\n".join(filter(None, (appointment.phone, appointment.notes))))
    own = {_TITLE: appointment.title, _NAME: appointment.name, _PHONE: appointment.phone}
    for key, value in own.items():
        if value:
            # Without saying so, the library would not unescape what it reads.
            event[key] = icalendar.vText(value, params={"VALUE": "TEXT"})
    event.add("CREATED", datetime.now(UTC))
    _set_times(event, appointment.starts, appointment.ends)
    return _file(event)


def rescheduled(data: bytes, starts: datetime, ends: datetime) -> bytes:
    """The same event at another time; what people have added to it stays. Raises ValueError."""
    calendar = icalendar.Calendar.from_ical(data)
    event = calendar.events[0]
    event["SEQUENCE"] = int(event.get("SEQUENCE", 0)) + 1
    _set_times(event, starts, ends)
    return bytes(calendar.to_ical())


def read(data: bytes, zone: ZoneInfo, window: Window) -> Event:
    """Parse a file; raises ValueError where it is no iCalendar."""
    calendar = icalendar.Calendar.from_ical(data)
    events: Iterable[icalendar.Event] = calendar.events
    repeats = any(key in event for event in events for key in _REPEATS)
    if repeats:
        query = recurring_ical_events.of(calendar)
        following = query.after(window[0])
        events = takewhile(
            lambda event: _instant(event.start, zone) < window[1].timestamp(),
            islice(following, _MOST_OCCURRENCES),
        )
    busy = tuple(_busy(event, zone) for event in events if _blocks(event))
    return Event(busy, repeats, _appointment(calendar.events, zone))


def fingerprint(data: bytes) -> str:
    """Equal for what says the same, in whatever order a server has written it down."""
    lines = data.replace(b"\r\n", b"\n").replace(b"\n ", b"").splitlines()
    if b"BEGIN:VEVENT" in lines:
        lines = lines[lines.index(b"BEGIN:VEVENT") :]
    told = (line for line in lines if not line.startswith(_BOOKKEEPING))
    return hashlib.sha256(b"\n".join(sorted(told))).hexdigest()


def is_ours(data: bytes) -> bool:
    """Whether a call has made the event."""
    return _NAME.encode() in data


def new_uid() -> str:
    """Unique in the world, as RFC 7986 asks for: a random UUID."""
    return str(uuid.uuid4())


def _file(event: icalendar.Event) -> bytes:
    calendar = icalendar.Calendar()
    calendar.add("VERSION", "2.0")
    calendar.add("PRODID", _PRODID)
    calendar.add_component(event)
    return bytes(calendar.to_ical())


def _set_times(event: icalendar.Event, starts: datetime, ends: datetime) -> None:
    for key in ("DTSTART", "DTEND", "DURATION", "DTSTAMP", "LAST-MODIFIED"):
        event.pop(key, None)
    event.add("DTSTART", starts.astimezone(UTC))
    event.add("DTEND", ends.astimezone(UTC))
    event.add("DTSTAMP", datetime.now(UTC))
    event.add("LAST-MODIFIED", datetime.now(UTC))


def _blocks(event: icalendar.Event) -> bool:
    return bool(event.get("TRANSP") != "TRANSPARENT" and event.get("STATUS") != "CANCELLED")


def _busy(event: icalendar.Event, zone: ZoneInfo) -> Busy:
    whole = not isinstance(event.start, datetime)
    return Busy(_instant(event.start, zone), _instant(event.end, zone), whole)


def _instant(value: date | datetime, zone: ZoneInfo) -> int:
    """A time without a zone, and a day, are the business's own."""
    if not isinstance(value, datetime):
        value = datetime.combine(value, time(), zone)
    elif value.tzinfo is None:
        value = value.replace(tzinfo=zone)
    return int(value.timestamp())


def _appointment(events: list[icalendar.Event], zone: ZoneInfo) -> Appointment | None:
    if len(events) != 1 or _NAME not in events[0]:
        return None
    event = events[0]
    phone = _own(event, _PHONE) or None
    notes = str(event.get("DESCRIPTION", ""))
    if phone:
        notes = notes.removeprefix(phone).removeprefix("\n")
    return Appointment(
        uid=str(event["UID"]),
        title=_own(event, _TITLE),
        starts=datetime.fromtimestamp(_instant(event.start, zone), zone),
        ends=datetime.fromtimestamp(_instant(event.end, zone), zone),
        name=_own(event, _NAME),
        phone=phone,
        notes=notes,
    )


def _own(event: icalendar.Event, key: str) -> str:
    return str(event.get(key, ""))


def window_from(now: datetime, days: int) -> Window:
    """What `read` expands: a day back, so that what is under way counts."""
    return now - timedelta(days=1), now + timedelta(days=days)
