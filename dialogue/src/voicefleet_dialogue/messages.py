"""Taking a message: what, who, which number; read back, then passed on."""

from __future__ import annotations

from dataclasses import dataclass, replace

from voicefleet_dialogue import speaking
from voicefleet_dialogue.acts import End, Say
from voicefleet_dialogue.frame import Frame
from voicefleet_dialogue.replies import reply
from voicefleet_dialogue.state import State, TakeMessage, Turn
from voicefleet_dialogue.understanding import contact
from voicefleet_dialogue.understanding.answers import yes_or_no
from voicefleet_dialogue.understanding.heard import Heard, answer
from voicefleet_dialogue.understanding.names import find_name


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as far as it is known."""

    name: str | None
    phone: str | None

    @classmethod
    def of(cls, frame: Frame, state: State) -> Caller:
        """What the caller said, else the number that was shown."""
        return cls(
            state.slots.get(frame.questions.name),
            state.slots.get(frame.questions.phone) or frame.caller,
        )


def begin(frame: Frame, state: State, heard: Heard, *, text: bool = True) -> Turn:
    """The caller wants to leave one; `text`: the words may hold it already."""
    then = replace(state, phase="Message", task="Message", asked=None, offered_message=False)
    # "Can I leave a message?" holds nothing yet; "tell him that ..." does.
    if text and len(heard.words.split()) > 8:
        then = replace(then, message=heard.raw.strip())
    return proceed(frame, remember(frame, then, heard))


def remember(frame: Frame, state: State, heard: Heard) -> State:
    """Name and number, where they are said along with it."""
    slots = dict(state.slots)
    if name := find_name(heard.words, frame.locale, asked=False, raw=heard.raw):
        slots.setdefault(frame.questions.name, name)
    if phone := contact.find_phone(heard.words, frame.locale):
        slots.setdefault(frame.questions.phone, phone)
    return replace(state, slots=slots)


def proceed(frame: Frame, state: State, before: str = "", *, asks: bool = False) -> Turn:
    """Ask for what is missing; `asks`: the words before ask for name and number already."""
    missing = _missing(frame, state)
    if missing is None:
        if state.urgent:
            return _finish(frame, state, before)
        return read_back(frame, state, before)
    words = question(frame, replace(state, asked=missing))
    then = replace(state, phase="Message", asked=missing)
    # "What is your name, and which number may we call?" is not asked twice.
    return reply(then, before, "" if asks and "?" in before else words)


def question(frame: Frame, state: State) -> str:
    """What is being asked."""
    if state.asked == frame.questions.name:
        return frame.locale.say("urgent_name" if state.urgent else "ask_name")
    if state.asked == frame.questions.phone:
        return frame.locale.say("urgent_phone" if state.urgent else "ask_phone")
    return frame.locale.say("ask_message")


def _missing(frame: Frame, state: State) -> str | None:
    if not state.message:
        return "message"
    if frame.questions.name not in state.slots:
        return frame.questions.name
    if frame.questions.phone not in state.slots:
        return frame.questions.phone
    return None


def read_back(frame: Frame, state: State, before: str = "") -> Turn:
    """Name and number, as they were understood."""
    caller = Caller.of(frame, state)
    words = frame.locale.say(
        "message_back",
        name=caller.name or "",
        phone=speaking.phone(caller.phone) if caller.phone else "",
    )
    return reply(replace(state, phase="Confirming", task="Message", asked=None), before, words)


def taking(frame: Frame, state: State, heard: Heard) -> Turn | None:
    """An answer to what was asked for the message."""
    if not state.message:
        return proceed(frame, remember(frame, replace(state, message=heard.raw.strip()), heard))
    then = remember(frame, state, heard)
    if state.asked in (frame.questions.name, frame.questions.phone):
        value = answer(heard, frame.question(state.asked), frame)
        if value is not None:
            then = replace(then, slots={**then.slots, state.asked: value})
    if then.slots == state.slots:
        if (
            state.asked == frame.questions.phone
            and frame.caller
            and (yes_or_no(heard.digits, frame.locale) is False or state.misses)
        ):
            then = replace(state, slots={**state.slots, state.asked: frame.caller})
        elif state.asked == frame.questions.name and state.misses:
            then = replace(state, slots={**state.slots, state.asked: heard.raw.strip(" .")})
        else:
            return None
    return proceed(frame, replace(then, misses=0))


def confirmed(frame: Frame, state: State) -> Turn:
    """It was read back and is right."""
    return _finish(frame, state, "")


def _finish(frame: Frame, state: State, before: str) -> Turn:
    caller = Caller.of(frame, state)
    effect = TakeMessage(state.message, caller.name, caller.phone, state.urgent)
    then = replace(
        state, phase="Listening", task=None, asked=None, message="", urgent=False, put=frozenset(
            {*state.put, "message"})
    )  # fmt: skip
    if not (state.urgent or frame.config.overflow):
        turn = reply(then, before, frame.locale.say("message_taken"))
        return replace(turn, effects=(effect,), result="Message")
    words = frame.locale.say("urgent_taken" if state.urgent else "message_left")
    acts = (*([Say(before, "Program")] if before else []), Say(words, "Program"))
    end = End("urgent message taken" if state.urgent else "message taken")
    ended = replace(then, phase="Ended", last=words, urgent=state.urgent)
    return Turn((*acts, end), ended, (effect,), "Emergency" if state.urgent else "Message")


def give_up(frame: Frame, state: State) -> Turn:
    """Name or number cannot be understood: pass on what there is."""
    if not state.message:
        state = replace(state, message=state.said)
    return _finish(frame, state, "")
