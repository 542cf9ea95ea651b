"""Seed, property 11 "Profession Prompt Correctness" (validates requirement 1.5)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicefleet_api.professions import BUSINESS, load, names

pytestmark = pytest.mark.property

# Words that only this trade's prompt, questions and appointments are sure to use.
OWN_WORDS = {
    "accountant": ("tax", "accountant"),
    "auto-repair": ("vehicle", "brakes"),
    "dentist": ("dentist", "tooth"),
    "doctor": ("patient", "medicine"),
    "electrician": ("electrician", "breaker"),
    "hvac": ("thermostat", "furnace"),
    "lawyer": ("attorney", "conflict"),
    "plumber": ("plumbing", "valve"),
    "realtor": ("listing", "showing"),
    "restaurant": ("guests", "kitchen"),
    "salon": ("stylist", "guest"),
    "veterinarian": ("pet", "animal"),
}


@given(st.sampled_from(names()))
def test_any_profession_has_its_own_prompt_and_all_fields(name: str) -> None:
    profession = load(name)
    assert profession.name == name
    assert profession.title.lower() in profession.prompt.lower()
    for word in OWN_WORDS[name]:
        assert re.search(rf"\b{word}", profession.prompt, re.I), f"{name}: {word}"
    assert BUSINESS in profession.greeting
    assert re.search(r"automated|virtual", profession.greeting)
    assert re.search(r"\b(automated|virtual) (assistant|host)\b", profession.prompt)
    assert len(profession.questions) >= 3
    slots = {question.slot for question in profession.questions}
    assert {"Name", "Phone"} <= slots, "a booking needs a name and a number to call back"
    assert all(question.text.endswith("?") for question in profession.questions)
    booking = profession.booking
    assert booking.appointments
    assert booking.lead_time_hours < 24 * booking.horizon_days
    assert "{appointment}" in booking.confirmation
    assert "{time}" in booking.confirmation
    assert profession.emergencies


@given(st.sampled_from(names()), st.sampled_from(names()))
def test_phrases_mean_one_thing_and_prompts_differ(one: str, other: str) -> None:
    phrases = [phrase for rule in load(one).emergencies for phrase in rule.phrases]
    assert len(phrases) == len(set(phrases))
    assert all(phrase == phrase.lower() for phrase in phrases)
    assert (load(one).prompt == load(other).prompt) == (one == other)


@given(st.sampled_from(names()), st.text(min_size=1, max_size=128))
def test_any_business_name_can_be_filled_in(name: str, business: str) -> None:
    profession = load(name)
    spoken = profession.greeting.replace(BUSINESS, business)
    assert business in spoken
    assert re.findall(r"\{(\w+)\}", profession.greeting) == ["business"]


@given(
    st.sampled_from(names()),
    st.sampled_from(["Name", "Phone"]),
)
def test_what_booking_needs_is_required(name: str, slot: str) -> None:
    assert any(q.slot == slot and q.required for q in load(name).questions)


@given(st.text(max_size=40).filter(lambda text: text not in names()))
def test_any_other_name_is_refused(name: str) -> None:
    with pytest.raises(KeyError):
        load(name)
