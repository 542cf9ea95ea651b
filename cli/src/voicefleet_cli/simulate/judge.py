"""What came of a simulated call, held against what had to: by facts, never by a model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta

from pydantic import Field
from rapidfuzz import fuzz

from voicefleet_api import professions
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.base import ApiModel
from voicefleet_api.calls import CallRecord, TranscriptTurn
from voicefleet_api.receptionist import DAYS, DEFAULT_HOURS
from voicefleet_cli.simulate.scenario import Booked, Noted, Scenario, appointment_types
from voicefleet_dialogue import locale as locales
from voicefleet_dialogue import speaking
from voicefleet_dialogue.knowledge import Knowledge
from voicefleet_dialogue.locale import Locale
from voicefleet_dialogue.understanding.text import even, with_digits

ALIKE = 85
"""Of 100: a name or a street that is written this alike could be found by the business."""
_AHEAD = timedelta(days=400)
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+")
"""A name in the middle of a sentence."""
_CLOCK = re.compile(r"(\d{1,2})(?::(\d\d))?(?: (AM|PM)\b|(?<=:\d\d))")
"""As `speaking.clock` says it."""
_SPELLED = re.compile(r"\b\d(?:,? \d){2,}\b")
"""A telephone number, as `speaking.phone` says it."""


class Fact(ApiModel):
    """One thing that had to be so."""

    what: str = Field(description="For example `outcome` or `slot insurance`.")
    right: bool = Field(description="Whether it was so.")
    wanted: str = Field(description="What had to be.")
    found: str = Field(description="What was.")


def judged(scenario: Scenario, record: CallRecord, config: AgentConfig) -> list[Fact]:
    """All facts of the call. What hangs on the client is left out where it cannot be: a time when
    it is closed, a topic that it has no fact for, a transfer where it names nobody."""
    expect = scenario.expect
    made = [_fact("outcome", " or ".join(expect.outcome), record.outcome,
                  record.outcome in expect.outcome)]  # fmt: skip
    for key, wanted in expect.slots.items():
        found = record.slots.get(key, "nothing")
        made.append(_fact(f"slot {key}", wanted, found, alike(found, wanted)))
    said = " ".join(turn.text for turn in record.transcript if turn.speaker == "Agent")
    if expect.booked is not None:
        made += _booked(expect.booked, record, config)
    for done in record.appointments:
        at = speaking.moment(done.starts, locales.load(config.locale))
        made.append(_fact(f"{done.action} as said", at, _end(said), at in said))
    if expect.message is not None:
        made += _noted(expect.message, record)
    if expect.transferred is not None and (config.contacts or not expect.transferred):
        whom = [c.phone for c in config.contacts] if expect.transferred else ["nobody"]
        reached = record.transferred_to or "nobody"
        made.append(_fact("transfer", " or ".join(whom), reached, reached in whom))
    for topic in expect.told:
        texts = [fact.text for fact in config.facts if fact.topic.lower() == topic.lower()]
        made += [_fact(f"told {topic}", text, _end(said), text in said) for text in texts]
    for words in expect.says:
        made.append(_fact("says", words, _end(said), words.lower() in said.lower()))
    invented = list(inventions(record, config, scenario))
    made.append(_fact("nothing invented", "nothing", "; ".join(invented), not invented))
    return made


def _fact(what: str, wanted: str, found: str, right: bool) -> Fact:
    return Fact(what=what, right=right, wanted=wanted, found=found or "nothing")


def _end(said: str) -> str:
    return f"…{said[-200:]}" if len(said) > 200 else said


def alike(found: str, wanted: str) -> bool:
    """The same figures, and nearly the same words."""
    plain = [" ".join(re.findall(r"\w+", text.lower())) for text in (found, wanted)]
    figures = [re.sub(r"\D", "", text) for text in plain]
    return figures[0] == figures[1] and fuzz.ratio(*plain) >= ALIKE


def _booked(wanted: Booked, record: CallRecord, config: AgentConfig) -> Iterator[Fact]:
    count = len(record.appointments)
    if count != 1:
        yield _fact("booked", "one appointment", str(count or "none"), False)
    if not count:
        return
    last = record.appointments[-1]
    if wanted.day and wanted.time and _open(config, wanted.day, wanted.time):
        yield _fact("booked time", f"{wanted.day} {wanted.time}", f"{last.starts:%A %H:%M}",
                    f"{last.starts:%A %H:%M}" == f"{wanted.day} {wanted.time}")  # fmt: skip
    elif wanted.day and not wanted.time and _open(config, wanted.day):
        yield _fact("booked day", wanted.day, f"{last.starts:%A}",
                    f"{last.starts:%A}" == wanted.day)  # fmt: skip
    if wanted.name:
        name = last.name or ""
        yield _fact("booked name", wanted.name, name, alike(name, wanted.name))
    if wanted.kind and wanted.kind in (kind.title for kind in appointment_types(config)):
        yield _fact("booked kind", wanted.kind, last.title, last.title == wanted.kind)


def _open(config: AgentConfig, day: str, at: str | None = None) -> bool:
    return any(
        span.day == day and (at is None or span.opens <= at < span.closes)
        for span in config.hours or DEFAULT_HOURS
    )


def _noted(wanted: Noted, record: CallRecord) -> Iterator[Fact]:
    if not record.messages:
        yield _fact("message", "a message", "none", False)
        return
    message = record.messages[-1]
    yield _fact("message urgent", str(wanted.urgent), str(message.urgent),
                message.urgent == wanted.urgent)  # fmt: skip
    for words in wanted.holds:
        yield _fact("message holds", words, message.text, words.lower() in message.text.lower())
    if wanted.name:
        name = message.name or ""
        yield _fact("message name", wanted.name, name, alike(name, wanted.name))
    if wanted.phone:
        phone = message.phone or ""
        yield _fact("message phone", wanted.phone, phone, phone == wanted.phone)


# --- nothing invented --------------------------------------------------------------------------


def inventions(record: CallRecord, config: AgentConfig, scenario: Scenario) -> Iterator[str]:
    """What the agent said that it cannot know: an appointment's time when the client is closed, a
    number that neither client nor caller has said, a model's name for something."""
    locale = locales.load(config.locale)
    known = _known(config, locale)
    caller = " ".join(t.text for t in record.transcript if t.speaker == "Caller")
    standing = {(s.day, s.time) for s in scenario.standing}
    figures = _figures(" ".join([*known, caller]), locale)
    numbers = _numbers(record, scenario)
    words = set(re.findall(r"\w+", " ".join([*known, caller, config.prompt]).lower()))
    for turn in record.transcript:
        if turn.speaker == "Caller":
            continue
        text = turn.text
        if turn.origin == "Facts" and not any(text in source for source in known):
            yield f"no words of the client's: {text}"
        for source in known:
            text = text.replace(source, " ")
        for day, clocks, spoken in _moments(text, record.started.date(), locale):
            text = text.replace(spoken, " ")
            for at in clocks:
                weekday = DAYS[day.weekday()] if day else ""
                if not (day and _holds(config, day, at)) and (weekday, at) not in standing:
                    yield f"{spoken} in: {turn.text}"
        for spelled in _SPELLED.findall(text):
            text = text.replace(spelled, " ")
            if not any(re.sub(r"\D", "", spelled) in number for number in numbers):
                yield f"{spelled} in: {turn.text}"
        yield from (f"{what} in: {turn.text}" for what in _unknown(turn, text, figures, locale))
        if turn.origin == "Model":
            names = (name[0] for name in _NAME.finditer(text))
            yield from (f"{n} in: {turn.text}" for n in names if n.lower() not in words)


