"""Telephone speech as a transcriber writes it: many ways to say the same."""

from __future__ import annotations

from datetime import date, datetime, time

import pytest

from voicefleet_api import professions
from voicefleet_dialogue import locale
from voicefleet_dialogue.understanding import answers, contact, names, when
from voicefleet_dialogue.understanding.emergency import find_emergency
from voicefleet_dialogue.understanding.intents import find_intents
from voicefleet_dialogue.understanding.text import even, with_digits

pytestmark = pytest.mark.unit

EN = locale.load("en-US")
TODAY = date(2026, 11, 23)
"""A Monday."""


def opens(day: date | None, at: time) -> bool:
    return time(8) <= at < time(18)


def plain(text: str) -> str:
    return with_digits(even(text, EN), EN)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("Next Tuesday at half past two.", "2026-12-01 14:30"),
        ("tomorrow at quarter to five", "2026-11-24 16:45"),
        ("Tomorrow, quarter past nine", "2026-11-24 09:15"),
        ("friday around ten thirty", "2026-11-27 10:30"),
        ("a week from monday at noon", "2026-12-07 12:00"),
        ("Thursday at 2:15 p.m.", "2026-11-26 14:15"),
        ("december third at nine", "2026-12-03 09:00"),
        ("ten o'clock on Friday", "2026-11-27 10:00"),
        ("um, Wednesday, I guess, maybe ten fifteen?", "2026-11-25 10:15"),
        ("monday ten thirty", "2026-11-30 10:30"),
        ("the day after tomorrow at 9 a.m.", "2026-11-25 09:00"),
        ("Could I come on Thursday, at two in the afternoon?", "2026-11-26 14:00"),
        ("12/4 at 9", "2026-12-04 09:00"),
        ("tomorrow at ten to three", "2026-11-24 14:50"),
        ("tomorrow twenty past one", "2026-11-24 13:20"),
        ("this friday at 3pm", "2026-11-27 15:00"),
        ("in two weeks at eleven", "2026-12-07 11:00"),
        ("january fifth twenty twenty seven at one", "2027-01-05 13:00"),
        ("tuesday of next week at five", "2026-12-01 17:00"),
        ("three pm on the second of december", "2026-12-02 15:00"),
        ("thirty minutes past", None),
        ("the fifteenth at four oh five pm", "2026-12-15 16:05"),
        ("wednesday morning at eight", "2026-11-25 08:00"),
        ("Wednesday, attend in the morning", "2026-11-25 10:00"),
        ("tomorow at eight thirty in the morning", "2026-11-24 08:30"),
        ("a table for four on friday at seven thirty", "2026-11-27 07:30"),
    ],
)
def test_day_and_time(said: str, expected: str | None) -> None:
    found = when.find(plain(said), TODAY, EN, opens)
    if expected is None:
        assert not (found.day and found.at)
    else:
        assert found.day is not None
        assert found.at is not None
        assert datetime.combine(found.day, found.at) == datetime.fromisoformat(expected)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("three pm", "15:00"), ("eleven", "11:00"), ("at one", "13:00"), ("half past two", "14:30"),
        ("ten fifteen", "10:15"), ("nine a m", "09:00"), ("noon", "12:00"), ("two-thirty", "14:30"),
        ("a quarter past three", "15:15"), ("maybe around four", "16:00"), ("9:30", "09:30"),
        ("eight in the morning", "08:00"), ("five in the afternoon", "17:00"),
        ("four o'clock", "16:00"), ("half passed three", "15:30"), ("1030", "10:30"),
    ],
)  # fmt: skip
def test_time_alone(said: str, expected: str) -> None:
    assert when.find(plain(said), TODAY, EN, opens, bare=True).at == time.fromisoformat(expected)


def test_the_business_hours_tell_morning_from_evening() -> None:
    def evening(day: date | None, at: time) -> bool:
        return time(17) <= at < time(23)

    assert when.find(plain("at eight"), TODAY, EN, evening).at == time(20)
    assert when.find(plain("at eight"), TODAY, EN, opens).at == time(8)


