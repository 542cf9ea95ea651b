"""Turns out of words."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from voicefleet_dialogue.acts import End, Say, Transfer
from voicefleet_dialogue.frame import Frame
from voicefleet_dialogue.state import State, Turn


def reply(state: State, *words: str, keep: bool = False) -> Turn:
    """Say it and go to that state; `keep`: a prompt, what to repeat stays."""
    words = tuple(word for word in words if word)
    last = state.last if keep else " ".join(words)
    then = replace(state, last=last, unheard="", misses=state.misses if keep else 0)
    return Turn(tuple(Say(word, "Program") for word in words), then)


def ended(frame: Frame, state: State) -> Turn:
    """Goodbye."""
    words = frame.locale.say("goodbye")
    then = replace(state, phase="Ended", last=words)
    return Turn((Say(words, "Program"), End("caller said goodbye")), then)


Break = Literal["lost", "cut_off"]
"""The agent was gone for a moment; the caller had to ring again."""


def resumed(frame: Frame, state: State, after: Break, transfer_to: str | None) -> Turn:
    """After a break: the last words once more, since they may not have been heard."""
    sorry = frame.locale.say(after)
    if state.phase == "Ended":
        end = Transfer(transfer_to, "went on") if transfer_to else End("caller said goodbye")
        return Turn((Say(sorry, "Program"), Say(state.last, "Program"), end), state)
    begun = state.last != frame.config.greeting
    return reply(state, sorry, state.last if begun else frame.locale.say("how_help"), keep=True)