def _known(config: AgentConfig, locale: Locale) -> list[str]:
    """What the client has given the agent to say, the longest first."""
    profession = professions.load(config.profession) if config.profession else None
    knowledge = Knowledge(config.facts, config.hours or list(DEFAULT_HOURS), locale)
    hours = [knowledge.spoken_hours(), *map(knowledge.spoken_hours, map(_weekday, range(7)))]
    other = [config.experiment.greeting] if config.experiment else []
    texts = [*config.opening, *other, *config.questions, *(f.text for f in config.facts), *hours]
    texts += [e.say for e in profession.emergencies] if profession else []
    return sorted(filter(None, texts), key=len, reverse=True)


def _weekday(index: int) -> date:
    # 2024 began on a Monday.
    return date(2024, 1, 1 + index)


def _figures(text: str, locale: Locale) -> set[str]:
    return set(re.findall(r"\d+", with_digits(even(text, locale), locale)))


def _numbers(record: CallRecord, scenario: Scenario) -> list[str]:
    """Telephone numbers that it may read back."""
    slots = (value for value in record.slots.values() if value.startswith("+"))
    return [*filter(None, (scenario.caller, *(s.phone for s in scenario.standing), *slots))]


def _unknown(turn: TranscriptTurn, text: str, figures: set[str], locale: Locale) -> list[str]:
    """Numbers that nobody has told it; a model may write them as words."""
    if turn.origin == "Model":
        text = with_digits(even(text, locale), locale)
    return [found for found in re.findall(r"\d+", text) if found not in figures]


def _moments(
    text: str, today: date, locale: Locale
) -> Iterator[tuple[date | None, list[str], str]]:
    """Days with the times that are said of each (HH:MM), as `speaking.moments` says them; no day:
    there is none of that name and number."""
    say = locale.data["say"]
    names = {key: "|".join(say[key]) for key in ("weekdays", "months")}
    parts = {
        "weekday": f"(?P<weekday>{names['weekdays']})",
        "month": f"(?P<month>{names['months']})",
        "day": r"(?P<day>\d{1,2})",
    }
    days = list(re.finditer(say["day"].format(**parts), text))
    ends = [*(match.start() for match in days[1:]), len(text)]
    for match, end in zip(days, ends, strict=False):
        # A sentence's end parts a time from what else is said.
        spoken = re.split(r"[.?!](?:\s|$)", text[match.start() : end])[0]
        yield (
            _day(match, today, say),
            [
                _clock(found)
                for found in re.finditer(r"(\d{1,2})(?::(\d\d))?(?: (AM|PM)\b|(?<=:\d\d))", spoken)
            ],
            spoken,
        )


def _day(match: re.Match[str], today: date, say: dict[str, list[str]]) -> date | None:
    month = say["months"].index(match["month"]) + 1
    for year in (today.year, today.year + 1):
        try:
            day = date(year, month, int(match["day"]))
        except ValueError:
            continue
        if today <= day <= today + _AHEAD and say["weekdays"][day.weekday()] == match["weekday"]:
            return day
    return None


def _clock(found: re.Match[str]) -> str:
    hour = int(found[1])
    if found[3]:
        hour = hour % 12 + (12 if found[3] == "PM" else 0)
    return f"{hour:02}:{found[2] or '00'}"


def _holds(config: AgentConfig, day: date, at: str) -> bool:
    return day.isoformat() not in config.holidays and _open(config, DAYS[day.weekday()], at)
