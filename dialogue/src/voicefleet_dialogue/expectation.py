"""Whether what was heard so far is an answer, for the decision that the caller's turn is over."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from voicefleet_api.professions import Question, SlotType
from voicefleet_dialogue import vocabulary
from voicefleet_dialogue.frame import Frame
from voicefleet_dialogue.memory import names_service
from voicefleet_dialogue.understanding import contact, names
from voicefleet_dialogue.understanding.answers import yes_or_no
from voicefleet_dialogue.understanding.heard import Heard, answer, hear
from voicefleet_dialogue.understanding.text import even, with_digits

Fit = Literal["Surely", "Perhaps", "No"]
Judgement = Literal["Complete", "Enough", "Unsure", "Incomplete"]


_STATEMENT = 4
"""Words that say what is wanted and for what: "a cleaning" is often followed by more."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What kind of answer would end the turn."""

    slot: SlotType | None
    """None: anything may come."""
    frame: Frame
    question: Question | None = None
    wants: bool = False
    """The caller is asked for what they want."""

    @property
    def likely(self) -> list[str]:
        """Words and phrases that a transcriber may listen for."""
        return vocabulary.likely(self.frame, self.slot, self.question)

    def fit(self, heard: str) -> Fit:
        """Whether the words are an answer, and leave no doubt that they were heard rightly."""
        if self._judge(heard) != "Complete":
            taken = hear(heard, self.frame)
            if self.question is not None:
                found = bool(answer(taken, self.question, self.frame))
            else:
                found = bool(taken.when(self.frame, bare=True))
            return "Perhaps" if found else "No"
        words = even(heard, self.frame.locale)
        if self.slot == "Phone":
            sure = contact.only_digits(words, self.frame.locale)
        elif self.slot == "Name":
            assert self.question is not None
            name = answer(hear(heard, self.frame), self.question, self.frame)
            sure = name is not None and names.is_common(name)
        else:
            sure = True
        return "Surely" if sure else "Perhaps"

    def judge(self, heard: str) -> Judgement:
        """Complete: it can be answered now; Enough: it can, but more may follow; Incomplete: more
        is sure to come."""
        judgement = self._judge(heard)
        # Who tells what they want goes on more often than who answers a question.
        open_end = self.wants or heard.rstrip().endswith(",") or len(heard.split()) == 1
        return "Enough" if judgement == "Complete" and open_end else judgement

    def _judge(self, heard: str) -> Judgement:
        if not heard.strip():
            return "Unsure"
        if heard.rstrip().endswith(("...", "\u2026", "-")):
            return "Incomplete"
        locale = self.frame.locale
        # The ending counts with its filler: "my number is um".
        raw = " ".join(heard.lower().strip(" .?!").split())
        words = even(heard, locale)
        if not words or any(p.search(raw) for p in locale.patterns("unfinished")):
            return "Incomplete"
        if self.slot == "Phone":
            said = contact.digits(words, locale)
            if contact.find_phone(words, locale):
                return "Complete"
            return "Incomplete" if said or len(words.split()) <= 3 else "Unsure"
        if self.slot == "Email":
            found = contact.find_email(words, locale)
            return "Complete" if found else "Incomplete" if len(words.split()) > 1 else "Unsure"
        taken = hear(heard, self.frame)
        if taken.emergency:
            return "Complete"
        if self.wants:
            return "Complete" if self._wanted(taken) else "Unsure"
        if self.slot == "YesNo":
            return "Complete" if yes_or_no(taken.digits, locale) is not None else "Unsure"
        if self.slot in ("Date", "Time") and self.question is None:
            when = taken.when(self.frame, bare=self.slot == "Time")
            if when.day and when.at:
                return "Complete"
            return "Unsure"
        if self.question is not None:
            found = answer(taken, self.question, self.frame)
            if found is None or (self.slot == "Text" and found not in ("none", "anyone")):
                return "Unsure"
            if self.slot == "Name":
                return "Complete" if " " in found else "Unsure"
            if self.slot == "Date":
                whole = re.search(rf"\b{locale.data['years']}\b", with_digits(words, locale))
                birth = locale.matches(self.question.text.lower(), "birth")
                if birth:
                    return "Complete" if whole else "Incomplete"
                return "Complete" if len(with_digits(words, locale).split()) > 2 else "Unsure"
            return "Complete" if self.slot != "Address" else "Unsure"
        return "Unsure"

    def _wanted(self, taken: Heard) -> bool:
        """Whether it is all that is needed to go on: "book" is often followed by for what, and
        "thank you" by anything."""
        if {"Book", "Goodbye"} & {*taken.intents} or not taken.intents:
            named = names_service(self.frame, taken) and len(taken.words.split()) >= _STATEMENT
            return named or (taken.question and bool(self.frame.knowledge.find(taken.digits)))
        return True
