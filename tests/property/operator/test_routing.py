"""Every number of every client reaches that client's agent and no other, at any moment.

Random fleets on the simulated world: the real controller, planner, executor and drivers; who is
reached is judged by `simulator.calls`, from what the carrier and LiveKit hold, before each request
that the controller makes. Once all has settled, every number must also be heard.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator import calls
from simulator.clock import virtual_time
from simulator.world import SWEEP, Fault, World, numbers, simulated

pytestmark = [pytest.mark.property, pytest.mark.timeout(1200)]

FLEETS = 200
STOCK = 4
CLIENTS = ("ann", "ben", "cat", "dan")
ALL = ["main", "second", "third"]
KEYS = st.lists(st.sampled_from(ALL), unique=True)

Deed = tuple[Any, ...]
Story = list[tuple[Deed, float]]
"""What is done, and the seconds until what is done next."""

NAME = st.sampled_from(CLIENTS)
PAUSE = st.sampled_from([0.02, 0.5, 20.0, 60.0])
DEED = st.one_of(
    st.tuples(st.just("apply"), NAME, KEYS, st.booleans(), st.booleans()),
    st.tuples(st.just("take"), NAME),
    st.tuples(st.just("suspend"), NAME, st.booleans()),
    st.tuples(st.just("delete"), NAME),
    st.tuples(st.just("fault"), st.sampled_from(Fault), st.integers(0, 30)),
    st.tuples(st.just("restart")),
)


STORIES = st.lists(st.tuples(DEED, PAUSE), min_size=8, max_size=25)


class Watched:
    """A world in which each moment is looked at."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.faults: dict[int, Fault] = {}
        self.wrong: dict[str, None] = {}
        self.judged = 0
        self.holders: dict[str, list[str]] = {}
        """By number: who has held it, in turn."""
        self.late: dict[str, str] = {}
        """By number: the name of its last holder, once a leader has been replaced while it ran."""
        world.fault = self._moment

    def _moment(self, _request: str) -> Fault | None:
        self.look(functools.partial(calls.strays, late=self.late))
        return self.faults.pop(len(self.world.log), None)

    def look(self, judge: Callable[[World], Iterator[str]]) -> None:
        self.wrong |= dict.fromkeys(judge(self.world))
        for obj in self.world.kube.all("phonenumbers"):
            status, claim = obj.get("status") or {}, obj["spec"].get("claimRef")
            if status.get("e164"):
                self.judged += 1
                held = self.holders.setdefault(status["e164"], [])
                if claim and claim["clientID"] not in held[-1:]:
                    held.append(claim["clientID"])
                if claim and self.world.overlapped:
                    self.late[status["e164"]] = claim["name"]

    def _free(self) -> str | None:
        """A number of the fleet's that nobody has."""
        free = (
            obj["status"]["e164"]
            for obj in self.world.kube.all("phonenumbers")
            if (obj.get("status") or {}).get("phase") == "Available"
        )
        return next(free, None)

    def do(self, deed: Deed) -> None:
        world = self.world
        match deed:
            case ("apply", name, keys, retain, *voice):
                phone = f"+1415555010{CLIENTS.index(name)}"
                line, mode = numbers(*keys), "Managed" if keys else "None"
                for number in line["numbers"]:
                    number["reclaimPolicy"] = "Retain" if retain else "Release"
                world.apply(
                    name,
                    business={"name": name},
                    telephony={
                        **line,
                        "mode": mode,
                        "fallback": {"forwardTo": phone},
                        "ingress": "ProgrammableVoice" if voice == [True] else "Trunk",
                        "transfer": "Warm" if voice == [True] else "Refer",
                    },
                )
            case ("take", name) if (client := world.client(name)) and (free := self._free()):
                line = client["spec"]["telephony"]
                exactly = {"name": f"n{free[2:]}", "e164": free, "reclaimPolicy": "Retain"}
                world.apply(
                    name, telephony={"mode": "Managed", "numbers": [*line["numbers"], exactly]}
                )
            case ("suspend", name, suspend):
                if world.client(name) is not None:
                    world.apply(name, suspend=suspend)
            case ("delete", name):
                world.delete(name)
            case ("fault", fault, after):
                self.faults[len(world.log) + after] = fault
            case ("restart",) if world.operators:
                world.restart()


def quarantine(world: World, days: int) -> None:
    """For how long the fleet keeps a number that was given up."""
    world.kube.write(
        ("fleets", "", "default"), {}, {"spec": {"telephony": {"quarantineDays": days}}}
    )


async def live(world: World, story: Story, quarantine_days: int) -> Watched:
    """Do all of that, rest, and look at how it has ended."""
    watched = Watched(world)
    world.begin()
    quarantine(world, quarantine_days)
    for deed, pause in story:
        watched.do(deed)
        await asyncio.sleep(pause)
    watched.faults.clear()
    await asyncio.sleep(100 + SWEEP)
    watched.look(calls.strays)
    watched.look(calls.unheard)
    return watched


def run(story: Story, quarantine_days: int = 0) -> Watched:
    logging.disable(logging.CRITICAL)
    try:
        with virtual_time() as runner, simulated(STOCK) as world:
            return runner.run(live(world, story, quarantine_days))
    finally:
        logging.disable(logging.NOTSET)


