"""What callers may be told: the client's own facts, word for word, and its opening hours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, time

from voicefleet_api.receptionist import Fact, OpeningHours
from voicefleet_dialogue import speaking
from voicefleet_dialogue.locale import Locale
from voicefleet_dialogue.understanding.answers import keywords
from voicefleet_dialogue.understanding.text import even, with_digits

_ENOUGH = 0.9
"""A topic's word, or two words of its text, less what the topic's other words take off."""
_NAME = re.compile(r"(?<=[a-z,] )[A-Z]\w+")
"""A name in the middle of a sentence says as much as a topic: "We serve Riverside"."""
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Knowledge:
    """The facts, indexed by the words that carry meaning."""

    def __init__(
        self, facts: Sequence[Fact], hours: Sequence[OpeningHours], locale: Locale
    ) -> None:
        self._locale = locale
        self.hours = hours
        self._facts = [
            (fact, self._keywords(fact.topic), self._keywords(fact.text)) for fact in facts
        ]
        self._named = [self._keywords(" ".join(_NAME.findall(fact.text))) for fact in facts]

    def _keywords(self, text: str) -> frozenset[str]:
        return keywords(with_digits(even(text, self._locale), self._locale), self._locale)

    def find(self, text: str) -> list[Fact]:
        """Up to two facts that answer the question; each is the best of a part of it."""
        said = keywords(text, self._locale)
        price = self._locale.matches(text, "about_price")
        scored = sorted(
            ((self._score(said, topic, body, price) + len(said & (self._named[at] - topic)), -at)
             for at, (_, topic, body) in enumerate(self._facts)),
            reverse=True,
        )  # fmt: skip
        found: list[Fact] = []
        explained: set[str] = set()
        for score, at in scored[:3]:
            fact, topic, body = self._facts[-at]
            new = (said & (topic | body)) - explained
            if score >= _ENOUGH and new and (not found or new & topic) and len(found) < 2:
                found.append(fact)
                explained |= said & (topic | body)
        return found

    def _score(
        self, said: frozenset[str], topic: frozenset[str], body: frozenset[str], price: bool
    ) -> float:
        """Words of the topic count one, of the text half; a price asked for has to be one.

        A question that has a word of its own ("price of a *crown*") is not answered by a fact
        that shares only the common one.
        """
        own = said - {"price"}
        if price:
            told = "price" in topic | body
            return (
                1.0 + len(own & topic) + 0.5 * len(own & body)
                if told and (own & (topic | body))
                else 0.0
            )
        return len(said & topic) + 0.5 * len(said & body) - 0.01 * len(topic - said)

    def opens(self, day: date | None, at: time) -> bool:
        """Whether the business is open then; on any day where none is given."""
        return any(
            (day is None or _DAYS[day.weekday()] == span.day)
            and time.fromisoformat(span.opens) <= at < time.fromisoformat(span.closes)
            for span in self.hours
        )

    def spoken_hours(self, day: date | None = None) -> str:
        """The week's hours, days with the same ones together; or those of one day."""
        locale, words = self._locale, self._locale.data["say"]
        if day is not None:
            spans = self._spans(day.weekday())
            weekday = words["weekdays"][day.weekday()]
            if not spans:
                return locale.say("closed_day", weekday=weekday)
            return locale.say("hours_on", weekday=weekday, spans=self._spoken(spans))
        groups: list[tuple[int, int, tuple[tuple[str, str], ...]]] = []
        for index in range(7):
            spans = self._spans(index)
            if groups and groups[-1][1] == index - 1 and groups[-1][2] == spans:
                groups[-1] = (groups[-1][0], index, spans)
            else:
                groups.append((index, index, spans))
        parts = [
            f"{self._range(first, last)} {self._spoken(spans)}"
            for first, last, spans in groups
            if spans
        ]
        return locale.say("hours", hours=speaking.join(parts, words["and"]))

    def _spans(self, weekday: int) -> tuple[tuple[str, str], ...]:
        return tuple((s.opens, s.closes) for s in self.hours if s.day == _DAYS[weekday])

    def _spoken(self, spans: Sequence[tuple[str, str]]) -> str:
        locale = self._locale
        return speaking.join(
            [
                locale.say(
                    "from_to",
                    opens=speaking.clock(time.fromisoformat(opens), locale),
                    closes=speaking.clock(time.fromisoformat(closes), locale),
                )
                for opens, closes in spans
            ],
            locale.data["say"]["and"],
        )

    def _range(self, first: int, last: int) -> str:
        names = self._locale.data["say"]["weekdays"]
        if first == last:
            return str(names[first])
        return self._locale.say("day_range", first=names[first], last=names[last])
