"""The attempt at understanding a turn that may have ended: its words, and what would be answered.

It is made while the end of the turn is still uncertain, and dropped without a trace where the
caller goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from voicefleet_agent import turns
from voicefleet_agent.providers import Speaker, Transcriber, Transcript
from voicefleet_agent.turns import Judgement
from voicefleet_agent.voicing import Voicing
from voicefleet_dialogue.acts import Say
from voicefleet_dialogue.dialogue import Dialogue
from voicefleet_dialogue.state import State, Turn


class Pipeline(Protocol):
    """The providers of the next turn."""

    @property
    def transcriber(self) -> Transcriber: ...
    @property
    def speaker(self) -> Speaker: ...


@dataclass(slots=True)
class Attempt:
    """One transcription, and what was made of it on the chance that the turn has ended."""

    number: int
    paused_at: float
    stt_ms: float | None = None
    state: State | None = None
    """Of the talk, in which the words were considered."""
    turn: Turn | None = None
    voicing: Voicing | None = None
    task: asyncio.Task[None] | None = None

    async def understand(
        self,
        sound: bytes,
        talk: Dialogue,
        pipeline: Pipeline,
        made: Callable[[str], bytes | None],
        *,
        over_agent: bool,
    ) -> tuple[Transcript, Judgement]:
        """Its words and whether they are what was asked for; raises ProviderFailed.

        `over_agent`: the agent speaks, so the words need not answer its question.
        """
        asked = None if over_agent else talk
        transcript = await pipeline.transcriber.transcribe(sound, asked)
        self.stt_ms = milliseconds(self.paused_at)
        if turns.words_of(transcript.text):
            self.state, self.turn = talk.state, talk.consider(transcript.text)
        if self.turn is not None:
            self.voicing = Voicing(made, pipeline.speaker)
            self.voicing.begin(act.text for act in self.turn.acts if isinstance(act, Say))
        return transcript, talk.expects.judge(transcript.text)

    def drop(self) -> None:
        """Nothing comes of it."""
        if self.task is not None:
            self.task.cancel()
        if self.voicing is not None:
            self.voicing.drop()


@dataclass(frozen=True, slots=True)
class Before:
    """Where the talk was before an answer: it goes back there if nothing has been done yet."""

    state: State
    done: tuple[int, int]

    @classmethod
    def of(cls, talk: Dialogue) -> Before:
        """Where it is now."""
        return cls(talk.state, (len(talk.outcome.appointments), len(talk.outcome.messages)))

    def restore(self, talk: Dialogue) -> bool:
        """False where it cannot: something was booked, or a message taken."""
        if self.done != Before.of(talk).done:
            return False
        talk.state = self.state
        return True


def milliseconds(since: float) -> float:
    """Since a moment of the monotonic clock."""
    return round(1000 * (time.monotonic() - since), 1)
