"""Emergencies: what the profession has the agent say and do, whatever was being talked about."""

from __future__ import annotations

from dataclasses import replace

from voicefleet_api.professions import Emergency
from voicefleet_dialogue import messages, sentences
from voicefleet_dialogue.acts import Say, Transfer
from voicefleet_dialogue.frame import Frame
from voicefleet_dialogue.replies import reply
from voicefleet_dialogue.state import State, TakeMessage, Turn
from voicefleet_dialogue.understanding.heard import Heard


def escalate(frame: Frame, state: State, heard: Heard, emergency: Emergency) -> Turn:
    """At once, whatever was being talked about; nothing is promised that cannot be done."""
    known = messages.Caller.of(frame, state)
    if emergency.action == "CallEmergencyServices":
        then = replace(state, phase="Emergency", task=None, asked=None, urgent=True)
        note = TakeMessage(heard.raw, known.name, known.phone, urgent=True)
        return replace(reply(then, emergency.say), effects=(note,), result="Emergency")
    reached = frame.contact()
    if emergency.action == "Transfer" and reached is not None:
        then = replace(state, phase="Ended", urgent=True, last=emergency.say)
        acts = (Say(emergency.say, "Program"), Transfer(reached.phone, heard.raw))
        return Turn(acts, then, result="Emergency")
    words = emergency.say
    if emergency.action == "Transfer":
        kept = [
            sentence
            for sentence in sentences.split(words)
            if not frame.locale.matches(sentence.lower(), "promises")
        ]
        words = " ".join(kept)
    then = replace(state, phase="Message", task="Message", urgent=True, message=heard.raw)
    then = messages.remember(frame, then, heard)
    turn = messages.proceed(frame, then, before=words, asks=emergency.action == "UrgentMessage")
    return replace(turn, result="Emergency")