def test_each_number_reaches_its_client_and_no_other() -> None:
    seen = Counter[str]()

    @settings(
        max_examples=FLEETS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    @given(STORIES, st.sampled_from([0, 0, 30]))
    def tell(story: Story, quarantine_days: int) -> None:
        watched = run(story, quarantine_days)
        assert not watched.wrong, "\n".join(watched.wrong)
        seen["fleets"] += 1
        seen["numbers judged"] += watched.judged
        seen["numbers"] += len(watched.holders)
        seen["numbers held by two or more"] += sum(len(h) > 1 for h in watched.holders.values())

    tell()
    print(dict(seen))
    assert seen["fleets"] >= FLEETS
    # Or the property would be about fleets in which nothing happens.
    assert seen["numbers held by two or more"]


@pytest.mark.parametrize(
    ("retain", "quarantine_days", "moves"),
    [(True, 0, True), (True, 30, False), (False, 30, True)],
    ids=["moved", "quarantined", "released and bought again"],
)
def test_a_number_changes_hands(retain: bool, quarantine_days: int, moves: bool) -> None:
    """The stories that the property is made of do happen."""
    watched = run(
        [
            (("apply", "ann", ["main", "second"], retain), 60.0),
            (("apply", "ann", ["main"], retain), 60.0),
            # As many as there are: one of them is what she had.
            (("apply", "ben", ALL, retain), 60.0),
        ],
        quarantine_days,
    )
    assert not watched.wrong
    assert any(len(held) > 1 for held in watched.holders.values()) is moves


def test_who_asks_for_exactly_a_free_number_gets_it() -> None:
    """And not a claim that has one already, and would be content with any."""
    watched = run(
        [
            (("apply", "ann", ["main", "second"], True), 60.0),
            (("apply", "ben", ["main"], True), 60.0),
            (("apply", "ann", ["main"], True), 60.0),
            (("take", "ben"), 60.0),
        ]
    )
    assert not watched.wrong
    assert any(len(held) > 1 for held in watched.holders.values())


def test_a_second_number_that_a_replaced_leader_has_taken_is_free_again() -> None:
    """It asks for the one that was free when it was stopped, its successor for another."""

    async def replaced() -> tuple[dict[str, None], Counter[str]]:
        with simulated(STOCK) as world:
            watched = Watched(world)
            world.begin()
            quarantine(world, days=0)
            # What was bought first is free last: the successor, who lists them, sees another order.
            for keys in (["main"], ["main", "second"], ["main"], []):
                watched.do(("apply", "ann", keys, True))
                await asyncio.sleep(60)

            def stop(request: str) -> Fault | None:
                if request != "kube PATCH phonenumbers/*":
                    return None
                world.fault = lambda _request: None
                return Fault.OLD_LEADER

            world.fault = stop
            watched.do(("apply", "ben", ["main"], True))
            await asyncio.sleep(60)
            watched.look(calls.unheard)
            phases = (number["status"]["phase"] for number in world.kube.all("phonenumbers"))
            return watched.wrong, Counter(phases)

    with virtual_time() as runner:
        wrong, phases = runner.run(replaced())
    assert not wrong
    assert phases == {"Bound": 1, "Available": 1}


def test_calls_find_their_way_at_every_moment_of_a_change_of_ingress() -> None:
    """From the trunk to instructions and back: no moment at which a caller is not heard."""

    async def change() -> tuple[dict[str, None], list[bool]]:
        with simulated(STOCK) as world:
            watched = Watched(world)
            world.begin()
            watched.do(("apply", "ann", ["main", "second"], False))
            await asyncio.sleep(60)
            moments = []

            def look(_request: str) -> None:
                watched.look(calls.unheard)
                moments.append(bool(world.paid.listed("number")[0]["trunk_sid"]))

            world.fault = look
            for voice in (True, False):
                watched.do(("apply", "ann", ["main", "second"], False, voice))
                await asyncio.sleep(60)
            # The trunk has precedence; but what is left of the other way is not to stay.
            assert not any(number["voice_url"] for number in world.paid.listed("number"))
            ways = [way for way, _ in itertools.groupby(moments)]
            return watched.wrong, ways

    with virtual_time() as runner:
        wrong, ways = runner.run(change())
    assert not wrong
    assert ways == [True, False, True]


def test_calls_by_instructions_go_on_as_they_came_where_the_fleet_is_encrypted() -> None:
    """Such a client is told so, and moved by an edit."""

    async def encrypt() -> tuple[dict[str, None], list[str]]:
        with simulated(STOCK) as world:
            watched = Watched(world)
            world.begin()
            watched.do(("apply", "ann", ["main"], False, True))
            await asyncio.sleep(60)
            reasons = []
            for change in (
                lambda: world.encrypt(True),
                lambda: watched.do(("apply", "ann", ["main"], False, False)),
            ):
                change()
                await asyncio.sleep(60)
                watched.look(calls.unheard)
                conditions = (world.client("ann") or {})["status"]["conditions"]
                reasons += [c["reason"] for c in conditions if c["type"] == "Ready"]
            return watched.wrong, reasons

    with virtual_time() as runner:
        wrong, reasons = runner.run(encrypt())
    assert not wrong
    assert reasons == ["IngressNotEncrypted", "Provisioned"]


def test_two_rules_that_are_crossed_are_caught() -> None:
    """The judge's own test: without it a judge that sees nothing would pass."""

    async def cross() -> tuple[list[str], list[str]]:
        with simulated(STOCK) as world:
            watched = Watched(world)
            world.begin()
            for name in ("ann", "ben"):
                watched.do(("apply", name, ["main"], False))
            await asyncio.sleep(60)
            right = [*calls.strays(world), *calls.unheard(world)]
            one, other = (rule.room_config.agents[0] for rule in world.livekit.rules.values())
            one.agent_name, other.agent_name = other.agent_name, one.agent_name
            return right, [*calls.strays(world), *calls.unheard(world)]

    with virtual_time() as runner:
        right, wrong = runner.run(cross())
    assert not right
    assert {words.rpartition("reaches ")[2] for words in wrong} >= {"ann", "ben"}
