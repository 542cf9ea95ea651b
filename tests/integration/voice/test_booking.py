"""An appointment booked by voice: real media, the machine's own speech models, real calendar."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.gateways import Gateways
from support.stack import until
from voicefleet_api import tokens
from voicefleet_api.calls import CallRecord

pytestmark = pytest.mark.integration

LINES = (
    "Hello, I would like to book a cleaning.",
    "My name is Daniel Miller.",
    "My number is four one five, two three six, zero one four eight.",
    "Next Tuesday at ten in the morning, please.",
    "Yes, please.",
    "No, thank you. Goodbye.",
)


TRIES = 3
"""Calls. The transcriber is small, and takes a word for another now and then; what is tested is
that speech, dialogue and calendar work together."""


def left_by(spool: Path, calls: int) -> CallRecord:
    """The record of the last of so many calls, once it is there."""
    until(lambda: len(list(spool.glob("*.json"))) >= calls, "no record")
    newest = max(spool.glob("*.json"), key=lambda path: path.stat().st_mtime)
    return CallRecord.model_validate_json(newest.read_text())


@pytest.mark.timeout(600)
async def test_an_appointment_is_booked(
    agent: Any, call: Any, voice: Callable[[str], Path]
) -> None:
    lines = [await asyncio.to_thread(voice, words) for words in LINES]
    steps = [step for line in lines for step in ({"quiet": 2.0}, {"say": line})]
    gateways = Gateways(agent.models, "stt", "tts")
    await asyncio.to_thread(gateways.__enter__)
    try:
        (agent.folder / "secrets" / "MODELS_TOKEN").write_text(
            tokens.mint(gateways.key, agent.config["clientID"])
        )
        agent.configure(disclosure="This call is recorded.")
        agent.restart()
        await agent.registered()
        await agent.logged("PhrasesReady")
        for calls in range(1, TRIES + 1):
            heard = await call(*steps, {"quiet": 2.0})
            left = await asyncio.to_thread(left_by, agent.folder / "data" / "spool", calls)
            if left.outcome == "Booked":
                break
    finally:
        await asyncio.to_thread(gateways.__exit__)
    talk = [f"{turn.at} {turn.speaker}: {turn.text}" for turn in left.transcript]
    assert left.outcome == "Booked", "\n".join(talk)
    [booked] = left.appointments
    assert booked.name == "Daniel Miller"
    assert (booked.starts.weekday(), booked.starts.hour) == (1, 10)
    assert booked.uid in "".join(
        path.read_text() for path in (agent.folder / "data" / "calendar").rglob("*.ics")
    )
    assert left.transcript[0].text == "This call is recorded."
    for side in ("caller", "agent"):
        assert (agent.folder / "data" / "spool" / left.call_id).with_suffix(f".{side}.wav").exists()
    assert heard.speech(0.5)
