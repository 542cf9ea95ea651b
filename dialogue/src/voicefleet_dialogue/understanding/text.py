"""A transcript made even: lower case, no punctuation, no fillers, number words as digits."""

from __future__ import annotations

import re
import unicodedata

from text_to_num import alpha2digit

from voicefleet_dialogue.locale import Locale

_MERIDIEM = re.compile(r"\b([ap])\.? ?m\b\.?")
_BETWEEN_DIGITS = re.compile(r"(?<=\d)(?:[-\u2013.]|, ?(?=\d{3}\b))(?=\d)")
_PUNCTUATION = re.compile(r"[^\w\s':@./+$-]|(?<!\w)[.:/'-]|[.:/'-](?!\w)|(?<!\d):|:(?!\d)")
_HYPHEN = re.compile(r"(?<=\w\w)-(?=\w\w)")
_SPACE = re.compile(r"\s+")


def even(heard: str, locale: Locale) -> str:
    """The words as they were said, comparable; numbers still in words where they were."""
    text = unicodedata.normalize("NFC", heard).lower().replace("\u2019", "'")
    text = _MERIDIEM.sub(r"\1m", text)
    text = _BETWEEN_DIGITS.sub(" ", text)
    text = _PUNCTUATION.sub(" ", text)
    text = _HYPHEN.sub(" ", text)
    text = _SPACE.sub(" ", text).strip()
    for pattern, by in locale.data["replace"].items():
        text = re.sub(pattern, by, text)
    fillers = "|".join(map(re.escape, locale.data["fillers"]))
    text = re.sub(rf"(?<![\w'])(?:{fillers})(?![\w'])", " ", text)
    return _SPACE.sub(" ", text).strip()


def with_digits(text: str, locale: Locale) -> str:
    """Number words as digits; "four one five" stays three numbers, "the fifteenth" is 15th."""
    done: str = alpha2digit(text, locale.language, threshold=0)
    return done
