"""Every fault at every request of a scenario, by forking.

The scenario runs once, without faults. At each of its requests the process forks one child for
each fault; the child meets the fault, runs the scenario to its end and tells what is wrong. So no
request can be left out, nothing has to be repeated to get to a point, and no child knows of
another.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import selectors
import signal
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from simulator import checks
from simulator.clock import virtual_time
from simulator.world import SWEEP, Fault, World, faults_of, simulated

_CHILD_SECONDS = 60
"""Of real time, after which a child is taken to go round in circles."""
_REST = 100.0
"""Of simulated time, after which everything has settled, back-offs included."""


@dataclass
class Scenario:
    """A story: `before` without faults, then `story` with them."""

    name: str
    story: Callable[[World], Awaitable[None]]
    before: Callable[[World], Awaitable[None]] | None = None
    expected: Callable[[World], dict[str, str]] = lambda _world: {}
    """Why which client is not Ready at the end, as in `checks`."""
    stock: int = 9
    mishap: tuple[str, Fault] | None = None
    """What the first request of that name always meets. Such a story is about what is only asked
    for after it: requests whose names no earlier scenario covered."""


@dataclass
class Told:
    """How one run of a scenario ended."""

    log: list[str]
    """Names of the requests that were made, in order."""
    problems: list[str]


@dataclass
class Report:
    """What came of a scenario."""

    points: int = 0
    requests: list[str] = field(default_factory=list)
    """Names of the requests whose points these are, as the world logged them."""
    covered: set[str] = field(default_factory=set)
    """Names of requests that met every fault."""
    seen: dict[str, str] = field(default_factory=dict)
    """Names of requests that were made at all, also after a fault, with a story of each."""
    failures: list[str] = field(default_factory=list)

    def take(self, story: str, told: Told) -> None:
        """Add how a run ended."""
        self.seen = dict.fromkeys(told.log, story) | self.seen
        if told.problems:
            self.failures.append("\n    ".join([story, *told.problems]))


class Branches:
    """Forks at each request, at most `jobs` children at a time."""

    def __init__(self, scenario: Scenario, jobs: int, covered: set[str]) -> None:
        self._scenario, self._jobs = scenario, jobs
        self._mishap, self._skipped = scenario.mishap, covered if scenario.mishap else set()
        self._ended = selectors.DefaultSelector()
        self._requests = 0
        self.report = Report()
        self._told: int | None = None
        """In a child: where to tell the parent of its end."""

    @property
    def in_child(self) -> bool:
        return self._told is not None

    def at(self, name: str) -> Fault | None:
        """What becomes of this request: nothing in the parent, one fault in each child."""
        if self.in_child:
            return None
        self._requests += 1
        if self._mishap is not None and self._mishap[0] == name:
            (_, fault), self._mishap = self._mishap, None
            return fault
        if name in self._skipped:
            return None
        self.report.covered.add(name)
        loop = asyncio.get_running_loop()
        for fault in faults_of(name):
            self.report.points += 1
            story = f"{self._scenario.name}: at request {self._requests}, {name}, {fault}"
            if self._fork(story):
                # It is a new process to asyncio, too.
                asyncio._set_running_loop(loop)
                return fault
        return None

    def _fork(self, story: str) -> bool:
        while len(self._ended.get_map()) >= self._jobs:
            self._collect()
        here, there = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(here)
            gc.disable()
            signal.alarm(_CHILD_SECONDS)
            self._told = there
            return True
        os.close(there)
        self._ended.register(here, selectors.EVENT_READ, (pid, story))
        return False

    def _collect(self) -> None:
        for key, _ in self._ended.select():
            pid, story = key.data
            self._ended.unregister(key.fd)
            with os.fdopen(key.fd) as told:
                text = told.read()
            os.waitpid(pid, 0)
            if not text:
                self.report.failures.append(f"{story}: it did not come to an end")
                continue
            end = json.loads(text)
            self.report.take(story, Told(end["log"], end["problems"]))

    def collect_all(self) -> None:
        """Wait for all children."""
        while self._ended.get_map():
            self._collect()

    def count(self, log: list[str]) -> None:
        """Check that each request in the log has met each fault."""
        if self._scenario.mishap is not None:
            if self._mishap is not None:
                self.report.failures.append(f"{self._scenario.name}: it never met {self._mishap}")
                return
            log.remove(self._scenario.mishap[0])
        self.report.requests = [name for name in log if name not in self._skipped]
        due = sum(len(faults_of(name)) for name in self.report.requests)
        if not due:
            self.report.failures.append(f"{self._scenario.name}: every request is covered already")
        if due != self.report.points:
            self.report.failures.append(
                f"{self._scenario.name}: {self.report.points} points, but {due} are due"
            )

    def end(self, told: Told) -> None:
        """In a child: tell, and end without a trace."""
        assert self._told is not None
        try:
            with os.fdopen(self._told, "w") as out:
                json.dump({"log": sorted(set(told.log)), "problems": told.problems}, out)
        finally:
            # Also where the parent is gone: a child must not go on as if it were the parent.
            os._exit(0)


def explore(scenario: Scenario, jobs: int, covered: set[str]) -> Report:
    """Run the scenario with each fault at each request; `covered`: by earlier scenarios."""
    branches = Branches(scenario, jobs, covered)
    # Once without children: what is imported and cached on first use is then in all of them.
    rehearsal = _tell(scenario, lambda _name: None, patience=lambda: SWEEP)
    if rehearsal.problems:
        branches.report.take(f"{scenario.name}, no fault", rehearsal)
        return branches.report
    gc.collect()
    gc.freeze()
    try:
        # After a fault, a sweep may be what mends it.
        told = _tell(scenario, branches.at, patience=lambda: branches.in_child * SWEEP)
    except BaseException:
        if not branches.in_child:
            raise
        told = Told([], traceback.format_exc().splitlines())
    if branches.in_child:
        branches.end(told)
    gc.unfreeze()
    branches.collect_all()
    branches.report.take(f"{scenario.name}, no fault", told)
    branches.count(told.log)
    return branches.report


def _tell(
    scenario: Scenario, fault: Callable[[str], Fault | None], patience: Callable[[], float]
) -> Told:
    """Run the scenario, and look what it has come to."""

    async def run() -> Told:
        with simulated(scenario.stock) as world:
            if scenario.before is not None:
                world.begin()
                await asyncio.sleep(_REST)
                await scenario.before(world)
                await asyncio.sleep(_REST)
            if scenario.before is not None and (wrong := checks.problems(world, {})):
                return Told([], ["before the story began:", *wrong])
            first = len(world.log)
            world.fault = fault
            await scenario.story(world)
            await asyncio.sleep(_REST)
            await asyncio.sleep(patience())
            return Told(world.log[first:], checks.problems(world, scenario.expected(world)))

    with virtual_time() as runner:
        return runner.run(run())
