"""By telephone: the client's agent does not join, or too late: the overflow agent is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import httpx
import numpy as np
import psutil
import pytest
from livekit import api

from integration.voice.conftest import Agent
from support.portal import Portal, portal
from support.rescue import CALLER, Phone, beep, samples
from support.stand_ins import KEY, Gateways
from support.switchboard import Switchboard
from voicefleet_agent.overflow import WATCHDOG
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_cli.telephone.hearing import sounds
from voicefleet_infra import services
from voicefleet_infra.overflow import AGENT_NAME, overflow

pytestmark = pytest.mark.integration

NUMBER, OTHER_NUMBER = "+14155550100", "+14155550101"
OTHER_CALLER = "+12125550177"
NOBODY = "nobody"
"""Name of an agent that is not there."""
SLACK = 2.0
"""Seconds from the watchdog's decision to the first sound, on a machine that may be busy."""
LOST = "I'm sorry, I lost you for a moment."


class WithOverflow(Switchboard):
    """With the platform's overflow agent."""

    make: ClassVar = {**Switchboard.make, "overflow": overflow}


@pytest.fixture(scope="module")
def livekit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Switchboard]:
    switchboard = WithOverflow(tmp_path_factory.mktemp("sip"))
    switchboard.platform.secret("models-key", make=KEY)
    with switchboard as running:
        yield running


class Callers:
    """Whom the transcriber understands perfectly; it tells them apart by how loud they are."""

    def __init__(self, livekit: Switchboard, speech: Any) -> None:
        self._speech = speech
        overflow: Any = SimpleNamespace(log=lambda: livekit.log("overflow"))
        self.loud, self.soft = (Phone(livekit, overflow, x * speech) for x in (1.0, 0.35))

    async def hear(self, pcm: bytes) -> tuple[str, float]:
        peak = np.abs(np.frombuffer(pcm, "<i2").astype(int)).max(initial=0) / 32768
        phone = self.loud if peak > 0.65 * np.abs(self._speech).max() else self.soft
        return await phone.hear(pcm)


@pytest.fixture
async def callers(livekit: Switchboard, voice: Callable[[str], Path]) -> AsyncIterator[Callers]:
    made = Callers(livekit, samples(voice("That is fine.")))
    async with Gateways(services.models_folder(livekit.platform), hear=made.hear, speak=beep):
        yield made
        for phone in (made.loud, made.soft):
            await phone.hang_up()


@pytest.fixture
async def kept(livekit: Switchboard) -> AsyncIterator[Portal]:
    async with portal(services.models_folder(livekit.platform)) as running:
        yield running


async def record_of(kept: Portal, client_id: str) -> dict[str, Any]:
    """The client's one call, once it is there."""
    async with asyncio.timeout(60):
        while True:
            answer = await kept.people.get(f"/api/clients/{client_id}/calls")
            items = answer.json()["items"] if answer.status_code == 200 else []
            if items:
                [item] = items
                return dict(item)
            await asyncio.sleep(0.2)


def client(client_id: str, business: str) -> AgentConfig:
    """What the overflow agent is told of a dentist."""
    return AgentConfig(
        client_id=client_id,
        agent_name=AGENT_NAME,
        livekit_url="ws://unused",
        business_name=business,
        profession="dentist",
        greeting=f"Thank you for calling {business}. What would you like me to pass on?",
        overflow=True,
    )


def first_sound(phone: Phone) -> float:
    """Seconds from the INVITE."""
    return sounds(phone.line.recordings()[1])[0].start


def ended(livekit: Switchboard) -> int:
    """Calls that the overflow agent has had, by its page."""
    page = httpx.get(f"http://127.0.0.1:{livekit.platform.port('overflow')}/", trust_env=False)
    return int(page.raise_for_status().json()["endedCalls"])


async def goodbye(phone: Phone) -> None:
    await phone.until(lambda: phone.line.gone, "BYE")
    await phone.hang_up()


