"""By telephone: the agent dies in the middle of a call, or what it hangs on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from support.rescue import BOOKING, Phone, phone, samples
from support.switchboard import Gated, Switchboard

pytestmark = pytest.mark.integration

NUMBER = "+14155550100"
SLACK = 3.0
"""Seconds to the first sound: twice the goal, on a machine that may be busy; `make bench-rescue`
measures."""
LOST = "I'm sorry, I lost you for a moment."
CUT_OFF = "We were cut off. Let's go on from there."


@pytest.fixture(scope="module")
def livekit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Switchboard]:
    with Gated(tmp_path_factory.mktemp("sip")) as running:
        yield running


@pytest.fixture
async def caller(
    livekit: Switchboard, agent: Any, voice: Callable[[str], Path]
) -> AsyncIterator[Phone]:
    async with phone(livekit, agent, samples(voice("That is fine.")), NUMBER) as made:
        yield made


def said(record: dict[str, Any]) -> list[str]:
    return [turn["text"] for turn in record["transcript"] if turn["speaker"] == "Agent"]


async def test_the_agent_dies_twice_and_the_caller_stays(caller: Phone) -> None:
    """Once while it waits for an answer, once with the booking made and nothing said of it: one
    SIP dialogue, one appointment, one record."""
    await caller.ring(NUMBER)
    await caller.says(*BOOKING[:4])
    caller.kill()
    await caller.quiet()
    await caller.says(*BOOKING[4:])
    assert caller.events() == []
    caller.words = "Yes, please."
    saying = asyncio.create_task(caller.line.say(caller.speech))
    await caller.until(caller.events, "appointment", pause=0.001)
    caller.kill()
    await saying
    await caller.quiet()
    await caller.says("No, that's all, thank you.")
    await caller.until(lambda: caller.line.gone, "BYE")
    await caller.until(caller.records, "record")
    assert caller.line.requests == ["INVITE", "ACK", "BYE"]
    assert max(caller.silences()) < SLACK, caller.silences()
    assert len(caller.events()) == 1
    [record] = caller.records()
    assert (record["ended"], record["outcome"]) == ("caller said goodbye", "Booked")
    assert [done["action"] for done in record["appointments"]] == ["Booked"]
    assert f"{record['appointments'][0]['uid']}.ics" == caller.events()[0].name
    told = said(record)
    first, second = [index for index, text in enumerate(told) if text == LOST]
    assert told[first + 1] == told[first - 1] == "And the patient's date of birth?"
    assert told[second + 1].startswith("Done. You are booked for cleaning")
    heard = [turn["text"] for turn in record["transcript"] if turn["speaker"] == "Caller"]
    assert heard[:4] == [*BOOKING[:4]]


async def test_three_deaths_are_enough(caller: Phone) -> None:
    await caller.ring(NUMBER)
    await caller.says(BOOKING[0])
    for _ in range(3):
        caller.kill()
        await caller.quiet()
    await caller.until(lambda: caller.line.gone, "BYE")
    await caller.until(caller.records, "record")
    [record] = caller.records()
    assert (record["ended"], record["success"]) == ("agent ended", False)
    assert said(record).count(LOST) == 2
    assert said(record)[-1] == "Please call again a little later. Goodbye."


async def test_the_whole_worker_dies_and_the_next_one_goes_on(caller: Phone, agent: Any) -> None:
    await caller.ring(NUMBER)
    await caller.says(*BOOKING[:4])
    worker = psutil.Process(agent.process.pid)
    for process in (worker, *worker.children(recursive=True)):
        process.kill()
    agent.process.wait()
    agent.launch()
    await caller.quiet()
    await caller.says(*BOOKING[4:], "Yes, please.", "No, that's all, thank you.")
    await caller.until(lambda: caller.line.gone, "BYE")
    await caller.until(caller.records, "record")
    [record] = caller.records()
    assert (record["outcome"], len(caller.events())) == ("Booked", 1)
    assert said(record).count(LOST) == 1
    assert caller.line.requests == ["INVITE", "ACK", "BYE"]


async def test_who_is_cut_off_by_the_sip_bridge_and_rings_again_goes_on(
    caller: Phone, livekit: Switchboard
) -> None:
    """LiveKit notices only 20 s later that the first caller is gone: until then both calls are."""
    await caller.ring(NUMBER)
    await caller.says(*BOOKING[:4])
    livekit.kill("livekit-sip")
    livekit.start("livekit-sip")
    await caller.agent.logged("CallLine")
    await caller.hang_up(network=False)
    await caller.ring(NUMBER)
    await caller.says(*BOOKING[4:], "Yes, please.", "No, that's all, thank you.")
    await caller.until(lambda: caller.line.gone, "BYE")
    await caller.until(lambda: len(caller.records()) == 2, "two records")
    first, second = caller.records()
    if said(first)[0] == CUT_OFF:
        first, second = second, first
    assert first["ended"] == "went on in another call"
    assert said(second)[:2] == [CUT_OFF, "And the patient's date of birth?"]
    assert (second["outcome"], len(caller.events())) == ("Booked", 1)
    assert second["slots"]["name"] == "Susan Miller"


async def test_who_is_cut_off_and_rings_again_later_goes_on(
    caller: Phone, livekit: Switchboard
) -> None:
    """Nobody claims the talk at once: the first call ends when its line has been dead for 15 s."""
    await caller.ring(NUMBER)
    await caller.says(*BOOKING[:4])
    livekit.kill("livekit-sip")
    livekit.start("livekit-sip")
    await caller.hang_up(network=False)
    await caller.until(caller.records, "record")
    [record] = caller.records()
    assert (record["ended"], record["messages"]) == ("line lost", [])
    await caller.ring(NUMBER, "+12125550199")
    await caller.hang_up()
    await caller.until(lambda: len(caller.records()) == 2, "another's record")
    await caller.ring(NUMBER)
    await caller.hang_up()
    await caller.until(lambda: len(caller.records()) == 3, "third record")
    _, stranger, again = caller.records()
    assert CUT_OFF not in said(stranger)
    assert said(again)[:2] == [CUT_OFF, "And the patient's date of birth?"]


async def test_who_hung_up_and_rings_again_is_greeted(caller: Phone, agent: Any) -> None:
    await caller.ring(NUMBER)
    await caller.says(*BOOKING[:2])
    await caller.hang_up()
    await caller.until(caller.records, "record")
    await caller.ring(NUMBER)
    await caller.hang_up()
    await caller.until(lambda: len(caller.records()) == 2, "two records")
    assert [said(record)[0] for record in caller.records()] == [agent.config["greeting"]] * 2


async def test_the_agent_gateway_is_lost_and_the_caller_notices_nothing(
    caller: Phone, livekit: Switchboard, agent: Any
) -> None:
    await caller.ring(NUMBER)
    await caller.says(*BOOKING[:2])
    livekit.kill("agent-gateway")
    await agent.logged("RegistrationLost")
    await caller.says(*BOOKING[2:4])
    livekit.start("agent-gateway")
    await agent.registered()
    # What the worker asks of LiveKit from now on goes through the new one.
    caller.kill()
    await caller.quiet()
    assert caller.line.requests == ["INVITE", "ACK"]
    await caller.hang_up()
    await caller.until(caller.records, "record")
    [record] = caller.records()
    assert said(record).count(LOST) == 1
    await caller.ring(NUMBER)
    await caller.hang_up()
    await caller.until(lambda: len(caller.records()) == 2, "the next call's record")


async def test_livekit_is_lost_and_the_next_call_is_answered(
    caller: Phone, livekit: Switchboard, agent: Any
) -> None:
    """Calls under way end with their rooms."""
    livekit.kill("livekit")
    await agent.logged("RegistrationLost")
    livekit.start("livekit")
    await agent.registered()
    await caller.ring(NUMBER)
    await caller.hang_up()
    await caller.until(caller.records, "record")
    assert said(caller.records()[0])[0] == agent.config["greeting"]
