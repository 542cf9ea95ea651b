"""Dialogues as text: a calendar in memory, a client of any profession, lines in, acts out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from voicefleet_api import professions
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.professions import AppointmentType
from voicefleet_dialogue.acts import Act
from voicefleet_dialogue.calendar import Appointment, Taken
from voicefleet_dialogue.dialogue import Dialogue

ZONE = ZoneInfo("America/New_York")
NOW = datetime(2026, 11, 23, 9, 0, tzinfo=ZONE)
"""A Monday."""

FACTS = [
    {"topic": "address", "text": "We are at 210 Market Street, on the third floor."},
    {"topic": "parking", "text": "The garage next door is free for two hours."},
    {"topic": "insurance", "text": "We take most PPO plans."},
]
CONTACT = {"name": "the manager", "phone": "+14155550177"}


@cache
def config(profession: str | None = "dentist", **changes: Any) -> AgentConfig:
    """The client Sunrise of that profession, open on working days from 8 to 18."""
    shipped = professions.load(profession) if profession else None
    data = {
        "clientID": "c1",
        "agentName": "voicefleet-c1",
        "livekitURL": "ws://127.0.0.1:1",
        "businessName": "Sunrise",
        "timeZone": "America/New_York",
        "profession": profession,
        "greeting": shipped.greeting.replace("{business}", "Sunrise") if shipped else "Hello.",
        "prompt": shipped.prompt.replace("{business}", "Sunrise") if shipped else "",
        "questions": [q.text for q in shipped.questions] if shipped else [],
        "hours": [
            {
                "day": day,
                "opens": "11:00" if profession == "restaurant" else "08:00",
                "closes": "22:00" if profession == "restaurant" else "18:00",
            }
            for day in ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
        ],
        "facts": FACTS,
        "contacts": [CONTACT],
    }
    return AgentConfig.model_validate(data).model_copy(update=changes)


@dataclass
class MemoryCalendar:
    """On the half hour while it is open; nothing overlaps; not in the past."""

    settings: AgentConfig
    now: datetime = NOW
    entries: list[Appointment] = field(default_factory=list)

    def fits(self, starts: datetime, minutes: int, without: str = "") -> bool:
        ends = starts + timedelta(minutes=minutes)
        day = f"{starts:%A}"
        opened = any(
            span.day == day and span.opens <= f"{starts:%H:%M}" and f"{ends:%H:%M}" <= span.closes
            for span in self.settings.hours
        )
        rules = professions.load(self.settings.profession or "dentist").booking
        soonest = self.now + timedelta(hours=rules.lead_time_hours)
        latest = self.now + timedelta(days=rules.horizon_days)
        return (
            opened
            and soonest <= starts <= latest
            and starts.date() == ends.date()
            and f"{starts:%Y-%m-%d}" not in self.settings.holidays
            and (rules.same_day or starts.date() > self.now.date())
            and not any(
                e.starts < ends and starts < e.ends for e in self.entries if e.uid != without
            )
        )

    def free(
        self, kind: AppointmentType, after: datetime, before: datetime, *, limit: int
    ) -> Sequence[datetime]:
        found = []
        start = after.replace(minute=0, second=0, microsecond=0)
        while start < before and len(found) < limit and start < self.now + timedelta(days=10):
            if start >= after and self.fits(start, kind.minutes):
                found.append(start)
            start += timedelta(minutes=30)
        return found

    def is_free(self, kind: AppointmentType, starts: datetime) -> bool:
        return self.fits(starts, kind.minutes)

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
        if uid and (stands := self.get(uid)):
            return stands
        if not self.fits(starts, kind.minutes):
            raise Taken(kind.key)
        ends = starts + timedelta(minutes=kind.minutes)
        uid = uid or f"u{len(self.entries)}"
        made = Appointment(uid, kind.title, starts, ends, name, phone, notes)
        self.entries.append(made)
        return made

    def get(self, uid: str) -> Appointment | None:
        return next((entry for entry in self.entries if entry.uid == uid), None)

    def _at(self, uid: str) -> int:
        for index, entry in enumerate(self.entries):
            if entry.uid == uid:
                return index
        raise KeyError(uid)

    def move(self, uid: str, starts: datetime) -> Appointment:
        index = self._at(uid)
        old = self.entries[index]
        length = old.ends - old.starts
        if not self.fits(starts, int(length.total_seconds() // 60), uid):
            raise Taken(uid)
        self.entries[index] = replace(old, starts=starts, ends=starts + length)
        return self.entries[index]

    def cancel(self, uid: str) -> Appointment:
        return self.entries.pop(self._at(uid))

    def find(self, *, name: str | None, phone: str | None) -> Sequence[Appointment]:
        return [
            e
            for e in self.entries
            if (phone is None or e.phone == phone)
            and (name is None or e.name.lower() == name.lower())
        ]


def talk(
    profession: str | None = "dentist", *, caller: str | None = None, **changes: Any
) -> tuple[Dialogue, MemoryCalendar]:
    """A dialogue that has greeted, and its calendar."""
    settings = config(profession)
    if changes:
        settings = AgentConfig.model_validate({**settings.to_json(), **changes})
    calendar = MemoryCalendar(settings)
    dialogue = Dialogue(settings, calendar, clock=lambda: NOW, caller=caller)
    dialogue.commit(dialogue.open())
    return dialogue, calendar


def say(dialogue: Dialogue, heard: str) -> Sequence[Act]:
    """One turn by program alone."""
    turn = dialogue.consider(heard)
    assert turn is not None
    return dialogue.commit(turn)


def play(dialogue: Dialogue, line: Mapping[str, Any]) -> Sequence[Act]:
    """A line of a golden talk: what the `caller` says, the `keys` that they press, or that a person
    was `unreached` for that reason."""
    if "keys" in line:
        return dialogue.commit(dialogue.press(line["keys"]))
    if "unreached" in line:
        return dialogue.unreached(line["unreached"])
    return say(dialogue, line["caller"])


def at(text: str) -> datetime:
    """A time of the client's."""
    return datetime.fromisoformat(text).replace(tzinfo=ZONE)


def begin(profession: str, case: dict[str, Any]) -> tuple[Dialogue, MemoryCalendar]:
    """The dialogue of a golden case, and the calendar with what stands in it before."""
    dialogue, calendar = talk(profession, caller=case.get("caller"), **case.get("receptionist", {}))
    kinds = {kind.key: kind for kind in professions.load(profession).booking.appointments}
    for entry in case.get("calendar", []):
        calendar.book(
            kinds[entry["kind"]], at(entry["starts"]), name=entry["name"], phone=entry["phone"],
            notes="",
        )  # fmt: skip
    return dialogue, calendar
