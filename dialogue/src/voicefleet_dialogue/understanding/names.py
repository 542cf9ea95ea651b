"""People's names, said or spelled."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from nameparser import HumanName

from voicefleet_dialogue.locale import Locale

_MOST_WORDS = 4
_CENSUS = files("voicefleet_dialogue") / "understanding" / "census"
"""The commonest names, most frequent first, one a line: United States Census Bureau, "Frequently
Occurring Surnames" and "… First Names" of 1990 (public domain), as far as the 2,000th of each."""
_REPEATED = re.compile(r"\b(\w{2,})(?: \1\b)+")
"""A caller who begins anew: "Robert, Robert Johnson"."""


def find_name(text: str, locale: Locale, *, asked: bool, raw: str = "") -> str | None:
    """A name in an evened text; `asked`: the whole answer may be one.

    Without being asked only after a cue ("this is ..."), and only words that are no common ones;
    after a weak cue ("it's ...") only where `raw` has them as names.
    """
    pattern, both = locale.data["name_parts"]
    text = re.sub(pattern, both, text)
    text = _REPEATED.sub(r"\1", text)
    spelled = _spelled(text, locale)
    cues = "|".join(locale.data["name_cues"])
    if spelled and (asked or re.search(rf"(?<![\w'])(?:{cues}) ", text)):
        return spelled
    for match in re.finditer(rf"(?<![\w'])(?:{cues}) ", text):
        name = _words(text[match.end() :], locale)
        if name and (asked or _sure(match, raw, name, locale)):
            return _capital(name)
    if not asked:
        return None
    lead = "|".join(pattern.pattern for pattern in locale.patterns("lead_ins"))
    rest = re.sub(rf"^(?:(?:{lead})\s+)+", "", text)
    trail = "|".join(pattern.pattern for pattern in locale.patterns("trail"))
    rest = re.sub(rf"(?:\s+(?:{trail}))+$", "", rest)
    words = rest.split()
    short = len(words) <= _MOST_WORDS + 1
    name = _words(rest, locale)
    known = _known_end(words)
    if short and name and len(name) == len(words):
        return _capital(known or name)
    return _capital(known) if len(known) > 1 or (short and known) else None


def _known_end(words: list[str]) -> list[str]:
    """The common names at the end: "I believe Davis" is Davis, "long Rachel Stone" no long."""
    at = len(words)
    while at and is_common(words[at - 1]):
        at -= 1
    return words[at:]


def _sure(match: re.Match[str], raw: str, name: list[str], locale: Locale) -> bool:
    """A cue that only a name follows, or the caller's first words, or words written as a name."""
    cue = match[0].strip()
    if re.fullmatch("|".join(locale.data["sure_name_cues"]), cue):
        return True
    if cue in locale.data["first_name_cues"] and len(match.string[: match.start()].split()) <= 2:
        return True
    capital = [word for word in re.findall(r"[^\W\d_]+", raw) if word[0].isupper()]
    lower = [word.lower() for word in capital]
    return len(name) > 1 and all(word in lower for word in name)


def _words(rest: str, locale: Locale) -> list[str]:
    """Leading words that may be a name."""
    common = set(locale.data["not_names"].split())
    found: list[str] = []
    for word in rest.split():
        if word in common or not re.fullmatch(r"[^\W\d_]+(?:['.-][^\W\d_]+)*", word):
            break
        found.append(word)
    return found if len(found) <= _MOST_WORDS else []


def _spelled(text: str, locale: Locale) -> str | None:
    """ "anna miller m i double l e r": the spelling replaces the word that it spells."""
    done = re.sub(locale.data["as_in"], r"\g<letter>", text)
    done = re.sub(r"(?<=\b\w)-(?=\w\b)", " ", done)
    for word, times in locale.data["repeats"].items():
        done = re.sub(rf"\b{word} (\w)\b", " ".join([r"\1"] * times), done)
    match = re.search(r"(?<![\w'])(?:[^\W\d_] ){2,}[^\W\d_](?![\w'])", done)
    if match is None:
        return None
    word = match[0].replace(" ", "")
    before = done[: match.start()]
    for pattern in locale.patterns("spelling"):
        before = pattern.sub(" ", before)
    said = find_name(before.strip(), locale, asked=True) if before.strip() else None
    if said is None:
        return _capital([word])
    kept = said.split()
    nearest = max(range(len(kept)), key=lambda i: (kept[i][0].lower() == word[0], i))
    kept[nearest] = word
    return _capital([piece.lower() for piece in kept])


def _capital(words: list[str]) -> str:
    name = HumanName(" ".join(words))
    name.capitalize(force=True)
    return str(name)


def common(most: int) -> list[str]:
    """The commonest names of men, women and families, as many of each."""
    return [name for kind in _census() for name in kind[:most]]


def is_common(name: str) -> bool:
    """Whether all its words are names that many have."""
    return all(word.lower() in _known() for word in name.split())


@cache
def _known() -> frozenset[str]:
    return frozenset(name.lower() for kind in _census() for name in kind)


@cache
def _census() -> list[list[str]]:
    lists = ("men.txt", "women.txt", "families.txt")
    return [(_CENSUS / name).read_text().split() for name in lists]
