"""A new version of the agent takes over a client's calls while callers talk and others ring.

Calls are real: some go on all the while, with sound (`Load`); the others are answered and hung up.
Agents are plain processes, so that their calls' processes can be killed; gateways that answer at
once stand in for the models. The order of the tests is that of one client's life.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.machine import instant_gateways
from support.invite import Invite
from support.phones import route
from support.stack import Stack, client, conditions, until
from voicefleet_api.callers import Callers
from voicefleet_api.calls import CallRecord
from voicefleet_cli.load import CALLER, SETTLE, Load
from voicefleet_cli.telephone import rtp
from voicefleet_cli.telephone.phones import Phone
from voicefleet_infra.agent_gateway import agent_gateway
from voicefleet_infra.edge import phone_line
from voicefleet_infra.service import Service

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

HELD = 5
"""Calls that go on all the while; with those who ring, as many as two cores carry well."""
PERCENT, CALLS = 10, 3
RINGING = 3
"""Callers who ring at the same time."""
GAP, WAIT, LOST = 1.0, 4.0, 0.01
"""Seconds that a caller may at most get no packet, and wait for an answer; and the share of packets
that may be lost. How many come late depends on what else the machine does: it is printed."""
NAME = "dentist"


class PhoneLine(Stack):
    """The platform with a phone line, and agents as processes."""

    runtime = "process"

    def _services(self) -> list[Service]:
        gateways = (instant_gateways(self.platform), agent_gateway(self.platform))
        return [*super()._services(), *phone_line(self.platform), *gateways]

    def new_version(self, memory_mib: int) -> None:
        """Something that only a restart changes, for all clients of the fleet."""
        runtime = {"spec": {"runtime": {"memoryMib": memory_mib}}}
        self.kubectl("patch", "fleet", "default", "--type=merge", "-p", json.dumps(runtime))

    def rollout(self) -> dict[str, Any]:
        """As the status says; empty where nothing is under way."""
        status = self.client(NAME)["status"]
        return dict(status.get("rollout") or {})

    def phase(self, phase: str | None, seconds: float = 60) -> dict[str, Any]:
        """The rollout once it has come so far."""
        until(
            lambda: self.rollout().get("phase") == phase,
            f"no phase {phase}: {self.rollout()}\n{self.log()[-2000:]}",
            seconds=seconds,
        )
        return self.rollout()

    def door(self) -> tuple[str, tuple[str, int]]:
        """The client's number, and the SIP server to which the carrier sends calls to it."""
        number = self.client(NAME)["status"]["primaryNumber"]
        return number, route(self, number)

    @cached_property
    def client_id(self) -> str:
        return str(self.client(NAME)["status"]["clientID"])

    def slot(self, slot: str) -> Path:
        """Folder of the client's agent in that place."""
        unit = self.client_id if slot == "blue" else f"{slot}-{self.client_id}"
        return self.platform.folder("clients") / "process" / unit

    def worker(self, slot: str) -> psutil.Process:
        """The agent's process in that place."""
        return psutil.Process(json.loads((self.slot(slot) / "unit.json").read_text())["pid"])

    def ended(self, slot: str) -> set[str]:
        """Ids of the calls that the agent in that place has brought to their end."""
        log = self.slot(slot) / "agent.log"
        lines = log.read_text().splitlines() if log.exists() else []
        said = [json.loads(line) for line in lines if line.startswith("{")]
        return {each["callID"] for each in said if each.get("state") == "Ended"}

    def records(self) -> dict[str, CallRecord]:
        """Of the calls that are over, by caller; without a portal they stay with the client."""
        spool = self.platform.folder("clients") / "process-data" / self.client_id / "spool"
        found = [CallRecord.model_validate_json(f.read_bytes()) for f in spool.glob("*.json")]
        return {record.caller or "": record for record in found}

    def finished(self, callers: Collection[str]) -> dict[str, str]:
        """Where the agent was with whom each of these callers' calls has ended; waits for all."""

        def found() -> dict[str, str] | None:
            ended = {slot: self.ended(slot) for slot in ("blue", "green")}
            where = {
                caller: slot
                for caller, record in self.records().items()
                for slot, ids in ended.items()
                if record.call_id in ids
            }
            return where if where.keys() >= {*callers} else None

        where = until(found, "some calls have left no record")
        return {caller: where[caller] for caller in callers}

    def reasons(self) -> list[str]:
        """Of the client's events."""
        events = self.get("events", "--field-selector", f"involvedObject.name={NAME}")["items"]
        return [event["reason"] for event in events]


