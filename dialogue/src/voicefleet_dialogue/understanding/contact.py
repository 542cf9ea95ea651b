"""Phone numbers, e-mail addresses and street addresses as they are dictated."""

from __future__ import annotations

import re

import phonenumbers

from voicefleet_dialogue.locale import Locale
from voicefleet_dialogue.understanding.text import with_digits

_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")


def digits(text: str, locale: Locale, *, by_sound: bool = False) -> str:
    """Every digit of an evened text, in order: "double five oh" is 550.

    `by_sound`: beside a digit, a word is the digit that it sounds like; transcribers write "for"
    for four.
    """
    tokens = re.findall(r"[\w+]+", with_digits(_hundreds(text, locale), locale))
    read = [locale.data["digits"].get(token, token) for token in tokens]
    if by_sound:
        for at, sounds_like in enumerate(map(locale.data["digit_sounds"].get, tokens)):
            beside = (*read[max(0, at - 1) : at], *read[at + 1 : at + 2])
            if sounds_like and any(map(str.isdigit, beside)):
                read[at] = sounds_like
    words: list[str] = []
    repeat = 1
    for token in read:
        if token in locale.data["repeats"]:
            repeat = locale.data["repeats"][token]
        elif re.fullmatch(r"\+?\d+", token):
            words.append(token[0] * repeat + token[1:])
            repeat = 1
    return "".join(words)


def only_digits(text: str, locale: Locale) -> bool:
    """Whether an evened text is a number from end to end, but for what leads to it."""
    cues = "|".join(pattern.pattern for pattern in locale.patterns("lead_ins"))
    rest = re.sub(rf"^(?:(?:{cues})\s+)+", "", with_digits(_hundreds(text, locale), locale))
    known = {*locale.data["digits"], *locale.data["repeats"], *locale.data["area_code"].split()}
    return all(word in known or re.fullmatch(r"[\d+().-]+", word) for word in rest.split())


def _hundreds(text: str, locale: Locale) -> str:
    """ "eight hundred five" of a phone number is 800 5, not 805."""
    return re.sub(
        locale.data["hundred"], lambda match: f"{with_digits(match['n'], locale)}00", text
    )


def find_phone(text: str, locale: Locale) -> str | None:
    """E.164, where the digits said make a possible number of the region."""
    number, code, area = text.partition(locale.data["area_code"])
    if code and number.strip():
        text = f"{area} {number}"
    return _number(digits(text, locale), locale) or _number(
        digits(text, locale, by_sound=True), locale
    )


def _number(said: str, locale: Locale) -> str | None:
    try:
        number = phonenumbers.parse(said, locale.region)
    except phonenumbers.NumberParseException:
        return None
    if (
        phonenumbers.is_possible_number_with_reason(number)
        != phonenumbers.ValidationResult.IS_POSSIBLE
    ):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def unfinished_phone(text: str, locale: Locale) -> bool:
    """Whether the digits so far are a number cut short."""
    said = digits(text, locale)
    return len(said) > 0 and find_phone(text, locale) is None


def find_email(text: str, locale: Locale) -> str | None:
    """anna.miller@example.com from "anna dot miller at example dot com"."""
    words = locale.data["email"]
    cues = "|".join(pattern.pattern for pattern in locale.patterns("lead_ins"))
    done = re.sub(rf"^(?:(?:{cues})\s+)+", "", text)
    done = with_digits(done, locale) if not _EMAIL.search(done) else done
    done = re.sub(words["dot"], ".", done)
    done = re.sub(words["underscore"], "_", done)
    done = re.sub(words["dash"], "-", done)
    done = re.sub(words["plus"], "+", done)
    done = done.replace(words["at"], " @ ", 1) if "@" not in done else done
    done = re.sub(r"\s*([@._+-])\s*", r"\1", done)
    user, at, host = done.partition("@")
    if not at:
        return None
    # What is spelled letter by letter, or said in several words, is one word.
    last = user.split()
    user = "".join(last) if all(len(piece) <= 2 for piece in last[:-1]) else "".join(last[-2:])
    host = host.split()[0] if "." in host.split(" ")[0] else host.replace(" ", "")
    match = _EMAIL.fullmatch(f"{user}@{host}")
    return match[0] if match else None


def find_address(text: str, locale: Locale) -> str | None:
    """A house number and a street, as said."""
    done = with_digits(text, locale)
    cues = "|".join(pattern.pattern for pattern in locale.patterns("lead_ins"))
    done = re.sub(rf"^(?:(?:{cues})\s+)+", "", done)
    # "From 101 River Road": a word that was no word.
    done = re.sub(r"^[^\W\d]+ (?=\d)", "", done) if not locale.matches(done, "units") else done
    if re.search(r"\d", done) and re.search(r"[^\W\d]{2,}", done) and len(done.split()) >= 2:
        # House numbers are said in pieces: "12 25 oak street" is 1225.
        done = re.sub(r"^(\d{1,2}) (\d{2})\b(?=\s)", r"\1\2", done)
        return re.sub(r"\b([^\W\d])", lambda m: m[1].upper(), done)
    return None
