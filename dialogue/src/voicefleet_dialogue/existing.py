"""Appointments that exist: whose they are, and to move or cancel them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from voicefleet_dialogue import speaking
from voicefleet_dialogue.appointments import done, settle
from voicefleet_dialogue.calendar import Appointment
from voicefleet_dialogue.frame import Frame
from voicefleet_dialogue.replies import reply
from voicefleet_dialogue.state import Drop, Move, State, Task, Turn
from voicefleet_dialogue.understanding import contact
from voicefleet_dialogue.understanding.answers import ordinal, yes_or_no
from voicefleet_dialogue.understanding.heard import Heard, answer
from voicefleet_dialogue.understanding.names import find_name
from voicefleet_dialogue.understanding.when import When


def find(frame: Frame, state: State, heard: Heard, task: Task) -> Turn:
    """Whose it is: by the number shown, else by name and number."""
    slots = dict(state.slots)
    if name := find_name(heard.words, frame.locale, asked=False, raw=heard.raw):
        slots[frame.questions.name] = name
    wish = heard.when(frame) if task == "Reschedule" else When()
    then = replace(state, task=task, slots=slots, wish=wish, offered_message=False)
    if frame.caller:
        found = frame.calendar.find(name=None, phone=frame.caller)
        if found:
            return _found(frame, then, found)
    return _look(frame, then)


def _look(frame: Frame, state: State) -> Turn:
    locale = frame.locale
    name = state.slots.get(frame.questions.name)
    phone = state.slots.get(frame.questions.phone)
    if name is None:
        then = replace(state, phase="Finding", asked=frame.questions.name)
        return reply(then, locale.say("ask_who"))
    if phone is None:
        then = replace(state, phase="Finding", asked=frame.questions.phone)
        return reply(then, locale.say("ask_booked_phone"))
    found = frame.calendar.find(name=None, phone=phone)
    if found:
        return _found(frame, state, found)
    then = replace(state, phase="Listening", task=None, offered_message=True)
    turn = reply(then, locale.say("not_found"))
    return turn


def finding(frame: Frame, state: State, heard: Heard) -> Turn | None:
    """A name or a number to look it up by."""
    assert state.asked is not None
    value = answer(heard, frame.question(state.asked), frame)
    slots = dict(state.slots)
    if value is not None:
        slots[state.asked] = value
    phone = contact.find_phone(heard.words, frame.locale)
    if phone is not None:
        slots[frame.questions.phone] = phone
    if slots == dict(state.slots):
        return None
    return _look(frame, replace(state, slots=slots, misses=0))


def _found(frame: Frame, state: State, found: Sequence[Appointment]) -> Turn:
    locale = frame.locale
    if len(found) > 1:
        then = replace(state, phase="Choosing", found=tuple(found))
        times = speaking.moments([a.starts for a in found], locale)
        return reply(then, locale.say("found_which", times=times))
    old = found[0]
    slots = {**state.slots}
    slots.setdefault(frame.questions.name, old.name)
    then = replace(state, found=(old,), slots=slots, starts=None, asked=None)
    at = speaking.moment(old.starts, locale)
    if state.task == "Cancel":
        words = locale.say("confirm_cancel", appointment=old.title, time=at, name=old.name)
        return reply(replace(then, phase="Confirming"), words)
    if _other(then.wish, old):
        return settle(frame, then)
    then = replace(then, wish=When())
    return reply(
        replace(then, phase="When"), locale.say("found_move", appointment=old.title, time=at)
    )


def _other(wish: When, old: Appointment) -> bool:
    """Whether it is the new time: "I have an appointment on Wednesday" names the old one."""
    return bool(wish.day or wish.at) and not (
        wish.day in (None, old.starts.date()) and wish.at in (None, old.starts.time())
    )


def choosing(frame: Frame, state: State, heard: Heard) -> Turn | None:
    """Which of the caller's appointments."""
    wish = heard.when(frame, bare=True)
    fits = [
        a
        for a in state.found
        if (wish.day or wish.at)
        and (wish.day is None or a.starts.weekday() == wish.day.weekday())
        and (wish.at is None or a.starts.time() == wish.at)
    ]
    if len(fits) == 1:
        return _found(frame, replace(state, misses=0), fits)
    index = ordinal(heard.digits, len(state.found), frame.locale)
    return None if index is None else _found(frame, state, [state.found[index]])


def cancelling(frame: Frame, state: State, heard: Heard) -> Turn | None:
    """Whether it is really to be cancelled."""
    locale = frame.locale
    yes = yes_or_no(heard.digits, locale)
    if yes is None and "Cancel" in heard.intents:
        yes = True
    if yes is None:
        return None
    if not yes:
        return reply(done(state), locale.say("kept"))
    return cancelled(frame, state)


def cancelled(frame: Frame, state: State) -> Turn:
    """It was read back and is right: out of the calendar."""
    locale, old = frame.locale, state.found[0]
    words = locale.say("cancelled", appointment=old.title, time=speaking.moment(old.starts, locale))
    return replace(reply(done(state), words), effects=(Drop(old.uid),), result="Cancelled")


def moved(frame: Frame, state: State) -> Turn:
    """The new time was read back and is right: into the calendar."""
    assert state.starts is not None
    old = state.found[0]
    words = frame.locale.say(
        "moved", appointment=old.title, time=speaking.moment(state.starts, frame.locale)
    )
    effect = Move(old.uid, state.starts)
    return replace(reply(done(state), words), effects=(effect,), result="Rescheduled")
