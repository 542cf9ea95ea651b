"""Calls by a caller who speaks: real media, a transcriber that hears what the test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.stand_ins import Gateways
from voicefleet_api.endpointing import FILE, Endpointing

pytestmark = pytest.mark.integration

SLACK = 3.0
"""Seconds. The rules' own times are tested on a virtual clock (tests/unit/agent/test_turns.py) and
measured by benches; a test may run on a busy machine."""

Voice = Callable[[str], Path]


def hears(*texts: str, sure: float = 0.9) -> Any:
    """A transcriber that hears these, one after the other, then the last one again."""
    waiting = list(texts)

    async def hear(_: bytes) -> tuple[str, float]:
        await asyncio.sleep(0.12)
        return (waiting.pop(0) if len(waiting) > 1 else waiting[0]), sure

    return hear


@pytest.fixture(scope="session")
def request_(voice: Voice) -> Path:
    return voice("I would like to know when you are open please.")


@pytest.fixture(scope="session")
def short(voice: Voice) -> Path:
    return voice("Right.")


def record(agent: Any) -> dict[str, Any]:
    [path] = (agent.folder / "data" / "spool").glob("*.json")
    return dict(json.loads(path.read_text()))


async def test_a_caller_is_heard_and_answered(
    agent: Any, call: Any, request_: Path, tones: Any
) -> None:
    async with Gateways(agent.models, hear=hears("When are you open?"), speak=tones):
        await agent.registered()
        await agent.logged("PhrasesReady")
        heard = await call({"quiet": 0.8}, {"say": request_}, {"quiet": 1.0})
    end = heard.speech(0.5)[-1][1]
    answer = next(begin for begin, _ in heard.sounds(0.5) if begin > end)
    print("gap", answer - end)
    assert answer - end < SLACK
    await agent.logged("CallEnded")
    left = record(agent)
    said = [(turn["speaker"], turn["text"]) for turn in left["transcript"]]
    assert ("Caller", "When are you open?") in said
    # Nothing of the sound is kept where the client does not record.
    assert not list(agent.folder.rglob("*.caller.wav"))
    states = [change["state"] for change in left["states"]]
    assert states[:5] == ["Greeting", "Listening", "Processing", "Responding", "Listening"]
    assert states[-2:] == ["Logging", "Ended"]
    print(left["latency"], left["providers"])
    assert "When are you open" not in agent.log()


async def test_barge_in_pauses_the_agent_and_a_cough_resumes_it(
    agent: Any, call: Any, request_: Path, short: Path, tones: Any
) -> None:
    hear = hears("right", "When are you open?")
    async with Gateways(agent.models, hear=hear, speak=tones):
        await agent.registered()
        heard = await call(
            {"sound": 20},
            {"sleep": 1.5},
            {"say": short},
            {"sleep": 1.5},
            {"say": request_},
            {"quiet": 0.5},
        )
    (cough, _), (begin, _) = heard.speech(0.5)[:2]
    sounds = heard.sounds(0.1)
    print(heard.speech(0.5), sounds)
    paused = next(end for _, end in sounds if end > cough)
    resumed = next(start for start, _ in sounds if start > paused)
    stopped = next(end for _, end in sounds if end > begin)
    print("paused", paused - cough, "resumed", resumed - cough, "stopped", stopped - begin)
    # 200 ms of ours, and what the network's and the caller's buffers still hold.
    assert paused - cough < SLACK
    assert resumed - cough < SLACK
    assert stopped - begin < SLACK
    await agent.logged("CallEnded")
    left = record(agent)
    assert left["interruptions"] == 1
    greeting = left["transcript"][0]
    assert greeting["interrupted"]
    assert agent.config["greeting"].startswith(greeting["text"])
    assert len(greeting["text"]) < len(agent.config["greeting"])


async def test_a_turn_ends_when_this_machines_silences_say(
    agent: Any, call: Any, request_: Path, tones: Any
) -> None:
    waits = Endpointing(complete_ms=1000, brief_ms=1000, unsure_ms=1000)
    (agent.models / FILE).write_text(waits.model_dump_json(by_alias=True))
    async with Gateways(agent.models, hear=hears("When are you open?"), speak=tones):
        await agent.registered()
        await agent.logged("PhrasesReady")
        await call({"quiet": 0.8}, {"say": request_}, {"quiet": 1.0})
    await agent.logged("CallEnded")
    latencies = [turn["latency"] for turn in record(agent)["transcript"] if turn.get("latency")]
    # Less what passes before a silence is one.
    assert min(latency["endOfTurn"] for latency in latencies) > 800
