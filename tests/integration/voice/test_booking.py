"""An appointment booked by voice: real media, the machine's own speech models, real calendar."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.gateways import Gateways
from voicefleet_api import tokens
from voicefleet_api.calls import CallRecord

pytestmark = pytest.mark.integration

LINES = (
    "Hello, I would like to book a cleaning.",
    "My name is Daniel Miller.",
    "My number is six one five, two three six, zero one seven eight.",
    "Next Tuesday at ten in the morning, please.",
    "Yes, please.",
    "No, thank you. Goodbye.",
)


@pytest.mark.timeout(280)
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
        agent.restart()
        await agent.registered()
        await agent.logged("PhrasesReady", 120)
        heard = await call(*steps, {"quiet": 2.0})
    finally:
        await asyncio.to_thread(gateways.__exit__)
    await agent.logged("CallEnded")
    [path] = (agent.folder / "data" / "spool").glob("*.json")
    left = CallRecord.model_validate_json(path.read_text())
    talk = [f"{turn.at} {turn.speaker}: {turn.text}" for turn in left.transcript]
    assert left.outcome == "Booked", "\n".join(talk)
    [booked] = left.appointments
    assert booked.name == "Daniel Miller"
    assert (booked.starts.weekday(), booked.starts.hour) == (1, 10)
    assert booked.uid in "".join(
        path.read_text() for path in (agent.folder / "data" / "calendar").rglob("*.ics")
    )
    for side in ("caller", "agent"):
        assert (agent.folder / "data" / "spool" / left.call_id).with_suffix(f".{side}.wav").exists()
    assert heard.speech(0.5)
