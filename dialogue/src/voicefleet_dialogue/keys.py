"""What the keys of a caller's phone mean: a person, at any time; a menu; an answer to the question.

They are turned into the words that say the same, so that there is one grammar for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from voicefleet_dialogue import policy, speaking
from voicefleet_dialogue.expectation import Expectation
from voicefleet_dialogue.frame import Frame
from voicefleet_dialogue.replies import ended, reply
from voicefleet_dialogue.state import State, Turn
from voicefleet_dialogue.understanding.heard import hear

END = "#"
"""Ends a number that is typed."""
_PERSON = "0"


def collected(expects: Expectation) -> bool:
    """Whether a number is asked for, so that keys are one answer until `END`."""
    return expects.slot in ("Phone", "Number")


def pressed(frame: Frame, state: State, expects: Expectation, typed: str) -> Turn:
    """The answer to keys: a number that was typed, or a single one."""
    if state.phase == "Ended":
        return ended(frame, state)
    typed = typed.removesuffix(END)
    if typed == _PERSON:
        words = frame.locale.data["canonical"]["person"]
        return policy.person(frame, state, hear(words, frame))
    meaning = _words(frame, state, expects, typed)
    heard = hear(meaning or typed, frame)
    turn = policy.decide(frame, state, heard) if meaning else None
    if turn is None and expects.wants:
        return reply(state, frame.locale.say("menu"), keep=True)
    return turn or policy.missed(frame, state, heard)


def _words(frame: Frame, state: State, expects: Expectation, typed: str) -> str | None:
    """What the caller would have said; None where the keys mean nothing here."""
    if collected(expects):
        return typed
    choices: Sequence[str] = ()
    if expects.slot == "YesNo" or state.offered_message:
        choices = (frame.locale.data["say"]["yes"], "no")
    elif expects.wants or state.phase == "Emergency":
        choices = frame.locale.data["menu"]
    elif state.phase in ("Offering", "Choosing"):
        starts: Sequence[datetime] = state.offers or [a.starts for a in state.found]
        choices = [speaking.moment(start, frame.locale) for start in starts]
    elif expects.question is not None:
        choices = expects.question.choices
    return dict(zip("123456789", choices, strict=False)).get(typed)