@pytest.fixture(scope="module")
def line() -> Iterator[PhoneLine]:
    with PhoneLine() as running:
        running.start_operator()
        rollout = {"strategy": "Canary", "percent": PERCENT, "minimumCalls": CALLS}
        running.apply(client(NAME, rollout=rollout))
        running.wait(NAME, "Answering", seconds=120)
        yield running
        running.delete(NAME)


NUMBERS = (f"+1415555{number:04}" for number in itertools.count(1000))
"""Who rings; each does it once."""


def callers(revision: str, *, new: bool) -> Iterator[str]:
    """Numbers whose calls the new version is to answer, or the others."""
    share = Callers(first=0, end=PERCENT, salt=revision)
    return (number for number in NUMBERS if share.include(number) == new)


def ring(line: PhoneLine, callers: Collection[str]) -> None:
    """Each is answered, and hangs up at once."""
    number, door = line.door()

    def call(caller: str) -> str:
        with Invite(door, number, line.platform.address, caller=caller) as invite:
            answered = invite.wait(20).answered
            return "" if answered else f"{caller}: {invite.final} after {invite.after:.2f} s"

    with ThreadPoolExecutor(RINGING) as pool:
        refused = [*filter(None, pool.map(call, callers))]
    assert not refused, refused


async def rung(line: PhoneLine, callers: Collection[str]) -> dict[str, str]:
    """The same beside other calls; where the agent was that each of them has reached."""
    await asyncio.to_thread(ring, line, callers)
    return await asyncio.to_thread(line.finished, callers)


@asynccontextmanager
async def ringing(line: PhoneLine, callers: Iterator[str]) -> AsyncIterator[None]:
    """One after the other until the block ends; every one of them is answered."""
    over = asyncio.Event()

    async def go_on() -> None:
        while not over.is_set():
            await asyncio.to_thread(ring, line, [next(callers)])
            await asyncio.sleep(0.5)

    calling = asyncio.create_task(go_on())
    try:
        yield
    finally:
        over.set()
        await calling


@asynccontextmanager
async def talking(line: PhoneLine) -> AsyncIterator[list[Phone]]:
    """`HELD` callers who ask again and again, and notice nothing until the block ends."""
    number, door = await asyncio.to_thread(line.door)
    load = Load(*door)
    try:
        await load.add([number] * HELD)
        await asyncio.sleep(SETTLE)
        for phone in load.phones:
            phone.packets.clear()
        yield load.phones
        for phone in load.phones:
            assert phone.answered, "not answered"
            undisturbed(phone)
    finally:
        await load.end()


def undisturbed(phone: Phone) -> None:
    """The call has gone on, its sound without a gap, and whatever was asked was answered."""
    assert not phone.call.gone.is_set(), "our side has hung up"
    pairs = itertools.pairwise(phone.packets)
    gap = max(after.came - before.came for before, after in pairs)
    heard, waits = rtp.judge(phone.packets), [answer.after for answer in phone.answers]
    print(f"gap {gap:.2f} s, {heard}, waits {waits}")
    assert gap < GAP
    assert heard.lost < LOST
    assert all(wait is not None and wait < WAIT for wait in waits)


