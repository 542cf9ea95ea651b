"""A talk that another process or call goes on with: nothing is done twice, nothing forgotten."""

from __future__ import annotations

import pytest

from support.dialogues import NOW, MemoryCalendar, at, say, talk
from voicefleet_dialogue.acts import End, Say, Transfer
from voicefleet_dialogue.dialogue import Dialogue
from voicefleet_dialogue.state import Saved

pytestmark = pytest.mark.unit

LOST = "I'm sorry, I lost you for a moment."
CALLER = "+14155550142"
BOOKING = ("Hi, I'd like to book a cleaning.", "No.", "Yes.", "Susan Miller.",
           "March fourth, nineteen eighty two.", "three one two five five five zero one four two",
           "Delta Dental", "Next Tuesday at ten in the morning.")  # fmt: skip


def words(dialogue: Dialogue) -> list[str]:
    return [act.text for act in dialogue.resume("lost").acts if isinstance(act, Say)]


def successor(dialogue: Dialogue, calendar: MemoryCalendar, saved: Saved) -> Dialogue:
    fresh = Dialogue(calendar.settings, calendar, clock=lambda: NOW, caller=CALLER)
    fresh.restore(saved)
    return fresh


def before_the_yes(*lines: str, stands: bool = False) -> tuple[Dialogue, MemoryCalendar, Saved]:
    """The talk, its calendar, and what was saved before the caller's last yes was done."""
    dialogue, calendar = talk("dentist", caller=CALLER)
    if stands:
        kind = dialogue._frame.kinds[0]
        starts = at("2026-12-03T09:00")
        calendar.book(kind, starts, name="Susan Miller", phone=CALLER, notes="")
    for line in lines:
        say(dialogue, line)
    assert dialogue.state.phase == "Confirming"
    return dialogue, calendar, dialogue.saved


def test_a_booking_that_was_made_and_not_saved_is_made_once() -> None:
    dialogue, calendar, saved = before_the_yes(*BOOKING)
    say(dialogue, "Yes, please.")
    fresh = successor(dialogue, calendar, saved)
    assert words(fresh)[0] == LOST
    assert words(fresh)[1].startswith("Done. You are booked for cleaning")
    assert (fresh.state.phase, fresh.outcome.result) == ("Listening", "Booked")
    assert [done.uid for done in fresh.outcome.appointments] == [calendar.entries[0].uid]
    assert len(calendar.entries) == 1


def test_a_booking_that_was_not_made_is_asked_for_again() -> None:
    dialogue, calendar, saved = before_the_yes(*BOOKING)
    fresh = successor(dialogue, calendar, saved)
    assert words(fresh) == [LOST, dialogue.state.last]
    assert calendar.entries == []
    say(fresh, "Yes, please.")
    assert [done.action for done in fresh.outcome.appointments] == ["Booked"]
    assert len(calendar.entries) == 1


def test_two_bookings_of_one_talk_are_two() -> None:
    dialogue, calendar, _ = before_the_yes(*BOOKING)
    say(dialogue, "Yes, please.")
    for line in ("I need another cleaning.", "next Wednesday at ten in the morning", "Yes."):
        say(dialogue, line)
    assert len({entry.uid for entry in calendar.entries}) == 2


def test_two_bookings_of_one_talk_are_two_where_another_process_makes_the_second() -> None:
    dialogue, calendar, _ = before_the_yes(*BOOKING)
    say(dialogue, "Yes, please.")
    fresh = successor(dialogue, calendar, dialogue.saved)
    for line in ("I need another cleaning.", "next Wednesday at ten in the morning", "Yes."):
        say(fresh, line)
    assert len({entry.uid for entry in calendar.entries}) == 2
    assert len({done.uid for done in fresh.outcome.appointments}) == 2


def test_a_move_that_was_made_and_not_saved_is_said() -> None:
    dialogue, calendar, saved = before_the_yes(
        "I need to move my appointment", "next Friday at eleven in the morning", stands=True
    )
    say(dialogue, "Yes.")
    fresh = successor(dialogue, calendar, saved)
    assert "is now on Friday" in words(fresh)[1]
    assert [done.action for done in fresh.outcome.appointments] == ["Rescheduled"]


def test_a_cancellation_that_was_made_and_not_saved_is_said() -> None:
    dialogue, calendar, saved = before_the_yes("I have to cancel my appointment", stands=True)
    say(dialogue, "Yes.")
    fresh = successor(dialogue, calendar, saved)
    assert "is cancelled" in words(fresh)[1]
    assert [done.action for done in fresh.outcome.appointments] == ["Cancelled"]
    assert calendar.entries == []


def test_before_anything_was_said_the_caller_is_asked_what_they_want() -> None:
    dialogue, calendar = talk("dentist")
    assert words(successor(dialogue, calendar, dialogue.saved)) == [
        LOST, "How can I help you?",
    ]  # fmt: skip


def test_a_question_that_is_none_any_more_is_not_asked() -> None:
    dialogue, _ = talk("dentist")
    say(dialogue, "I'd like to book a cleaning")
    other = talk("plumber")[0]
    other.restore(dialogue.saved)
    assert (other.state.phase, other.state.asked) == ("Listening", None)


def test_who_is_not_reached_after_a_break_has_booked_all_the_same() -> None:
    dialogue, calendar, _ = before_the_yes(*BOOKING)
    say(dialogue, "Yes, please.")
    say(dialogue, "I want to speak to a person")
    fresh = successor(dialogue, calendar, dialogue.saved)
    fresh.commit(fresh.resume("lost"))
    assert fresh.outcome.result == "Transferred"
    fresh.unreached("went on")
    assert fresh.outcome.result == "Booked"


@pytest.mark.parametrize(
    ("line", "then"), [("I want to speak to a person", Transfer), ("Sorry, wrong number", End)]
)
def test_a_talk_that_was_about_to_end_ends(line: str, then: type) -> None:
    dialogue, calendar = talk("dentist")
    [*_, last] = say(dialogue, line)
    fresh = successor(dialogue, calendar, dialogue.saved)
    [*_, again] = fresh.resume("lost").acts
    assert type(last) is type(again) is then
    assert words(fresh) == [LOST, dialogue.state.last]
