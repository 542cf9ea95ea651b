"""Calls reach the client that has the number: real operator, API server, LiveKit and SIP bridges.

Each client's worker is a stand-in that is asked as the real one is and takes nobody, so a call
rings until the caller gives it up. Who is asked is what counts; the room's name has the caller's
number, and each caller calls once.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from support.invite import Invite
from support.stack import Stack, client, until
from support.workers import Worker, at_work
from voicefleet_infra import services

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

CALLS = 1200
SETTLED = 1000
"""So many of them, at least, are for numbers that nobody moves at that moment."""
RATE = 10.0
"""Calls a second; two of a bridge's 400 ports for sound stay taken until 30 s after a call."""
RING_SECONDS = 2.5
LINES = {"ann": 3, "ben": 2, "cat": 1, "dan": 0}
REQUEST = {"country": "US", "areaCode": "415"}


class Lines:
    """Who has which number, now and before; numbers are moved by editing clients."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._wanted: dict[str, list[dict[str, Any]]] = {}
        self.held: dict[str, list[tuple[float, frozenset[str]]]] = {}
        """By number: from when on who may be reached; two while it moves."""
        self._moves = itertools.count(1)

    def declare(self) -> None:
        """Apply the clients, and wait until they have their numbers."""
        for name, count in LINES.items():
            self._wanted[name] = [
                {"name": f"line-{i}", "request": REQUEST, "reclaimPolicy": "Retain"}
                for i in range(count)
            ]
            self._stack.apply(client(name, telephony=self._line(name)))
        for name in LINES:
            status = self._stack.wait(name, "Ready")["status"]
            for number in status.get("numbers", []):
                self.held[number["e164"]] = [(0.0, frozenset({name}))]

    def agents(self) -> dict[str, str]:
        """Client by the name of its agent."""
        found = {name: self._stack.client(name)["status"] for name in LINES}
        return {status["endpoints"]["agentName"]: name for name, status in found.items()}

    def move(self, number: str) -> None:
        """From its client to the next one."""
        (old,) = self.held[number][-1][1]
        names = list(LINES)
        new = names[(names.index(old) + 1) % len(names)]
        entry = next(n["name"] for n in self._stack.client(old)["status"]["numbers"]
                     if n["e164"] == number)  # fmt: skip
        self.held[number].append((time.time(), frozenset({old, new})))
        self._wanted[old] = [line for line in self._wanted[old] if line["name"] != entry]
        self._stack.patch(old, {"telephony": self._line(old)})
        until(lambda: self._phase(number) == "Available", f"{number} is not let go")
        moved = {"name": f"moved-{next(self._moves)}", "e164": number, "reclaimPolicy": "Retain"}
        self._wanted[new].append(moved)
        self._stack.patch(new, {"telephony": self._line(new)})
        self._stack.wait(new, "Ready")
        self.held[number].append((time.time(), frozenset({new})))

    def _line(self, name: str) -> dict[str, Any]:
        numbers = self._wanted[name]
        return {"mode": "Managed" if numbers else "None", "numbers": numbers}

    def _phase(self, number: str) -> str:
        items = self._stack.get("pn")["items"]
        return next(i["status"]["phase"] for i in items if i["status"].get("e164") == number)

    def owners(self, number: str, begin: float, end: float) -> frozenset[str]:
        """Whom a call to it may reach that was on its way from `begin` to `end`."""
        held = self.held[number]
        ends = [*(at for at, _ in held[1:]), float("inf")]
        return frozenset().union(
            *(who for (at, who), over in zip(held, ends, strict=True) if at <= end and over > begin)
        )


@pytest.fixture
def lines(stack: Stack) -> Lines:
    """Four clients with six numbers."""
    patch = json.dumps({"spec": {"telephony": {"quarantineDays": 0}}})
    stack.kubectl("patch", "fleet", "default", "--type=merge", "-p", patch)
    made = Lines(stack)
    made.declare()
    return made


@dataclass
class Rung:
    """A call that rang until the caller gave it up, or was refused."""

    number: str
    caller: str
    placed: float
    """`time.time()`."""
    status: int | None


def call_all(stack: Stack, numbers: list[str]) -> list[Rung]:
    """Each number in its turn, half of the calls at each bridge."""
    address = stack.platform.address
    doors = [(address, stack.platform.port(f"sip{node}")) for node in services.SIP_NODES]

    def ring(place: int) -> Rung:
        number, caller = numbers[place % len(numbers)], f"+1500556{place:04d}"
        placed = time.time()
        with Invite(doors[place // len(numbers) % 2], number, address, caller=caller) as call:
            return Rung(number, caller, placed, call.wait(RING_SECONDS).final)

    began = time.monotonic()
    with ThreadPoolExecutor(64) as pool:
        ringing = []
        for place in range(CALLS):
            time.sleep(max(0.0, began + place / RATE - time.monotonic()))
            ringing.append(pool.submit(ring, place))
        return [call.result() for call in ringing]


async def call_while_numbers_move(stack: Stack, lines: Lines) -> list[Rung]:
    """Every second number is moved again and again while all are called."""
    numbers = sorted(lines.held)
    calling = asyncio.create_task(asyncio.to_thread(call_all, stack, numbers))
    moving = itertools.cycle(numbers[::2])
    while not calling.done():
        await asyncio.sleep(3)
        await asyncio.to_thread(lines.move, next(moving))
    return calling.result()


def reached(workers: list[Worker]) -> dict[str, list[tuple[str, float]]]:
    """By caller: agents that were asked, and when."""
    found: dict[str, list[tuple[str, float]]] = {}
    for worker in workers:
        for room, at in worker.asked:
            caller = room.split("_")[1]
            found.setdefault(caller, []).append((worker.name, at))
    return found


def judge(
    calls: list[Rung],
    asked: Mapping[str, list[tuple[str, float]]],
    clients: Mapping[str, str],
    lines: Lines,
) -> tuple[Counter[str], list[str]]:
    """How the calls went, and which went wrong."""
    went, wrong = Counter[str](), []
    for call in calls:
        heard = asked.get(call.caller, [])
        last = max((at for _, at in heard), default=call.placed + 1)
        owners = lines.owners(call.number, call.placed, last)
        strangers = {clients[agent] for agent, _ in heard} - owners
        moving = len(owners) > 1
        if strangers:
            wrong.append(f"{call} reached {strangers}, but {call.number} is {set(owners)}'s")
        elif heard:
            went["while its number moved" if moving else "settled"] += 1
        elif moving:
            went[f"while its number moved: nobody, {call.status or 'silence'}"] += 1
        else:
            wrong.append(f"{call} reached nobody, but {call.number} is {set(owners)}'s")
    return went, wrong


async def test_calls_reach_who_has_the_number_while_numbers_move(
    stack: Stack, lines: Lines
) -> None:
    clients = lines.agents()
    async with at_work(stack.platform, *clients) as workers:
        calls = await call_while_numbers_move(stack, lines)
    went, wrong = judge(calls, reached(workers), clients, lines)
    moves = sum(len(held) // 2 for held in lines.held.values())
    print(f"{len(calls)} calls, {moves} moves: {dict(went)}")
    assert not wrong, "\n".join(wrong[:20])
    assert went["settled"] >= SETTLED
    assert moves >= 10
    assert {name for held in lines.held.values() for _, who in held for name in who} == set(LINES)


async def test_who_is_refused_and_how(stack: Stack, lines: Lines) -> None:
    """By the bridge itself, which says 100 and 180 to everybody; and by the edge before it."""
    number, address = min(lines.held), stack.platform.address
    knocks = [
        (door, who, called, source, says)
        for door in ("sip", "sip-edge")
        for who, called, source, says in (
            ("stranger", number, "127.0.0.2", ""),
            ("impostor", number, "127.0.0.2", f"{address}/32"),
            ("unknown", "+14155550123", address, ""),
        )
    ]

    def knock(place: int) -> list[int]:
        door, _, called, source, says = knocks[place]
        target, caller = (address, stack.platform.port(door)), f"+150055700{place:02d}"
        with Invite(target, called, source, caller=caller, says=says) as call:
            return call.wait(12).statuses

    async with at_work(stack.platform, *lines.agents()) as workers:
        told = await asyncio.gather(
            *(asyncio.to_thread(knock, place) for place in range(len(knocks)))
        )
    answers = {f"{who} at {door}": said for (door, who, *_), said in zip(knocks, told, strict=True)}
    admitted = {knocks[int(caller[-2:])][:2] for caller in reached(workers)}
    print(answers, admitted)
    assert answers["stranger at sip-edge"] == answers["impostor at sip-edge"] == []
    assert answers["unknown at sip-edge"][-1] == 503
    assert not [door for door, _ in admitted if door == "sip-edge"]
    # A bridge believes what stands in From: why only the edge may reach it (docs/failover.md).
    assert [who for door, who in admitted if door == "sip"] == ["impostor"]
