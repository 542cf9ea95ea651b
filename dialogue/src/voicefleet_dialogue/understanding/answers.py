"""Yes or no, one of several choices, how many."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from rapidfuzz import fuzz, process

from voicefleet_dialogue.locale import Locale
from voicefleet_dialogue.understanding.text import even, with_digits

_ALIKE = 86
"""Of 100: two words are the same but for an error of transcription."""


def yes_or_no(text: str, locale: Locale, question: str = "") -> bool | None:
    """What the caller answers; what the question itself says turns around ("first time?")."""
    asked = with_digits(even(question, locale), locale)
    turned = any(word in asked and word in text for word in locale.data["turning"])
    if locale.matches(text, "double_no"):
        return True
    first = {"yes": locale.patterns("yes")[0], "no": locale.patterns("no")[0]}
    if first["no"].search(text):
        return False
    if first["yes"].search(text):
        return True
    if turned:
        return True
    if locale.patterns("no")[1].search(text):
        return False
    return True if locale.patterns("yes")[1].search(text) else None


def choose(text: str, choices: Sequence[str], locale: Locale) -> int | None:
    """Index of the choice that was meant; None where none or two fit alike."""
    said = keywords(text, locale)
    scores = [_overlap(said, keywords(even(choice, locale), locale)) for choice in choices]
    best = max(scores, default=0)
    if best > 0 and scores.count(best) == 1:
        return scores.index(best)
    whole = [fuzz.ratio(text, even(choice, locale)) for choice in choices]
    if whole and max(whole) >= _ALIKE:
        return whole.index(max(whole))
    if best == 0:
        return ordinal(text, len(choices), locale)
    return None


def ordinal(text: str, count: int, locale: Locale) -> int | None:
    """ "the second one" of `count`."""
    done = with_digits(text, locale)
    for pattern, (_, index) in zip(
        locale.patterns("ordinals"), locale.data["ordinals"], strict=True
    ):
        if pattern.search(done) and -count <= index < count:
            return int(index) % count
    return None


def number(text: str, locale: Locale) -> int | None:
    """How many: "four adults and two kids" is 6, "just me" 1."""
    done = with_digits(text, locale)
    if both := re.search(locale.data["people_sum"], done):
        return int(both["a"]) + (int(both["b"]) if both["b"].isdigit() else 1)
    if found := re.search(r"\d[\d ]*", done.replace(",", "")):
        pieces = found[0].split()
        joined = "".join(pieces) if len(pieces) > 1 and len(pieces[0]) <= 3 else pieces[0]
        return int(joined[:9])
    for pattern, (_, value) in zip(locale.patterns("people"), locale.data["people"], strict=True):
        if pattern.search(done):
            return int(value)
    return None


def keywords(text: str, locale: Locale) -> frozenset[str]:
    """The words that carry meaning, by stem; words of one meaning are one."""
    stop = _stop(locale)
    found = (_canonical(word, locale) for word in re.findall(r"[\w'/]+", text) if word not in stop)
    return frozenset(found)


def _overlap(said: frozenset[str], choice: frozenset[str]) -> float:
    """How many words fit, fuzzily; one that fits of few counts more than one of many."""
    hits = sum(1 for word in choice if word in said or (len(word) >= 5 and _near(word, said)))
    return hits + 0.1 * hits / len(choice) if choice else 0


def _near(word: str, said: frozenset[str]) -> bool:
    return process.extractOne(word, said, scorer=fuzz.ratio, score_cutoff=_ALIKE) is not None


@lru_cache(maxsize=4)
def _stop(locale: Locale) -> frozenset[str]:
    return frozenset(locale.data["stop"])


@lru_cache(maxsize=4)
def _meanings(locale: Locale) -> dict[str, str]:
    return {word: group[0] for group in locale.data["synonyms"] for word in group}


@lru_cache(maxsize=4096)
def _canonical(word: str, locale: Locale) -> str:
    known = _meanings(locale).get(word)
    return known or stem(_meanings(locale).get(stem(word, locale), word), locale)


@lru_cache(maxsize=4096)
def stem(word: str, locale: Locale) -> str:
    """The word without its ending, where enough is left."""
    for ending in locale.data["stem_endings"]:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word
