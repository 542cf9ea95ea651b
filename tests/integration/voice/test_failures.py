"""When a provider fails in a call: the caller always hears something, and is not left alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.stand_ins import Gateways
from voicefleet_agent.phrases import Phrases

pytestmark = pytest.mark.integration

VOICE = "Local/piper/en_US-joe-medium"
SLACK = 3.0
"""Seconds without a sound at most: twice the rule's 1.5, on a machine that may be busy."""


async def hear(_: bytes) -> tuple[str, float]:
    await asyncio.sleep(0.05)
    return "When are you open?", 0.9


@pytest.fixture(scope="session")
def question(voice: Callable[[str], Path]) -> Path:
    return voice("When are you open?")


def record(agent: Any) -> dict[str, Any]:
    [path] = (agent.folder / "data" / "spool").glob("*.json")
    return dict(json.loads(path.read_text()))


async def test_nobody_transcribes(agent: Any, call: Any, question: Path, tones: Any) -> None:
    """Asked to repeat twice, then a goodbye; never 1.5 s without a sound after the caller."""
    async with Gateways(agent.models, speak=tones):
        await agent.registered()
        await agent.logged("PhrasesReady")
        heard = await call(*[{"quiet": 0.8}, {"say": question}] * 3, {"quiet": 0.8}, {"sleep": 1.5})
    for _, end in heard.speech(0.5):
        assert next(begin for begin, _ in heard.sounds() if begin > end) - end < SLACK
    await agent.logged("CallEnded")
    assert heard.ended_by_agent
    assert record(agent)["ended"] == "nobody transcribes"
    assert record(agent)["providers"][0]["failures"] >= 1


async def test_no_voice_speaks(agent: Any, call: Any, question: Path, tones: Any) -> None:
    """What was to be said stands in the record; what was made ahead leads over to a person."""
    voice = Gateways(agent.models, hear=hear, speak=tones)
    agent.configure(forwardTo="+14155550100")
    async with voice:
        await agent.registered()
        await agent.logged("PhrasesReady")
        Phrases(agent.folder / "data" / "phrases").path(VOICE, HOURS).unlink()
        voice.broken.add("tts")
        heard = await call(*[{"quiet": 0.8}, {"say": question}] * 3, {"quiet": 0.8}, {"sleep": 1.5})
    for _, end in heard.speech(0.5):
        assert next(begin for begin, _ in heard.sounds() if begin > end) - end < SLACK
    await agent.logged("CallEnded")
    left = record(agent)
    # A caller in a room, and not on the telephone, cannot be transferred: so the call ends.
    assert left["states"][-3]["state"] == "Transferring"
    assert (left["ended"], left["success"]) == ("no voice speaks", False)
    assert [turn["unheard"] for turn in left["transcript"]].count(HOURS) == 3


HOURS = "We are open Monday to Friday from 9 AM to 5 PM."


async def test_a_switch_of_the_voice_in_a_call_applies_from_the_next_turn(
    agent: Any, call: Any, question: Path, tones: Any, tmp_path: Path
) -> None:
    async with Gateways(agent.models, hear=hear, speak=tones) as gateways:
        await agent.registered()
        await agent.logged("PhrasesReady")
        talking = asyncio.create_task(
            call(*[{"quiet": 0.8}, {"say": question}] * 2, {"quiet": 0.8})
        )
        await agent.logged("Greeted")
        gateways.voices.clear()
        agent.configure(pipeline={"tts": [{"provider": "Local", "voice": "piper/other"}]})
        heard = await talking
    assert len(heard.speech(0.5)) == 2
    assert "piper/other" in gateways.voices
    answers = [begin for begin, _ in heard.sounds(0.5) if begin > heard.speech(0.5)[0][1]]
    assert len(answers) >= 2
