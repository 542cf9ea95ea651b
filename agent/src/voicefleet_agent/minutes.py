"""The minutes of a call: who said what, when it was heard, and what of it was not."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from voicefleet_agent.attempt import Attempt, milliseconds
from voicefleet_agent.speaking import Utterance
from voicefleet_api.calls import CallState, StageLatencies, TranscriptTurn
from voicefleet_dialogue.acts import Origin
from voicefleet_dialogue.state import Outcome


class Record(Protocol):
    """Who writes down what happens (`records.Recorder`)."""

    def state(self, state: CallState) -> None: ...
    def said(self, turn: TranscriptTurn) -> None: ...
    def interrupted(self) -> None: ...
    def progress(self, outcome: Outcome) -> None: ...
    def elapsed(self) -> float: ...


class Minutes:
    """An agent's turn is written down when its sound begins; what never sounds was never said."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._turns: dict[Utterance, TranscriptTurn] = {}
        """Of the agent, whether they have sounded or not."""
        self._sounded: set[Utterance] = set()
        self._asked: TranscriptTurn | None = None
        """The caller's turn that is being answered, and may go on."""
        self._latency: StageLatencies | None = None
        """Of the answer that is on its way."""
        self._silent_since = 0.0
        self._decided = 0.0
        """When the words of the answer were known."""

    def heard(self, text: str, phase: str, attempt: Attempt | None, *, goes_on: bool) -> None:
        """The caller's turn has ended; `goes_on`: it is the last one, and more of it."""
        if goes_on and self._asked is not None:
            self._asked.text = text
        else:
            self._asked = TranscriptTurn(
                speaker="Caller", text=text, at=self._record.elapsed(), state=phase
            )
            self._record.said(self._asked)
        self._silent_since = attempt.paused_at if attempt else time.monotonic()
        self._latency = StageLatencies(
            end_of_turn=milliseconds(self._silent_since), stt=attempt.stt_ms if attempt else None
        )

    def thought(self, since: float) -> None:
        """A model's first sentence is there, asked for at `since` (monotonic)."""
        if self._latency is not None and self._latency.llm is None:
            self._latency.llm = milliseconds(since)

    def says(self, utterance: Utterance, origin: Origin, phase: str) -> None:
        """It is about to be said."""
        if utterance.answer:
            self._decided = time.monotonic()
        self._turns[utterance] = TranscriptTurn(
            speaker="Agent",
            text=utterance.text,
            at=0,
            state=phase,
            origin=origin,
            filler=not utterance.answer,
        )

    def sounds(self, utterance: Utterance, after: float) -> None:
        """It is heard `after` seconds; again, where it was taken back to its beginning."""
        if utterance in self._sounded:
            return
        turn = self._turns[utterance]
        if utterance.answer and self._latency is not None:
            turn.latency, self._latency = self._latency, None
            turn.latency.tts = round(milliseconds(self._decided) + 1000 * after, 1)
            turn.latency.total = round(milliseconds(self._silent_since) + 1000 * after, 1)
        self._write(utterance, after)

    def cut(self, utterances: Sequence[Utterance]) -> None:
        """The caller has cut these off, or spoken before they were heard."""
        for utterance in utterances:
            if utterance in self._sounded:
                self._split(utterance)
                self._turns[utterance].interrupted = True

    def unspoken(self, utterance: Utterance) -> None:
        """No voice could speak it, or all of it: the words stand here all the same."""
        self._split(utterance)
        if utterance not in self._sounded:
            self._write(utterance)

    def _split(self, utterance: Utterance) -> None:
        turn, unheard = self._turns[utterance], utterance.unheard
        turn.text = utterance.text[: len(utterance.text) - len(unheard)].rstrip()
        turn.unheard = unheard

    def _write(self, utterance: Utterance, after: float = 0) -> None:
        self._sounded.add(utterance)
        turn = self._turns[utterance]
        turn.at = round(self._record.elapsed() + after, 3)
        self._record.said(turn)
