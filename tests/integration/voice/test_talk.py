"""Calls by a caller who speaks: real media, a transcriber that hears what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.stand_ins import Gateways

pytestmark = pytest.mark.integration

Voice = Callable[[str], Path]


def hears(text: str) -> Any:
    async def hear(_: bytes) -> tuple[str, float]:
        await asyncio.sleep(0.12)
        return text, 0.9

    return hear


@pytest.fixture(scope="session")
def request_(voice: Voice) -> Path:
    return voice("I would like to leave a message please.")


@pytest.fixture(scope="session")
def cough(voice: Voice) -> Path:
    return voice("Mhm.")


async def test_a_caller_is_heard_and_answered(agent: Any, call: Any, request_: Path) -> None:
    await agent.registered()
    async with Gateways(agent.models, hear=hears("I would like to leave a message")):
        heard = await call({"quiet": 0.8}, {"say": request_}, {"quiet": 1.0}, {"sleep": 3})
    end = heard.speech(0.5)[-1][1]
    answer = next(begin for begin, _ in heard.sounds(0.5) if begin > end)
    assert answer - end < 2.5
    assert heard.ended_by_agent
    assert "leave a message" not in agent.log()


async def test_barge_in_pauses_the_agent(agent: Any, call: Any, request_: Path) -> None:
    await agent.registered()
    async with Gateways(agent.models, hear=hears("I would like to leave a message")):
        heard = await call({"sound": 20}, {"sleep": 1.5}, {"say": request_}, {"quiet": 0.5})
    begin = heard.speech()[0][0]
    end = next(end for _, end in heard.sounds(0.5) if end > begin)
    print("stopped after", end - begin)
    # 200 ms of ours, and what the network's and the caller's buffers still hold.
    assert end - begin < 0.4