@pytest.mark.parametrize(
    ("said", "day", "until", "part", "soonest"),
    [
        ("next week sometime", "2026-11-30", "2026-12-06", None, False),
        ("tomorrow morning", "2026-11-24", None, ("06:00", "12:00"), False),
        ("late in the afternoon", None, None, ("15:00", "20:00"), False),
        ("as soon as possible", None, None, None, True),
        ("the earliest you have", None, None, None, True),
        ("whenever works", None, None, None, True),
        ("I don't know", None, None, None, False),
    ],
)
def test_vague_wishes(
    said: str, day: str | None, until: str | None, part: tuple[str, str] | None, soonest: bool
) -> None:
    found = when.find(plain(said), TODAY, EN, opens)
    assert found.day == (date.fromisoformat(day) if day else None)
    assert found.until == (date.fromisoformat(until) if until else None)
    assert found.part == (tuple(map(time.fromisoformat, part)) if part else None)
    assert found.soonest is soonest


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("March fourth, nineteen eighty two.", "1982-03-04"),
        ("The twelfth of June, nineteen seventy five.", "1975-06-12"),
        ("five twelve nineteen ninety", "1990-05-12"), ("July 2nd 1990", "1990-07-02"),
        ("january first two thousand and one", "2001-01-01"), ("3/4/82", "1982-03-04"),
        ("may third nineteen oh five", "1905-05-03"), ("first of May eighty five", "1985-05-01"),
        ("it's october thirty first nineteen ninety nine", "1999-10-31"),
        ("february thirtieth nineteen ninety", None), ("2/29/2000", "2000-02-29"),
    ],
)  # fmt: skip
def test_dates_of_birth(said: str, expected: str | None) -> None:
    found = when.find_date(plain(said), TODAY, EN)
    assert found == (date.fromisoformat(expected) if expected else None)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("It's three one two, five five five, zero one four two.", "+13125550142"),
        ("four one five double five five oh one nine eight", "+14155550198"),
        ("415-555-0142", "+14155550142"), ("(415) 555-0142", "+14155550142"),
        ("415.555.0142", "+14155550142"), ("plus one 415 555 0142", "+14155550142"),
        ("one four one five five five five zero one nine eight", "+14155550198"),
        ("eight hundred five five five twelve twelve", "+18005551212"),
        ("four fifteen five fifty five oh one forty two", "+14155550142"),
        ("my number is 4 1 5 5 5 5 0 1 4 2 thanks", "+14155550142"),
        ("for one five, five five five, oh one for to", "+14155550142"),
        ("to one two five five five oh one ate ate", "+12125550188"),
        ("the number to reach me is six one five two three six zero one seven", None),
        ("triple five no sorry", None), ("three one two five five", None), ("yes", None),
        ("four one five five five five zero one four two seven seven", None),
    ],
)  # fmt: skip
def test_phone_numbers(said: str, expected: str | None) -> None:
    assert contact.find_phone(even(said, EN), EN) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("anna dot miller at gmail dot com", "anna.miller@gmail.com"),
        ("it's j o e at example dot org", "joe@example.org"),
        ("my email is bob underscore smith at yahoo dot com", "bob_smith@yahoo.com"),
        ("Anna.Miller@Example.com.", "anna.miller@example.com"),
        ("sam forty two at mail dot co dot uk", "sam42@mail.co.uk"), ("I don't have one", None),
    ],
)  # fmt: skip
def test_email(said: str, expected: str | None) -> None:
    assert contact.find_email(even(said, EN), EN) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("My name is Susan Miller.", "Susan Miller"), ("Uh, Daniel Carter.", "Daniel Carter"),
        ("It's Maria Lopez.", "Maria Lopez"), ("john o'brien", "John O'Brien"),
        ("Smith, S-M-I-T-H", "Smith"), ("Anna Miller, M I double L E R.", "Anna Miller"),
        ("yes this is tom", "Tom"),
        ("sure my name's peter van der berg thanks", "Peter van der Berg"),
        ("the name is Jean-Luc Picard", "Jean Luc Picard"),
        ("you can put it under Garcia", "Garcia"),
        ("B as in boy O B", "Bob"), ("what do you mean", None), ("i don't know", None),
        ("why do you need that", None),
    ],
)  # fmt: skip
def test_names_that_were_asked_for(said: str, expected: str | None) -> None:
    assert names.find_name(even(said, EN), EN, asked=True) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("this is anna miller i need a cleaning", "Anna Miller"),
        ("hi my name is Bob and I have a leak", "Bob"),
        ("I'm calling about a leak", None), ("i'm in pain", None), ("it's completely down", None),
        ("this is urgent", None), ("I'm Anna Miller, I'd like to book", "Anna Miller"),
        ("it's Monday morning", None),
    ],
)  # fmt: skip
def test_names_in_passing(said: str, expected: str | None) -> None:
    assert names.find_name(even(said, EN), EN, asked=False, raw=said) == expected


