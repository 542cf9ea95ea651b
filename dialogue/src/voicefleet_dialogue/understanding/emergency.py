"""The profession's emergency phrases, heard through paraphrase, word order and small errors.

A phrase counts where all its content words are said near one another, in any order, and no negation
stands before them. Paraphrase in wholly other words is not heard here; it stays the language
model's, or a person's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from rapidfuzz.distance import Levenshtein

from voicefleet_api.professions import Emergency
from voicefleet_dialogue.locale import Locale
from voicefleet_dialogue.understanding.answers import stem
from voicefleet_dialogue.understanding.text import even

_STRAY = 5
"""Words that may stand between a phrase's own."""
_BEFORE = 4
"""Words before a phrase in which a negation undoes it."""


def find_emergency(text: str, emergencies: Sequence[Emergency], locale: Locale) -> Emergency | None:
    """The first that matches counts."""
    words = text.split()
    for emergency in emergencies:
        if any(_said(words, phrase, locale) for phrase in emergency.phrases):
            return emergency
    return None


def _said(words: Sequence[str], phrase: str, locale: Locale) -> bool:
    wanted = _content(phrase, locale)
    stems = [_root(word, locale) for word in words]
    denials = set(locale.data["negations"])
    denies_itself = any(word in denials or word in locale.data["can_not"] for word in wanted)
    for start in range(len(stems)):
        end = min(len(stems), start + len(wanted) + _STRAY)
        places = _places(wanted, stems, start, end)
        if places is None or min(places) != start:
            continue
        before = words[max(0, start - _BEFORE) : start]
        between = [words[i] for i in range(start, max(places)) if i not in places]
        if denies_itself or not denials & {*before, *between}:
            return True
    return False


def _places(wanted: Sequence[str], stems: Sequence[str], start: int, end: int) -> set[int] | None:
    """Where each wanted word stands; None unless all do."""
    places: set[int] = set()
    for word in wanted:
        place = next(
            (i for i in range(start, end) if i not in places and _alike(word, stems[i])), None
        )
        if place is None:
            return None
        places.add(place)
    return places


def _alike(wanted: str, said: str) -> bool:
    if wanted == said:
        return True
    # One wrong letter in a longer word; the first letter has to be right.
    return len(wanted) >= 6 and wanted[0] == said[:1] and Levenshtein.distance(wanted, said) <= 1


@lru_cache(maxsize=1024)
def _content(phrase: str, locale: Locale) -> tuple[str, ...]:
    noise = set(locale.data["noise"])
    words = even(phrase, locale).split()
    kept = [word for word in words if word not in noise] or words
    return tuple(_root(word, locale) for word in kept)


@lru_cache(maxsize=8192)
def _root(word: str, locale: Locale) -> str:
    if word in locale.data["can_not"]:
        return str(locale.data["can_not"][0])
    known: dict[str, str] = locale.data["emergency_synonyms"]
    word = re.sub(r"'s$", "", word)
    return stem(known.get(word, word), locale)
