"""Everything that one utterance holds, found once."""

from __future__ import annotations

import re
from dataclasses import dataclass

from voicefleet_api.professions import Emergency, Question
from voicefleet_dialogue.frame import Frame
from voicefleet_dialogue.locale import Locale
from voicefleet_dialogue.understanding import answers, contact
from voicefleet_dialogue.understanding import when as whens
from voicefleet_dialogue.understanding.emergency import find_emergency
from voicefleet_dialogue.understanding.intents import Intent, find_intents, is_question
from voicefleet_dialogue.understanding.names import find_name
from voicefleet_dialogue.understanding.text import even, with_digits
from voicefleet_dialogue.understanding.when import When

_NONE_WORDS = 6
"""Of "none that I know of"; what is longer says more than that."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One utterance; `words` is evened, `digits` also has number words as digits."""

    raw: str
    words: str
    digits: str
    intents: tuple[Intent, ...]
    question: bool
    correction: bool
    emergency: Emergency | None

    def when(self, frame: Frame, *, bare: bool = False) -> When:
        """The time wished for, if any; "Monday, or no, Tuesday" is Tuesday, "since Monday" none."""
        digits = self.digits
        for pattern in frame.locale.patterns("since"):
            digits = pattern.sub(" ", digits)
        texts = (_taken_back(digits, frame.locale), digits)
        found = (
            whens.find(text, frame.today(), frame.locale, frame.knowledge.opens, bare=bare)
            for text in texts
            if text
        )
        return next(filter(None, found), When())


def hear(raw: str, frame: Frame) -> Heard:
    """Take an utterance apart."""
    words = even(raw, frame.locale)
    digits = with_digits(words, frame.locale)
    return Heard(
        raw=raw,
        words=words,
        digits=digits,
        intents=tuple(find_intents(digits, frame.locale)),
        question=is_question(digits, frame.locale),
        correction=frame.locale.matches(words, "correction"),
        emergency=find_emergency(words, frame.emergencies, frame.locale),
    )


def _taken_back(text: str, locale: Locale) -> str:
    """What comes after "no wait", "I mean"; empty where nothing is taken back."""
    parts = re.split(locale.data["takes_back"], text)
    return parts[-1].strip() if len(parts) > 1 and parts[0].strip() else ""


def answer(heard: Heard, question: Question, frame: Frame) -> str | None:
    """The value of the slot, in its written form; None where the words do not hold one for sure."""
    if question.slot != "Text" and (rest := _taken_back(heard.words, frame.locale)):
        corrected = answer(hear(rest, frame), question, frame)
        if corrected is not None:
            return corrected
    locale = frame.locale
    slot = question.slot
    if slot == "Name":
        # "Laura Stone, 415 555 0155": what follows is the number.
        name = find_name(re.split(r"\s(?=\d)", heard.digits)[0], locale, asked=True)
        # "Tom Baker, and I want an answer!"
        first, comma, _ = heard.raw.partition(",")
        return find_name(even(first, locale), locale, asked=True) if comma and not name else name
    if slot == "Phone":
        if frame.caller and locale.matches(heard.digits, "same_number"):
            return frame.caller
        return contact.find_phone(heard.words, locale)
    if slot == "Email":
        return contact.find_email(heard.words, locale)
    if slot == "Address":
        return contact.find_address(heard.words, locale)
    if slot == "Date":
        found = whens.find_date(heard.digits, frame.today(), locale)
        if found is None and not question.required and locale.matches(heard.digits, "none"):
            return "none"
        if found and found > frame.today() and locale.matches(question.text.lower(), "birth"):
            return None
        return found.isoformat() if found else None
    if slot == "Time":
        at = heard.when(frame, bare=True).at
        return at.isoformat("minutes") if at else None
    if slot == "Number":
        number = answers.number(heard.words, locale)
        return str(number) if number is not None else None
    if slot == "YesNo":
        yes = answers.yes_or_no(heard.digits, locale, question.text)
        return None if yes is None else "yes" if yes else "no"
    if slot == "Choice":
        index = answers.choose(heard.digits, question.choices, locale)
        return question.choices[index] if index is not None else None
    return _text(heard, question, locale)


def _text(heard: Heard, question: Question, locale: Locale) -> str | None:
    if locale.matches(heard.digits, "none") and len(heard.words.split()) <= _NONE_WORDS:
        return "none"
    if locale.matches(question.text.lower(), "asks_who") and locale.matches(heard.words, "anyone"):
        return "anyone"
    spoken = heard.raw.strip(" .,!")
    for pattern in (*locale.patterns("text_leads"), *locale.patterns("text_trails")):
        spoken = pattern.sub("", spoken).strip(" ,") or spoken
    return spoken if len(heard.words) > 1 else None
