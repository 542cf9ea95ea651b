"""A scenario as text: the caller talks to the dialogue itself, in milliseconds."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.calls import CallRecord, TranscriptTurn
from voicefleet_api.receptionist import DAYS
from voicefleet_cli.simulate.caller import Caller
from voicefleet_cli.simulate.scenario import (
    KEYS,
    PAUSE,
    Scenario,
    Standing,
    appointment_types,
)  # fmt: skip
from voicefleet_dialogue.acts import Act, End, LanguageModel, Say, Transfer
from voicefleet_dialogue.booking import Bookings
from voicefleet_dialogue.dialogue import Dialogue

MOST_TURNS = 60
"""Of the caller's; a talk that goes on is cut off."""
MODEL_SECONDS = 30.0
_MONDAY = datetime(2026, 11, 23, 9)
"""When everybody calls: what they are offered does not depend on today."""


async def rehearse(
    scenario: Scenario, config: AgentConfig, caller: Caller, model: LanguageModel | None
) -> CallRecord:
    """What comes of the call; its appointments go to a calendar of its own.

    Raises `ModelUnavailable` where the caller is played by a model and it fails.
    """
    now = _MONDAY.replace(tzinfo=ZoneInfo(config.time_zone))
    with tempfile.TemporaryDirectory() as folder:
        calendar = Bookings(Path(folder), config, clock=lambda: now)
        for standing in scenario.standing:
            _book(calendar, standing, config, now)
        dialogue = Dialogue(
            config, calendar, clock=lambda: now, language_model=model, caller=scenario.caller,
            model_seconds=MODEL_SECONDS,
        )  # fmt: skip
        turns: list[TranscriptTurn] = []
        ended = await _talk(dialogue, caller, turns)
    outcome = dialogue.outcome
    return CallRecord(
        call_id=str(uuid.uuid4()),
        client_id=config.client_id,
        caller=scenario.caller,
        started=now,
        duration_seconds=0,
        ended=ended,
        outcome=outcome.result,
        success=True,
        transcript=turns,
        slots=dict(outcome.slots),
        appointments=outcome.appointments,
        messages=outcome.messages,
        transferred_to=outcome.transferred_to,
    )


def _book(calendar: Bookings, standing: Standing, config: AgentConfig, now: datetime) -> None:
    kind = next(kind for kind in appointment_types(config) if kind.key == standing.kind)
    hour, minute = map(int, standing.time.split(":"))
    starts = now.replace(hour=hour, minute=minute) + timedelta(days=DAYS.index(standing.day))
    calendar.book(kind, starts, name=standing.name, phone=standing.phone, notes="")


async def _talk(dialogue: Dialogue, caller: Caller, turns: list[TranscriptTurn]) -> str:
    """Until one of them ends it, for the reason that is returned."""
    acts = list(dialogue.commit(dialogue.open()))
    for _ in range(MOST_TURNS):
        if over := _note(acts, turns):
            return over
        words = await caller.answer(" ".join(_spoken(acts)))
        if words is None:
            return "caller hung up"
        if not words:
            acts = list(dialogue.commit(dialogue.silent()))
            continue
        if keys := KEYS.fullmatch(words):
            turns.append(TranscriptTurn(speaker="Caller", text=f"[{keys[1]}]", at=0))
            acts = list(dialogue.commit(dialogue.press(keys[1])))
            continue
        words = PAUSE.sub("", words)
        turns.append(TranscriptTurn(speaker="Caller", text=words, at=0))
        acts = [act async for act in dialogue.ask(words)]
    return "cut off: it went on and on"


def _spoken(acts: Iterable[Act]) -> list[str]:
    return [act.text for act in acts if isinstance(act, Say)]


def _note(acts: Iterable[Act], turns: list[TranscriptTurn]) -> str:
    """Into the transcript; why the talk is over, if it is."""
    over = ""
    for act in acts:
        if isinstance(act, Say):
            turns.append(
                TranscriptTurn(
                    speaker="Agent", text=act.text, at=0, origin=act.origin, filler=act.filler
                )
            )
        elif isinstance(act, Transfer):
            over = "transferred"
        elif isinstance(act, End):
            over = act.reason
    return over
