"""The agent at the other end of a call, as its live events show it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from voicefleet_api.calls import CallEvent
from voicefleet_cli.telephone.hearing import Utterance
from voicefleet_cli.telephone.line import Line

QUIET = 0.7
"""Seconds of silence after which the agent has finished, if it does not say itself that it has."""
PATIENCE = 20.0
"""Seconds without a sound after which the caller goes on."""


class Told(Protocol):
    """Whoever knows calls' live events."""

    @property
    def events(self) -> dict[str, list[tuple[float, CallEvent]]]:
        """By call, in order, with the monotonic time of their coming."""
        ...


class Answering:
    """The one that takes the call on `line`: the first new one, or the first of `caller`."""

    def __init__(self, line: Line, portal: Told, caller: str | None = None) -> None:
        self._line = line
        self._portal = portal
        self._caller = caller
        self._known = set(portal.events)

    @property
    def call(self) -> str | None:
        """The call's id, once an event has told it."""
        return next(
            (
                call
                for call, events in self._portal.events.items()
                if call not in self._known
                and self._caller in (None, *(event.caller for _, event in events))
            ),
            None,
        )

    def _events(self) -> list[tuple[float, CallEvent]]:
        return self._portal.events.get(self.call or "", [])

    def speaking(self) -> bool:
        """Whether it still has something to say."""
        states = [event.change.state for _, event in self._events() if event.change]
        return bool(states) and states[-1] in ("Greeting", "Processing", "Responding")

    def said(self) -> Sequence[Utterance]:
        """By the line's clock: the call began before its first event came."""
        turns = [(at, event.turn) for at, event in self._events() if event.turn]
        if not turns:
            return []
        offset = min(at - turn.at for at, turn in turns) - self._line.began
        return [
            Utterance(turn.at + offset, answer=not turn.filler, text=turn.text)
            for _, turn in turns
            if turn.speaker == "Agent"
        ]

    def commits(self) -> int:
        """How many turns of the caller's it has taken as ended so far."""
        return sum(
            event.turn is not None and event.turn.speaker == "Caller" for _, event in self._events()
        )


class Speaking(Protocol):
    """An agent that may still have something to say."""

    def speaking(self) -> bool:
        """Whether it has."""
        ...


async def until_finished(line: Line, agent: Speaking, since: float, patience: float) -> None:
    """Wait until the agent has been heard after `since` and is quiet again, or for too long."""
    while not line.gone:
        await asyncio.sleep(0.02)
        heard = line.last_loud if line.last_loud and line.last_loud > since else None
        if heard is None and line.now - since > patience:
            return
        if heard is not None and line.now - heard > QUIET and not agent.speaking():
            return
