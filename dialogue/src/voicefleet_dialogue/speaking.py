"""Times, days and numbers as they are spoken."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time
from typing import Any

import phonenumbers

from voicefleet_dialogue.locale import Locale


def clock(at: time, locale: Locale) -> str:
    """10 AM, 2:30 PM, 14:30."""
    if not locale.data["say"]["clock12"]:
        return f"{at.hour}:{at.minute:02}"
    minutes = f":{at.minute:02}" if at.minute else ""
    return f"{at.hour % 12 or 12}{minutes} {'PM' if at.hour >= 12 else 'AM'}"


def day(on: date, locale: Locale) -> str:
    """Tuesday, December 1."""
    words: dict[str, Any] = locale.data["say"]
    return locale.say(
        "day",
        weekday=words["weekdays"][on.weekday()],
        month=words["months"][on.month - 1],
        day=str(on.day),
    )


def moment(starts: datetime, locale: Locale) -> str:
    """Tuesday, December 1 at 10 AM."""
    return locale.say("at", day=day(starts.date(), locale), clock=clock(starts.time(), locale))


def phone(e164: str) -> str:
    """Digit by digit, in the groups that people of the region use."""
    number = phonenumbers.parse(e164)
    national = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
    groups = "".join(c if c.isdigit() else " " for c in national).split()
    return ", ".join(" ".join(group) for group in groups)


def join(items: Sequence[str], word: str) -> str:
    """a, b or c."""
    return f" {word} ".join(filter(None, [", ".join(items[:-1]), items[-1]])) if items else ""


def moments(starts: Sequence[datetime], locale: Locale) -> str:
    """Several, each day named once: Tuesday, December 1 at 9 AM or 11 AM."""
    spoken: list[str] = []
    before: date | None = None
    for start in starts:
        same = start.date() == before
        spoken.append(clock(start.time(), locale) if same else moment(start, locale))
        before = start.date()
    return join(spoken, str(locale.data["say"]["or"]))