YES = ["Yes.", "yeah", "yep sure", "uh huh", "that's right", "Sounds good to me", "please do",
       "Okay", "I think so", "yes it hurts a lot", "no that's fine", "absolutely", "go ahead",
       "um yes", "I do", "sure why not", "mhm", "a little bit", "it does yeah"]  # fmt: skip
NO = ["No.", "nope", "Not really", "no thank you", "I don't think so", "I haven't", "not yet",
      "no, this is my first time", "um no", "nah", "never", "that's wrong", "not that I know of",
      "I'm new", "it doesn't", "no not at all"]  # fmt: skip


@pytest.mark.parametrize(("said", "yes"), [(s, True) for s in YES] + [(s, False) for s in NO])
def test_yes_and_no(said: str, yes: bool) -> None:
    assert answers.yes_or_no(plain(said), EN) is yes


@pytest.mark.parametrize(
    "said", ["purple", "on tuesday", "my name is Bob", "I need to ask my wife"]
)
def test_neither_yes_nor_no(said: str) -> None:
    assert answers.yes_or_no(plain(said), EN) is None


def test_what_the_question_says_turns_around() -> None:
    said = plain("it's my first time")
    assert answers.yes_or_no(said, EN, "Have you been to our practice before?") is False
    assert answers.yes_or_no(said, EN, "Is this your first time with us?") is True


@pytest.mark.parametrize(
    ("profession", "key", "said", "expected"),
    [
        ("dentist", "reason", "my tooth is hurting", "tooth pain"),
        ("dentist", "reason", "just a check up please", "cleaning and check-up"),
        ("dentist", "reason", "I chipped a tooth", "broken tooth or filling"),
        ("plumber", "problem", "the toilet is clogged", "blocked drain or toilet"),
        ("plumber", "problem", "we have no hot water", "no hot water"),
        ("plumber", "owner", "I'm renting", "rent"), ("plumber", "owner", "it's mine", "own"),
        ("hvac", "system", "the AC", "cooling"), ("hvac", "system", "my furnace", "heating"),
        ("salon", "service", "a haircut", "cut and style"),
        ("salon", "service", "I'd like highlights", "color or highlights"),
        ("auto-repair", "warningLight", "the red one", "red"),
        ("auto-repair", "waiting", "I'll drop it off", "leave it"),
        ("restaurant", "seating", "outdoors on the terrace", "outside"),
        ("doctor", "visitType", "on the telephone", "by phone"),
        ("veterinarian", "species", "she's a kitten", "cat"),
        ("lawyer", "matter", "I got hurt in a car crash", "injury or accident"),
        ("lawyer", "matter", "the second one", "family"), ("dentist", "reason", "purple", None),
    ],
)  # fmt: skip
def test_choices(profession: str, key: str, said: str, expected: str | None) -> None:
    question = next(q for q in professions.load(profession).questions if q.key == key)
    index = answers.choose(plain(said), question.choices, EN)
    assert (None if index is None else question.choices[index]) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [("four", 4), ("a table for two", 2), ("there's six of us", 6), ("just me", 1),
     ("four adults and two kids", 6), ("sixty thousand", 60000), ("about twelve years", 12),
     ("me and my wife", 2), ("I don't know", None)],
)  # fmt: skip
def test_how_many(said: str, expected: int | None) -> None:
    assert answers.number(even(said, EN), EN) == expected


