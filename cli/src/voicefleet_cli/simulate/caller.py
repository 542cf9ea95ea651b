"""The caller's side of the talk: what is said to what the agent asks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Protocol

import yaml

from voicefleet_api import professions
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_cli.simulate.scenario import KEYS, Scenario
from voicefleet_dialogue import locale as locales
from voicefleet_dialogue.locale import Locale
from voicefleet_dialogue.questions import questions

_SAID: dict[str, tuple[str, ...]] = {
    "want": ("how_help", "help"),
    "time": ("ask_when", "ask_time", "ask_new_when", "ask_other_when", "found_move"),
    "day": ("ask_day",),
    "offer": ("offer", "offer_one"),
    "confirm": ("confirm", "confirm_move", "confirm_cancel"),
    "readBack": ("message_back",),
    "which": ("found_which",),
    "change": ("no_change",),
    "message": ("ask_message",),
    "offerMessage": ("not_known", "not_known_plain", "no_price", "not_found"),
    "more": ("booked", "moved", "cancelled", "kept", "message_taken", "else"),
    "silence": ("still_there", "silent_again"),
    "menu": ("menu",),
    "again": ("again",),
    "name": ("ask_name", "ask_who", "urgent_name"),
    "phone": ("ask_phone", "ask_booked_phone", "urgent_phone"),
}
"""Situation: keys of the agent's sentences in its language."""
_ALSO = {"day": ("date", "time"), "menu": ("silence",)}
"""Where nothing is said to a situation, what is said to these."""


class Caller(Protocol):
    """Somebody who calls."""

    @property
    def lines(self) -> Iterable[str]:
        """What it is likely to say: worth speaking ahead."""
        ...

    async def answer(self, said: str) -> str | None:
        """To what the agent has just said: words, keys (`KEYS`), or silence where it is empty;
        None: hangs up.

        Raises `ModelUnavailable`.
        """
        ...


@cache
def defaults(language: str) -> dict[str, Any]:
    """What callers answer where their scenarios say nothing, by situation and kind of answer."""
    text = (files(__package__) / "caller.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text)[language]
    return found


class Script:
    """A `Caller` with an answer ready to each thing that may be asked."""

    def __init__(self, scenario: Scenario, config: AgentConfig) -> None:
        self._scenario = scenario
        locale = locales.load(config.locale)
        self._defaults = defaults(locale.language)
        self._patterns = list(_patterns(config, locale))
        self._given: Counter[str] = Counter()
        self.asked: Sequence[str] = ("greeting",)
        """What the agent has asked last: keys of answers."""
        self._last = ""
        self._begun = False

    @property
    def lines(self) -> Iterable[str]:
        said = {words for answers in self._scenario.answers.values() for words in answers if words}
        return {words for words in said if not KEYS.fullmatch(words)}

    async def answer(self, said: str) -> str | None:
        asked = self._what(said) if self._begun else ("greeting",)
        self._begun = True
        if asked == ("again",):
            return self._last
        self.asked = asked or self.asked
        words = self._next(self.asked)
        self._last = words or self._last
        return words

    def _what(self, said: str) -> Sequence[str]:
        """What the agent asked last, by the end of its words; empty where it asked nothing."""
        ends = [
            (found.end(), len(pattern.pattern), keys)
            for pattern, keys in self._patterns
            for found in pattern.finditer(said)
        ]
        return max(ends)[2] if ends else ()

    def _next(self, keys: Sequence[str]) -> str | None:
        own = self._scenario.answers
        for key in (*keys, "otherwise"):
            if key in own:
                return self._nth(key, own[key])
        for key in keys:
            if key in self._defaults:
                told = self._defaults[key]
                return self._nth(key, (told,) if isinstance(told, str) else told)
        # A choice: what the question offers first.
        return self._nth(keys[0], (keys[-1],))

    def _nth(self, key: str, words: Sequence[str]) -> str | None:
        given = self._given[key]
        self._given[key] += 1
        if given >= len(words) - 1 + self._scenario.patience:
            return None
        return words[min(given, len(words) - 1)]


def _patterns(
    config: AgentConfig, locale: Locale
) -> Iterator[tuple[re.Pattern[str], Sequence[str]]]:
    """What the agent may say, and the keys under which an answer to it is looked for."""
    profession = professions.load(config.profession) if config.profession else None
    asks = questions(config, profession, locale)
    for situation, sentences in _SAID.items():
        keys: Sequence[str] = (situation, *_ALSO.get(situation, ()))
        if situation in ("name", "phone"):
            keys = (getattr(asks, situation), situation.capitalize())
        for sentence in sentences:
            yield _pattern(str(locale.data["say"][sentence])), keys
    for question in asks.items:
        yield _pattern(question.text), (question.key, question.slot, *question.choices[:1])
    if profession is not None:
        yield _pattern(profession.booking.confirmation), ("confirm",)
        for emergency in profession.emergencies:
            asked = (asks.name, "Name") if "?" in emergency.say else ("emergency",)
            yield _pattern(emergency.say), asked


def _pattern(text: str) -> re.Pattern[str]:
    """The sentence with anything in its places."""
    return re.compile(".+?".join(map(re.escape, re.split(r"\{\w+\}", text))))
