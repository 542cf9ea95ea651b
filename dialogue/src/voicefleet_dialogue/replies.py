"""Turns out of words."""

from __future__ import annotations

from dataclasses import replace

from voicefleet_dialogue.acts import End, Say
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