def test_a_share_of_the_callers_then_all_and_no_call_is_disturbed(line: PhoneLine) -> None:
    held = [f"{CALLER}{index:04}" for index in range(HELD)]

    async def story() -> None:
        async with talking(line) as phones:
            async with ringing(line, NUMBERS):
                await asyncio.to_thread(line.new_version, 1100)
                revision = (await asyncio.to_thread(line.phase, "Canary"))["revision"]
            old, new = callers(revision, new=False), callers(revision, new=True)
            # An operator that dies half-way is followed by one that goes on.
            await asyncio.to_thread(line.stop_operator)
            few = CALLS - 1
            share = dict.fromkeys(itertools.islice(new, few), "green")
            share |= dict.fromkeys(itertools.islice(old, few * (100 // PERCENT - 1)), "blue")
            assert await rung(line, sorted(share)) == share
            async with ringing(line, old):
                await asyncio.to_thread(line.start_operator)
                await rung(line, [next(new)])
                await asyncio.to_thread(line.phase, "Draining")
            everybody = [next(old), next(new), next(old), next(new)]
            assert await rung(line, everybody) == dict.fromkeys(everybody, "green")
            blue, asked = line.worker("blue"), [len(phone.answers) for phone in phones]
            async with asyncio.timeout(60):
                while any(len(phone.answers) == n for phone, n in zip(phones, asked, strict=True)):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        assert line.finished(held) == dict.fromkeys(held, "blue")
        # Nothing has befallen them before they hung up (`talking`); where their leaving then gets
        # lost between LiveKit's servers, the agent knows only that their line has fallen silent.
        assert {line.records()[caller].ended for caller in held} <= {"caller left", "line lost"}
        line.phase(None)
        # Nobody waits for the child of an operator that was killed.
        assert not blue.is_running() or blue.status() == psutil.STATUS_ZOMBIE

    asyncio.run(story())
    vc = line.wait(NAME, "Ready")
    agent = f"voicefleet-green-{vc['status']['clientID']}"
    assert vc["status"]["endpoints"]["agentName"] == agent
    assert conditions(vc)["Answering"]["status"] == "True"
    assert not line.slot("blue").exists()
    assert {"RolloutStarting", "RolloutCanary", "RolloutDraining"} <= set(line.reasons())


def bad(line: PhoneLine, harm: Callable[[str], None], reason: str, seconds: float) -> None:
    """A canary that comes to harm is taken back, and all callers have the version before."""
    revision = line.phase("Canary")["revision"]
    harm(revision)
    found = line.phase("RolledBack", seconds)
    assert found["reason"] == reason, found
    vc = line.wait(NAME, "Stalled", "True")
    assert conditions(vc)["Ready"]["reason"] == "RolledBack"
    assert conditions(vc)["Answering"]["status"] == "True"
    everybody = [next(callers(revision, new=new)) for new in (False, True)]
    ring(line, everybody)
    assert line.finished(everybody) == dict.fromkeys(everybody, "green")
    assert "RolledBack" in line.reasons()


def test_a_version_that_ends_is_taken_back(line: PhoneLine) -> None:
    line.new_version(1200)
    bad(line, lambda _: line.worker("blue").kill(), "AgentEnded", 60)
    until(lambda: not line.slot("blue").exists(), "it does not go")


def test_a_version_whose_calls_fail_is_taken_back(line: PhoneLine) -> None:
    def kill_the_call(revision: str) -> None:
        number, door = line.door()
        caller = next(callers(revision, new=True))
        before = set(line.worker("blue").children(recursive=True))
        with Invite(door, number, line.platform.address, caller=caller) as call:
            assert call.wait(20).answered
            for process in set(line.worker("blue").children(recursive=True)) - before:
                process.kill()

    # What was taken back stays so until somebody asks.
    assert line.rollout()["phase"] == "RolledBack"
    line.kubectl("annotate", "vc", NAME, "voicefleet.dev/reconcile-at=now")
    bad(line, kill_the_call, "TooManyFailures", 90)
