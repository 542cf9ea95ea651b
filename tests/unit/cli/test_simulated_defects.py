"""Defects of the dialogue, made on purpose: the scenarios' facts see each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from support.simulated import played
from voicefleet_api.receptionist import Contact, Fact
from voicefleet_cli.simulate.judge import judged
from voicefleet_dialogue import appointments, memory, policy, speaking
from voicefleet_dialogue.acts import End
from voicefleet_dialogue.booking import Bookings
from voicefleet_dialogue.dialogue import Dialogue
from voicefleet_dialogue.frame import Frame
from voicefleet_dialogue.knowledge import Knowledge
from voicefleet_dialogue.locale import Locale
from voicefleet_dialogue.state import State, TakeMessage, Turn
from voicefleet_dialogue.understanding import contact, heard

pytestmark = pytest.mark.unit

Patch = pytest.MonkeyPatch
Defect = Callable[[Patch], None]


def wrapped(owner: Any, name: str, change: Callable[..., Any]) -> Defect:
    """`change` gets what was there before, then its arguments."""

    def make(patch: Patch) -> None:
        before = getattr(owner, name)
        patch.setattr(owner, name, lambda *args, **named: change(before, *args, **named))

    return make


def told(change: Callable[[Fact], Fact]) -> Defect:
    def find(before: Callable[..., list[Fact]], *args: Any) -> list[Fact]:
        return [change(fact) for fact in before(*args)]

    return wrapped(Knowledge, "find", find)


def _dearer(fact: Fact) -> Fact:
    return fact.model_copy(update={"text": fact.text.replace("89", "98")})


def _a_neighbour_s(fact: Fact) -> Fact:
    return fact.model_copy(update={"text": "We have two loan cars at no charge."})


def _a_day_later(before: Any, self: Bookings, kind: Any, starts: datetime, **named: Any) -> Any:
    return before(self, kind, starts + timedelta(days=1), **named)


def _a_day_earlier(before: Any, self: Bookings, uid: str, starts: datetime) -> Any:
    return before(self, uid, starts - timedelta(days=1))


def _for_nobody(before: Any, *args: Any, **named: Any) -> Any:
    return before(*args, **{**named, "name": ""})


def _twice(before: Any, self: Dialogue, *args: Any) -> None:
    before(self, *args)
    before(self, *args)


def _an_hour_later(before: Any, starts: datetime, locale: Locale) -> Any:
    return before(starts + timedelta(hours=1), locale)


def _misheard(before: Any, *args: Any) -> str | None:
    found: str | None = before(*args)
    return found and f"{found[:-1]}{(int(found[-1]) + 1) % 10}"


def _message(field: str, value: Any) -> Defect:
    def perform(before: Any, self: Dialogue, effect: Any) -> None:
        taken = isinstance(effect, TakeMessage)
        before(self, replace(effect, **{field: value}) if taken else effect)

    return wrapped(Dialogue, "_perform", perform)


def _goodbye(before: Any, frame: Frame, state: Any, *args: Any, **named: Any) -> Turn:
    return Turn((End("too early"),), replace(state, phase="Ended"))


def _no_more(before: Any, *args: Any) -> Turn:
    turn: Turn = before(*args)
    ended = replace(turn.state, phase="Ended")
    return replace(turn, acts=(*turn.acts, End("too early")), state=ended)


def _forgotten(before: Any, frame: Frame, state: State, said: Any) -> State:
    return state


def _nothing(*_: Any) -> None:
    return None


def _somebody_else(*_: Any) -> Contact:
    return Contact.model_validate({"name": "a neighbour", "phone": "+13125550100"})


def _always(*_: Any) -> str:
    return "We are open day and night."


DEFECTS: Mapping[str, tuple[Defect, str, str, str]] = {
    "a wrong price is told": (
        told(_dearer), "service-call-price-shopper", "plumber", "told price of a service call"),
    "another client's fact is told": (
        told(_a_neighbour_s), "service-call-price-shopper", "plumber", "nothing invented"),
    "the call ends after the first answer": (
        wrapped(policy, "_then", _no_more), "service-call-price-shopper", "plumber",
        "told area served"),
    "wrong hours are told": (
        wrapped(Knowledge, "spoken_hours", _always), "opening-hours", "plumber", "says"),
    "wrong hours are told by key": (
        wrapped(Knowledge, "spoken_hours", _always), "keypad-hours", "plumber", "nothing invented"),
    "it is booked a day later": (
        wrapped(Bookings, "book", _a_day_later), "blocked-drain", "plumber", "booked time"),
    "it is booked for nobody": (
        wrapped(Bookings, "book", _for_nobody), "blocked-drain", "plumber", "booked name"),
    "it is booked twice": (
        wrapped(Dialogue, "_note", _twice), "blocked-drain", "plumber", "booked"),
    "it is moved to another day": (
        wrapped(Bookings, "move", _a_day_earlier), "cleaning-reschedule", "dentist",
        "booked time"),
    "another time is said than is booked": (
        wrapped(speaking, "moment", _an_hour_later), "blocked-drain", "plumber", "Booked as said"),
    "a number is misheard": (
        wrapped(contact, "find_phone", _misheard), "blocked-drain", "plumber", "slot phone"),
    "what was said at once is forgotten": (
        wrapped(memory, "remember", _forgotten), "table-all-at-once", "restaurant", "booked time"),
    "the call ends instead of the next question": (
        wrapped(appointments, "proceed", _goodbye), "blocked-drain", "plumber", "outcome"),
    "an emergency is not heard": (
        wrapped(heard, "find_emergency", _nothing), "gas-smell", "plumber", "outcome"),
    "an emergency is taken for a complaint": (
        wrapped(heard, "find_emergency", _nothing), "food-poisoning-angry", "restaurant",
        "outcome"),
    "the caller is connected with somebody else": (
        wrapped(Frame, "contact", _somebody_else), "burst-pipe", "plumber", "transfer"),
    "the caller is connected with nobody": (
        wrapped(Frame, "contact", _nothing), "wants-a-person", "plumber", "transfer"),
    "a message loses its name": (
        _message("name", None), "leaves-a-message", "plumber", "message name"),
    "a message loses its words": (
        _message("text", "call back"), "leaves-a-message", "plumber", "message holds"),
    "a message is not urgent any more": (
        _message("urgent", False), "food-poisoning-angry", "restaurant", "message urgent"),
}  # fmt: skip


@pytest.mark.parametrize("defect", DEFECTS)
async def test_a_defect_of_the_dialogue_is_seen(defect: str) -> None:
    make, scenario, profession, what = DEFECTS[defect]
    assert all(fact.right for fact in judged(*await played(scenario, profession)))
    with pytest.MonkeyPatch.context() as patch:
        make(patch)
        came = await played(scenario, profession)
    assert what in [fact.what for fact in judged(*came) if not fact.right]
