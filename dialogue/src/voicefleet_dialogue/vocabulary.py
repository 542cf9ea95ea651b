"""Words that a caller is likely to say next, for a transcriber that can listen for them.

A small transcriber takes "a house" for "thousand" because it does not know what was asked. Here
is what was asked: the language's words for that kind of answer, and the business's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from voicefleet_api.professions import Question, SlotType
from voicefleet_dialogue.frame import Frame
from voicefleet_dialogue.understanding import names

MOST, LONGEST, MOST_CHARACTERS = 1_000, 80, 10_000
"""Words and phrases at most; characters of one, and of all: a transcriber reads them each time."""
_NAMES = 200
"""The commonest of each kind."""


def likely(frame: Frame, slot: SlotType | None, question: Question | None = None) -> list[str]:
    """Words and phrases, none twice; `slot` None: anything may come."""
    words = frame.locale.data["likely"]
    found = dict.fromkeys(words[slot or "Any"])
    if question is None and slot in ("Date", "Time"):
        # When to come: a day, a time, or both.
        found = dict.fromkeys((*words["Time"], *words["Date"]))
    if question is not None:
        found |= dict.fromkeys((*question.choices, *question.examples))
        found |= dict.fromkeys(_content(question.choices, frame))
        found |= dict.fromkeys(_content([question.text], frame))
    if slot == "Name":
        found |= dict.fromkeys(names.common(_NAMES))
    # Whatever was asked: these must not be taken for something else. Word by word: a whole phrase
    # that is likely would be heard where half of it was said ("if you can" as "can't breathe").
    found |= dict.fromkeys(_telling(frame))
    if slot in (None, "Text", "Choice", "YesNo"):
        found |= dict.fromkeys(_of_business(frame, whole=slot is None))
    kept: list[str] = []
    left = MOST_CHARACTERS
    for text in found:
        if len(text) <= min(LONGEST, left) and len(kept) < MOST:
            kept.append(text)
            left -= len(text)
    return kept


def _of_business(frame: Frame, *, whole: bool) -> Iterator[str]:
    yield from (fact.topic for fact in frame.config.facts)
    texts = [text for fact in frame.config.facts for text in (fact.topic, fact.text)]
    yield from _content(texts, frame)
    if whole:
        for kind in frame.kinds:
            yield from (kind.title, *kind.words)
        for question in frame.questions.items:
            yield from (*question.choices, *_content(question.choices, frame))


def _telling(frame: Frame) -> Iterator[str]:
    """The words of the emergencies' phrases that say which it is."""
    data = frame.locale.data
    phrases = (phrase for emergency in frame.emergencies for phrase in emergency.phrases)
    common = {*data["noise"], *data["negations"], *data["can_not"]}
    yield from (word for word in _content(phrases, frame) if word not in common)


def _content(texts: Iterable[str], frame: Frame) -> Iterator[str]:
    """The words that carry meaning, as they are written."""
    stop = frame.locale.data["stop"]
    for text in texts:
        yield from (w for w in re.findall(r"[^\W\d_][\w'-]+", text) if w.lower() not in stop)
