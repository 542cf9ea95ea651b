"""Before anything is done it is read back: a yes, a no, or what is wrong."""

from __future__ import annotations

from dataclasses import replace

from voicefleet_dialogue import existing, messages, speaking
from voicefleet_dialogue.appointments import aside, booked, confirm, settle, wished
from voicefleet_dialogue.frame import Frame
from voicefleet_dialogue.replies import reply
from voicefleet_dialogue.state import State, Turn
from voicefleet_dialogue.understanding import contact
from voicefleet_dialogue.understanding.answers import yes_or_no
from voicefleet_dialogue.understanding.heard import Heard
from voicefleet_dialogue.understanding.names import find_name
from voicefleet_dialogue.understanding.when import When

_SHORT = 4
"""Words of an answer; what is longer adds to the message."""


def confirming(frame: Frame, state: State, heard: Heard) -> Turn | None:
    """Yes does it; what is corrected is read back again."""
    locale = frame.locale
    if state.task == "Cancel":
        return existing.cancelling(frame, state, heard)
    yes = yes_or_no(heard.digits, locale)
    changed = _change(frame, state, heard)
    if changed is not None and not (yes and changed.wish == state.wish == heard.when(frame)):
        if state.task == "Message":
            return messages.read_back(frame, changed)
        return settle(frame, replace(changed, misses=0))
    if state.task != "Message" and (told := aside(frame, state, heard)) is not None:
        return told
    if yes is False:
        return reply(replace(state, phase="Changing", misses=0), locale.say("no_change"))
    if not yes:
        if state.task == "Message" and len(heard.words.split()) > _SHORT:
            more = f"{state.message} {heard.raw.strip()}"
            return messages.read_back(frame, replace(state, message=more, misses=0))
        return None
    if state.task == "Message":
        return messages.confirmed(frame, state)
    if state.unheard and _details_unheard(frame, state):
        return confirm(frame, replace(state, unheard=""))
    return existing.moved(frame, state) if state.task == "Reschedule" else booked(frame, state)


def _details_unheard(frame: Frame, state: State) -> bool:
    """Whether the caller cut off the very time, name or number that the yes is about."""
    assert state.starts is not None
    number = state.slots.get(frame.questions.phone, "")
    details = [speaking.clock(state.starts.time(), frame.locale)]
    details += [speaking.phone(number)] if number.startswith("+") else []
    return any(detail[-8:] in state.unheard for detail in details)


def _change(frame: Frame, state: State, heard: Heard) -> State | None:
    """Another name, number or time in the answer."""
    slots = dict(state.slots)
    if phone := contact.find_phone(heard.words, frame.locale):
        slots[frame.questions.phone] = phone
    asked = state.phase == "Changing" and state.asked == frame.questions.name
    name = find_name(heard.words, frame.locale, asked=asked, raw=heard.raw)
    if name and phone is None and (asked or heard.correction):
        slots[frame.questions.name] = name
    wish = heard.when(frame) if state.task != "Message" else When()
    if wish.day or wish.at or wish.part:
        state = wished(frame, replace(state, slots=slots), wish.amending(state.wish))
        same = state.starts and (state.wish.day, state.wish.at) == (
            state.starts.date(), state.starts.time(),
        )  # fmt: skip
        if same and slots == dict(state.slots):
            return None
        return state
    return replace(state, slots=slots) if slots != dict(state.slots) else None


def changing(frame: Frame, state: State, heard: Heard) -> Turn | None:
    """Which part is wrong, or at once what is right."""
    changed = _change(frame, state, heard)
    if changed is None and state.asked is None:
        name = find_name(heard.words, frame.locale, asked=True)
        if name and not any(frame.locale.matches(heard.words, "which", k)
                            for k in ("name", "phone", "time")):  # fmt: skip
            changed = replace(state, slots={**state.slots, frame.questions.name: name})
    if changed is not None:
        changed = replace(changed, asked=None, misses=0)
        if state.task == "Message":
            return messages.read_back(frame, changed)
        return settle(frame, changed)
    locale = frame.locale
    for which, key in (("name", frame.questions.name), ("phone", frame.questions.phone)):
        if locale.matches(heard.words, "which", which):
            then = replace(state, asked=key, misses=0)
            return reply(then, frame.question(key).text)
    if state.task != "Message" and locale.matches(heard.words, "which", "time"):
        then = replace(state, phase="When", wish=When(), misses=0)
        return reply(then, locale.say("ask_other_when"))
    if "Cancel" in heard.intents or "Goodbye" in heard.intents or yes_or_no(
        heard.digits, locale
    ) is False:  # fmt: skip
        then = replace(state, phase="Listening", task=None, starts=None, asked=None)
        return reply(then, locale.say("kept"))
    return None
