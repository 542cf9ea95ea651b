"""What the dialogue needs of a calendar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from voicefleet_api.professions import AppointmentType


@dataclass(frozen=True, slots=True)
class Appointment:
    """Something that stands in the calendar; times are in the business's time zone."""

    uid: str
    """iCalendar UID."""
    title: str
    """Kind of appointment, as spoken."""
    starts: datetime
    ends: datetime
    name: str
    phone: str | None
    notes: str = ""


class Taken(Exception):
    """Somebody else has that time."""


class Calendar(Protocol):
    """One client's appointments; every method answers in milliseconds."""

    def free(
        self, kind: AppointmentType, after: datetime, before: datetime, *, limit: int
    ) -> Sequence[datetime]:
        """Starts that may be offered, in order, `after <= start < before`, at most `limit`."""
        ...

    def is_free(self, kind: AppointmentType, starts: datetime) -> bool:
        """Whether that start may be offered."""
        ...

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
        """Put it into the calendar, once under one `uid`; raises `Taken`."""
        ...

    def get(self, uid: str) -> Appointment | None:
        """The one of that UID, if it stands."""
        ...

    def move(self, uid: str, starts: datetime) -> Appointment:
        """Keep its length, change its start; raises `Taken`, KeyError."""
        ...

    def cancel(self, uid: str) -> Appointment:
        """Take it out; raises KeyError."""
        ...

    def find(self, *, name: str | None, phone: str | None) -> Sequence[Appointment]:
        """Upcoming ones that fit all that is given, in order."""
        ...