async def test_two_callers_whose_agents_do_not_join_leave_messages_for_the_right_clients(
    livekit: Switchboard, callers: Callers, kept: Portal
) -> None:
    async def leave(phone: Phone, number: str, caller: str, *words: str) -> None:
        await phone.ring(number, caller)
        await phone.says(*words)
        await goodbye(phone)

    before = ended(livekit)
    async with (
        livekit.number(NUMBER, NOBODY, told=client("vc-one", "Bright Smile")),
        livekit.number(OTHER_NUMBER, NOBODY, told=client("vc-two", "Pipeworks")),
    ):
        await asyncio.gather(
            leave(
                callers.loud, NUMBER, CALLER,
                "My crown has come off.", "Susan Miller", "No.", "Yes.",
            ),
            leave(
                callers.soft, OTHER_NUMBER, OTHER_CALLER,
                "The cellar is full of water.", "Bob Hill", "No.", "Yes.",
            ),
        )  # fmt: skip
    after = [first_sound(phone) for phone in (callers.loud, callers.soft)]
    print(f"first sound {after[0]:.2f} and {after[1]:.2f} s after the INVITE")
    assert all(WATCHDOG < each < WATCHDOG + SLACK for each in after)
    first, second = [await record_of(kept, each) for each in ("vc-one", "vc-two")]
    assert ended(livekit) == before + 2
    for record in (first, second):
        assert (record["answeredBy"], record["outcome"]) == ("Overflow", "Message")
    assert (first["caller"], first["messages"]) == (
        CALLER,
        [{"text": "My crown has come off.", "name": "Susan Miller", "phone": CALLER,
          "urgent": False}],
    )  # fmt: skip
    assert (second["caller"], second["messages"]) == (
        OTHER_CALLER,
        [{"text": "The cellar is full of water.", "name": "Bob Hill", "phone": OTHER_CALLER,
          "urgent": False}],
    )  # fmt: skip
    assert "Bright Smile" in first["transcript"][0]["text"]
    assert "Pipeworks" in second["transcript"][0]["text"]


async def test_an_overflow_agent_that_dies_in_a_call_is_replaced(
    livekit: Switchboard, callers: Callers, kept: Portal
) -> None:
    phone, worker = callers.loud, psutil.Process(livekit.pid("overflow"))
    # A child of the one that they are forked from waits for the call.
    [warm] = [c for c in worker.children(recursive=True) if c.ppid() != worker.pid]
    async with livekit.number(NUMBER, NOBODY, told=client("vc-dies", "Bright Smile")):
        await phone.ring(NUMBER)
        warm.kill()
        await phone.quiet()
        await phone.says("My crown has come off.")
        await phone.hang_up()
    record = await record_of(kept, "vc-dies")
    assert record["answeredBy"] == "Overflow"
    assert [turn["text"] for turn in record["transcript"]][1:] == [
        LOST, "How can I help you?", "My crown has come off.", "May I have your name, please?",
    ]  # fmt: skip


async def test_where_the_client_s_agent_joins_the_overflow_agent_does_not(
    livekit: Switchboard, callers: Callers, agent: Agent
) -> None:
    phone = callers.loud
    async with (
        Gateways(agent.models, hear=callers.hear, speak=beep),
        livekit.number(NUMBER, agent.name, told=client("vc-own", "Bright Smile")),
    ):
        await agent.registered()
        await agent.logged("GreetingReady")
        before = livekit.log("overflow").count("OverflowNeeded")
        await phone.ring(NUMBER)
        assert first_sound(phone) < WATCHDOG
        await asyncio.sleep(max(0.0, WATCHDOG + 1 - phone.line.now))
        await phone.hang_up()
    assert livekit.log("overflow").count("OverflowNeeded") == before


async def test_a_client_s_agent_that_comes_late_leaves_without_a_word(
    livekit: Switchboard, callers: Callers, kept: Portal, agent: Agent
) -> None:
    phone = callers.loud
    async with livekit.number(NUMBER, NOBODY, told=client("vc-late", "Bright Smile")):
        await phone.ring(NUMBER)
        async with Gateways(agent.models, hear=callers.hear, speak=beep), livekit.livekit() as sip:
            await agent.registered()
            rooms = (await sip.room.list_rooms(api.ListRoomsRequest())).rooms
            room = max(rooms, key=lambda each: each.creation_time_ms)
            await sip.agent_dispatch.create_dispatch(
                api.CreateAgentDispatchRequest(agent_name=agent.name, room=room.name)
            )
            await agent.logged("the overflow agent took the call", key="reason")
        await phone.says("Please call me back.")
        assert not phone.line.gone
        await phone.hang_up()
    record = await record_of(kept, "vc-late")
    assert [turn["text"] for turn in record["transcript"]][1:] == [
        "Please call me back.", "May I have your name, please?",
    ]  # fmt: skip
    late = agent.health()
    assert (late["endedCalls"], late["failedCalls"]) == (1, 1)
    assert not [*(agent.folder / "data" / "spool").glob("*.json")]
