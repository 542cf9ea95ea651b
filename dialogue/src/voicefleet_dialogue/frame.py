"""What stays the same through a call: the client's configuration, made ready for use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from voicefleet_api import professions
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.professions import AppointmentType, Emergency, Question
from voicefleet_api.receptionist import Contact, OpeningHours
from voicefleet_dialogue import locale as locales
from voicefleet_dialogue.calendar import Calendar
from voicefleet_dialogue.knowledge import Knowledge
from voicefleet_dialogue.locale import Locale
from voicefleet_dialogue.questions import Questions, questions
from voicefleet_dialogue.understanding.answers import keywords
from voicefleet_dialogue.understanding.text import even

_WORKING_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")


@dataclass(frozen=True, slots=True)
class Frame:
    """One client's configuration and what was derived from it."""

    config: AgentConfig
    locale: Locale
    calendar: Calendar
    clock: Callable[[], datetime]
    caller: str | None
    zone: ZoneInfo
    questions: Questions
    kinds: tuple[AppointmentType, ...]
    confirmation: str
    """With {appointment} and {time}."""
    horizon_days: int
    emergencies: tuple[Emergency, ...]
    knowledge: Knowledge

    def now(self) -> datetime:
        """In the business's time zone."""
        return self.clock().astimezone(self.zone)

    def today(self) -> date:
        """The business's."""
        return self.now().date()

    def contact(self) -> Contact | None:
        """Whom a caller can be connected to now."""
        now = self.now()
        is_open = self.knowledge.opens(now.date(), now.time())
        return next((c for c in self.config.contacts if c.when == "Always" or is_open), None)

    def kind(self, said: str) -> AppointmentType:
        """The kind of appointment that fits the caller's words best; the first by default."""
        words = keywords(said, self.locale)
        scores = [
            max(_fit(words, keywords(even(text, self.locale), self.locale))
                for text in (kind.title, *kind.words))
            for kind in self.kinds
        ]  # fmt: skip
        return self.kinds[scores.index(max(scores))] if max(scores) > 0 else self.kinds[0]

    def question(self, key: str) -> Question:
        """The question of that key."""
        return self.questions.get(key)


def _default_kind(locale: Locale) -> AppointmentType:
    return AppointmentType(
        key="appointment", title=str(locale.data["say"]["default_kind"]), minutes=30
    )


def _fit(said: frozenset[str], wanted: frozenset[str]) -> float:
    hits = len(said & wanted)
    return hits + hits / len(wanted) if wanted else 0


def frame(
    config: AgentConfig,
    calendar: Calendar,
    clock: Callable[[], datetime],
    caller: str | None,
) -> Frame:
    """Raises KeyError for a locale or profession that we do not have."""
    locale = locales.load(config.locale)
    shipped = professions.load(config.profession) if config.profession else None
    # The shipped professions speak English; in other languages the Receptionist's words count.
    profession = shipped if locale.language == "en" else None
    booking = profession.booking if profession else None
    hours = config.hours or [
        OpeningHours.model_validate({"day": day, "opens": "09:00", "closes": "17:00"})
        for day in _WORKING_DAYS
    ]
    return Frame(
        config=config,
        locale=locale,
        calendar=calendar,
        clock=clock,
        caller=caller,
        zone=ZoneInfo(config.time_zone),
        questions=questions(config, shipped, locale),
        kinds=tuple(config.appointments)
        or (booking.appointments if booking else (_default_kind(locale),)),
        confirmation=booking.confirmation if booking else str(locale.data["say"]["confirm"]),
        horizon_days=shipped.booking.horizon_days if shipped else 60,
        emergencies=(
            *(profession.emergencies if profession else ()),
            *(Emergency.model_validate(entry) for entry in locale.data["emergencies"]),
        ),
        knowledge=Knowledge(config.facts, hours, locale),
    )