@pytest.mark.parametrize(
    ("said", "intent"),
    [
        ("I'd like to book an appointment", "Book"), ("can I come in tomorrow", "Book"),
        ("I need an apointment", "Book"), ("do you have any openings this week", "Book"),
        ("table for two tonight", "Book"), ("can you send someone", "Book"),
        ("I need to reschedule", "Reschedule"),
        ("can I move my appointment to friday", "Reschedule"),
        ("something came up and I can't make it, is there another day", "Reschedule"),
        ("I want to cancel", "Cancel"), ("please cancel my reservation", "Cancel"),
        ("what are your hours", "Hours"), ("when do you close", "Hours"),
        ("are you open on sundays", "Hours"), ("how late are you open", "Hours"),
        ("can I leave a message", "Message"), ("have someone call me back", "Message"),
        ("let me speak to a person", "Human"), ("representative", "Human"),
        ("can I talk to the dentist", "Human"), ("are you a robot", "Robot"),
        ("is this a real person", "Robot"), ("could you repeat that", "Repeat"),
        ("pardon", "Repeat"),
        ("hold on a second", "Wait"), ("okay thanks bye", "Goodbye"), ("no that's all", "Goodbye"),
    ],
)  # fmt: skip
def test_intents(said: str, intent: str) -> None:
    assert find_intents(plain(said), EN)[:1] == [intent]


@pytest.mark.parametrize(
    ("profession", "said"),
    [
        ("dentist", "he's having trouble breathing"), ("dentist", "I cannot breathe"),
        ("dentist", "my tooth got knocked out playing hockey"),
        ("dentist", "it won't stop bleeding"), ("dentist", "the bleeding just won't stop"),
        ("doctor", "I've got this pain in my chest"), ("doctor", "I'm having chest pains"),
        ("doctor", "I want to kill myself"), ("doctor", "my baby just won't wake up"),
        ("plumber", "there's a burst pipe"), ("plumber", "a pipe just burst"),
        ("plumber", "the basement is flooded"), ("plumber", "I smell some gas"),
        ("plumber", "it smells of gas in here"), ("plumber", "I can't turn off the water"),
        ("electrician", "my outlet's really hot"), ("electrician", "there is a burning smell"),
        ("veterinarian", "he was hit by a car"), ("veterinarian", "my cat swallowed some pills"),
        ("veterinarian", "the dog has eaten rat poison"), ("hvac", "the carbon monoxide detector"),
        ("auto-repair", "my brakes just failed"), ("lawyer", "the police are here"),
        ("restaurant", "she is having an alergic reaction"),
    ],
)  # fmt: skip
def test_emergencies_are_heard_through_paraphrase(profession: str, said: str) -> None:
    assert find_emergency(even(said, EN), professions.load(profession).emergencies, EN)


@pytest.mark.parametrize(
    ("profession", "said"),
    [
        ("doctor", "no I don't have any chest pain"), ("plumber", "there's no flooding"),
        ("plumber", "I don't smell any gas"), ("dentist", "I'd like a cleaning"),
        ("plumber", "how much is a gas heater"), ("electrician", "no burning smell"),
        ("veterinarian", "my dog eats well"), ("auto-repair", "I need new brakes"),
        ("doctor", "without any high fever"),
    ],
)  # fmt: skip
def test_denied_or_unrelated_words_are_no_emergency(profession: str, said: str) -> None:
    assert find_emergency(even(said, EN), professions.load(profession).emergencies, EN) is None
