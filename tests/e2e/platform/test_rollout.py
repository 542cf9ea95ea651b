"""A new version of the agent takes over a client's calls: real SIP calls by many callers.

Agents are plain processes, so that their calls' processes can be killed; the order of the tests is
that of one client's life.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from support.phones import route
from support.stack import Stack, client, conditions, until
from voicefleet_api.callers import Callers
from voicefleet_cli.telephone.sip import SipLine
from voicefleet_infra.edge import phone_line
from voicefleet_infra.services import Service

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PERCENT, CALLS, HELD = 30, 4, 2
SILENCE = np.zeros(8000)
NAME = "dentist"


class PhoneLine(Stack):
    """The platform with a phone line, and agents as processes."""

    runtime = "process"

    def _services(self) -> list[Service]:
        return [*super()._services(), *phone_line(self.platform)]

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

    def slot(self, slot: str) -> Path:
        """Folder of the client's agent in that place."""
        client_id = self.client(NAME)["status"]["clientID"]
        unit = client_id if slot == "blue" else f"{slot}-{client_id}"
        return self.platform.folder("clients") / "process" / unit

    def worker(self, slot: str) -> psutil.Process:
        """The agent's process in that place."""
        return psutil.Process(json.loads((self.slot(slot) / "unit.json").read_text())["pid"])

    def answered(self, slot: str) -> int:
        """Calls that the agent in that place has been sent and taken."""
        log = self.slot(slot) / "agent.log"
        return log.read_text().count("CallDispatched") if log.exists() else 0

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


async def ring(line: PhoneLine, caller: str) -> SipLine:
    """A call that was answered."""
    number = (await asyncio.to_thread(line.client, NAME))["status"]["primaryNumber"]
    address, port = await asyncio.to_thread(route, line, number)
    call = SipLine(SILENCE)
    await call.open(address, port, number, caller)
    return call


async def hang_up(call: SipLine) -> None:
    """After a moment in which the agent greets; nobody else has ended the call."""
    await asyncio.sleep(1.5)
    assert not call.gone, "the call was dropped"
    await call.hang_up()


def callers(revision: str, *, new: bool) -> Iterator[str]:
    """Numbers whose calls the new version is to answer, or the others."""
    share = Callers(first=0, end=PERCENT, salt=revision)
    numbers = (f"+1415555{number:04}" for number in itertools.count(1000))
    return (number for number in numbers if share.include(number) == new)


def test_a_share_of_the_callers_then_all_and_no_call_is_dropped(line: PhoneLine) -> None:
    async def story() -> None:
        assert line.answered("blue") == 0
        await asyncio.to_thread(line.new_version, 1100)
        revision = (await asyncio.to_thread(line.phase, "Canary"))["revision"]
        old, new = callers(revision, new=False), callers(revision, new=True)
        # An operator that dies half-way is followed by one that goes on.
        await asyncio.to_thread(line.stop_operator)
        for caller in [next(old), next(new), next(old), *itertools.islice(new, CALLS - 2)]:
            await hang_up(await ring(line, caller))
        assert (line.answered("blue"), line.answered("green")) == (2, CALLS - 1)
        await asyncio.to_thread(line.start_operator)
        blue = line.worker("blue")
        # A caller who says nothing is talked to for half a minute.
        held = [await ring(line, caller) for caller in itertools.islice(old, HELD)]
        await hang_up(await ring(line, next(new)))
        await asyncio.to_thread(line.phase, "Draining")
        for call in held:
            await hang_up(call)
        assert line.answered("blue") == 2 + HELD
        assert blue.is_running()
        for caller in (next(old), next(new)):
            await hang_up(await ring(line, caller))
        assert line.answered("green") == CALLS + 2
        await asyncio.to_thread(line.phase, None)
        # Nobody waits for the child of an operator that was killed.
        assert not blue.is_running() or blue.status() == psutil.STATUS_ZOMBIE

    asyncio.run(story())
    vc = line.wait(NAME, "Ready")
    agent = f"voicefleet-green-{vc['status']['clientID']}"
    assert vc["status"]["endpoints"]["agentName"] == agent
    assert conditions(vc)["Answering"]["status"] == "True"
    assert not line.slot("blue").exists()
    assert {"RolloutStarting", "RolloutCanary", "RolloutDraining"} <= set(line.reasons())


def bad(line: PhoneLine, harm: Callable[[str], Any], reason: str, seconds: float) -> None:
    """A canary that comes to harm is taken back, and all callers have the version before."""

    async def story() -> None:
        revision = (await asyncio.to_thread(line.phase, "Canary"))["revision"]
        await harm(revision)
        found = await asyncio.to_thread(line.phase, "RolledBack", seconds)
        assert found["reason"] == reason, found
        vc = await asyncio.to_thread(line.wait, NAME, "Stalled", "True")
        assert conditions(vc)["Ready"]["reason"] == "RolledBack"
        assert conditions(vc)["Answering"]["status"] == "True"
        before = line.answered("green")
        for new in (False, True):
            await hang_up(await ring(line, next(callers(revision, new=new))))
        assert line.answered("green") == before + 2
        await asyncio.to_thread(
            until, lambda: not line.slot("blue").exists(), "it does not go", seconds=40
        )

    asyncio.run(story())
    assert "RolledBack" in line.reasons()


def test_a_version_that_ends_is_taken_back(line: PhoneLine) -> None:
    async def kill(_: str) -> None:
        line.worker("blue").kill()

    line.new_version(1200)
    bad(line, kill, "AgentEnded", 60)


def test_a_version_whose_calls_fail_is_taken_back(line: PhoneLine) -> None:
    async def kill_the_call(revision: str) -> None:
        before = set(line.worker("blue").children(recursive=True))
        call = await ring(line, next(callers(revision, new=True)))
        for process in set(line.worker("blue").children(recursive=True)) - before:
            process.kill()
        await call.hang_up()

    # What was taken back stays so until somebody asks.
    assert line.rollout()["phase"] == "RolledBack"
    line.kubectl("annotate", "vc", NAME, "voicefleet.dev/reconcile-at=now")
    bad(line, kill_the_call, "TooManyFailures", 90)
