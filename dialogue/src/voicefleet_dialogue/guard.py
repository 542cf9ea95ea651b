"""Nothing invented: a model's sentence is spoken only if its facts are the client's."""

from __future__ import annotations

import re
from collections.abc import Iterable

from voicefleet_dialogue.locale import Locale
from voicefleet_dialogue.understanding.text import even, with_digits

_LINK = re.compile(r"[\w.+-]+@[\w.-]+|https?://\S+|www\.\S+|\b\w+\.(?:com|org|net|es)\b", re.I)
_NAME = re.compile(r"(?<=[^.!?]\s)[A-Z][a-z]+")


class Guard:
    """Knows every number, day, address and name that the client's facts hold."""

    def __init__(self, sources: Iterable[str], locale: Locale) -> None:
        self._locale = locale
        self._text = " ".join(sources)
        self._known = self._claims(self._text)
        self._words = set(re.findall(r"\w+", self._text.lower()))

    def _plain(self, text: str) -> str:
        return with_digits(even(text.replace("$", " "), self._locale), self._locale)

    def _claims(self, text: str) -> set[str]:
        """Numbers, days, months and named times, however they are written."""
        plain = self._plain(text)
        claims = set(re.findall(r"\d+", plain))
        for kind in ("weekdays", "months"):
            # "may" and "march" are words of their own.
            for index, words in enumerate(self._locale.data[kind]):
                full = words.split("|")[0]
                if full not in self._locale.data["ambiguous"] and re.search(
                    rf"\b{full}s?\b", plain
                ):
                    claims.add(f"{kind}{index}")
        for words in self._locale.data["claim_words"]:
            if re.search(rf"\b(?:{words})\b", plain):
                claims.add(words)
        return claims

    def allows(self, sentence: str) -> bool:
        """Whether all it claims is known, and it claims nothing to have been done."""
        if self._locale.matches(self._plain(sentence), "forbidden"):
            return False
        if any(link[0] not in self._text for link in _LINK.finditer(sentence)):
            return False
        if not self._claims(sentence) <= self._known:
            return False
        # Streets, people and brands are capitalised within a sentence.
        return all(name[0].lower() in self._words for name in _NAME.finditer(sentence))
