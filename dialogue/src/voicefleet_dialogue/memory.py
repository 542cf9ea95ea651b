"""What the caller has said beyond what was asked: kept, so that it is not asked for again."""

from __future__ import annotations

import re
from dataclasses import replace

from voicefleet_api.professions import Question
from voicefleet_dialogue.frame import Frame
from voicefleet_dialogue.questions import DATE, TIME
from voicefleet_dialogue.state import State
from voicefleet_dialogue.understanding import contact
from voicefleet_dialogue.understanding import when as whens
from voicefleet_dialogue.understanding.answers import choose, keywords
from voicefleet_dialogue.understanding.heard import Heard
from voicefleet_dialogue.understanding.names import find_name


def remember(frame: Frame, state: State, heard: Heard) -> State:
    """Several things in one utterance: every slot whose value is sure without being asked."""
    slots = dict(state.slots)
    locale = frame.locale
    when = heard.when(frame)
    birth = next((q for q in frame.questions.items if q.slot == "Date" and q.key != DATE), None)
    past = when.day is not None and when.day < frame.today()
    if past or (state.asked and birth and state.asked == birth.key):
        when = whens.When()
    for question in frame.questions.items:
        if question.key in slots:
            continue
        value = _unasked(frame, question, heard, state)
        if value is not None:
            slots[question.key] = value
    if state.task in ("Book", "Reschedule", None) and when:
        if when.day and when.until is None and DATE not in slots:
            set_if_asked(frame, slots, DATE, when.day.isoformat())
        if when.at:
            set_if_asked(frame, slots, TIME, when.at.isoformat("minutes"))
        state = replace(state, wish=when.over(state.wish))
    party = next((q for q in frame.questions.items if q.slot == "Number"), None)
    if party and party.key not in slots:
        for pattern in locale.patterns("party"):
            if match := pattern.search(heard.digits):
                slots[party.key] = match["n"]
                break
    return replace(state, slots=slots)


def set_if_asked(frame: Frame, slots: dict[str, str], key: str, value: str) -> None:
    """Days and times are slots only where the profession asks for them."""
    if any(question.key == key for question in frame.questions.items):
        slots[key] = value


def _unasked(frame: Frame, question: Question, heard: Heard, state: State) -> str | None:
    locale = frame.locale
    if question.key == frame.questions.name:
        return find_name(heard.words, locale, asked=False, raw=heard.raw)
    if question.slot == "Phone":
        return contact.find_phone(heard.words, locale)
    if question.slot == "Email" and "@" in heard.raw:
        return contact.find_email(heard.words, locale)
    first = next((q for q in frame.questions.items if q.slot == "Choice"), None)
    if question.slot == "Choice" and question is first and state.phase == "Listening":
        index = choose(heard.digits, question.choices, locale)
        return question.choices[index] if index is not None else None
    return None


def volunteered(frame: Frame, state: State, heard: Heard) -> State | None:
    """Answers to other open questions than the one asked; None where there are none."""
    then = remember(frame, state, heard)
    slots = dict(then.slots)
    for question in frame.questions.items:
        if question.key in slots or question.key == state.asked:
            continue
        value = _plain_answer(frame, question, heard)
        if value is not None:
            slots[question.key] = value
            break
    if slots == dict(state.slots) and then.wish == state.wish:
        return None
    return replace(then, slots=slots)


def _plain_answer(frame: Frame, question: Question, heard: Heard) -> str | None:
    """To a question of which the words alone tell that they answer it."""
    locale = frame.locale
    if question.slot == "Choice":
        index = choose(heard.digits, question.choices, locale)
        return question.choices[index] if index is not None else None
    if question.slot == "Address" and locale.matches(heard.words, "street"):
        return contact.find_address(heard.words, locale)
    if question.key == frame.questions.name:
        written = re.fullmatch(r"[A-Z][\w'-]+(?: [A-Z][\w'.-]+)+", heard.raw.strip(" ."))
        return find_name(heard.words, locale, asked=True) if written else None
    return None


def names_service(frame: Frame, heard: Heard) -> bool:
    """Whether the words name something that the profession books: "my tooth hurts"."""
    first = next((q for q in frame.questions.items if q.slot == "Choice"), None)
    if first is not None and choose(heard.digits, first.choices, frame.locale) is not None:
        return True
    said_words = keywords(heard.digits, frame.locale)
    return any(
        said_words & keywords(" ".join((kind.title, *kind.words)), frame.locale)
        for kind in frame.kinds
    )
