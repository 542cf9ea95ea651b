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
import sys
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from simulator import checks
from simulator.clock import virtual_time
from simulator.world import SWEEP, Fault, World, simulated

_CHILD_SECONDS = 60


@dataclass
class Scenario:
    """A story: `before` without faults, then `story` with them; `expected` as in `checks`."""

    name: str
    story: Callable[[World], Awaitable[None]]
    before: Callable[[World], Awaitable[None]] | None = None
    expected: dict[str, str] = field(default_factory=dict)
    stock: int = 9


@dataclass
class Report:
    """What came of a scenario."""

    points: int = 0
    covered: set[str] = field(default_factory=set)
    """Names of requests that met every fault."""
    seen: set[str] = field(default_factory=set)
    """Names of requests that were made at all, also after a fault."""
    failures: list[str] = field(default_factory=list)


class Branches:
    """Forks at each request, at most `jobs` children at a time."""

    def __init__(self, scenario: Scenario, jobs: int) -> None:
        self._scenario, self._jobs = scenario, jobs
        self._ended = selectors.DefaultSelector()
        self._requests = 0
        self.report = Report()
        self.tell: int | None = None
        """In a child: where to tell the parent of its end."""

    def at(self, name: str) -> Fault | None:
        """What becomes of this request: nothing in the parent, one fault in each child."""
        if self.tell is not None:
            return None
        self._requests += 1
        self.report.covered.add(name)
        loop = asyncio.get_running_loop()
        for fault in Fault:
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
            self.tell = there
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
            self.report.seen.update(end["seen"])
            if end["problems"]:
                self.report.failures.append("\n    ".join([story, *end["problems"]]))

    def collect_all(self) -> None:
        """Wait for all children."""
        while self._ended.get_map():
            self._collect()

    def end(self, seen: set[str], problems: list[str]) -> None:
        """In a child: tell, and end without a trace."""
        assert self.tell is not None
        with os.fdopen(self.tell, "w") as out:
            json.dump({"seen": sorted(seen), "problems": problems}, out)
        os._exit(0)


def explore(scenario: Scenario, jobs: int) -> Report:
    """Run the scenario with each fault at each request."""
    branches = Branches(scenario, jobs)

    async def run() -> tuple[set[str], list[str]]:
        with simulated(scenario.stock) as world:
            world.start()
            world.greet("words", "Hello")
            await asyncio.sleep(30)
            if scenario.before is not None:
                await scenario.before(world)
                await asyncio.sleep(100)
            assert not (wrong := checks.problems(world, {})), wrong
            first = len(world.log)
            world.fault = branches.at
            await scenario.story(world)
            await asyncio.sleep(100)
            world.fault = lambda _name: None
            if branches.tell is not None:
                # After a fault, a sweep may be what mends it.
                await asyncio.sleep(SWEEP)
            return set(world.log[first:]), checks.problems(world, scenario.expected)

    seen: set[str] = set()
    gc.collect()
    gc.freeze()
    try:
        with virtual_time() as runner:
            try:
                seen, wrong = runner.run(run())
            except BaseException:
                if branches.tell is None:
                    raise
                wrong = traceback.format_exc().splitlines()
            if branches.tell is not None:
                branches.end(seen, wrong)
    finally:
        gc.unfreeze()
        if branches.tell is None:
            branches.collect_all()
    branches.report.seen |= seen
    if wrong:
        branches.report.failures.append("\n    ".join([f"{scenario.name}, no fault", *wrong]))
    return branches.report


def main(chosen: list[str]) -> int:
    """Run scenarios by name, or all, and print what is wrong."""
    from simulator.scenarios import SCENARIOS

    failed = points = 0
    for scenario in SCENARIOS:
        if chosen and scenario.name not in chosen:
            continue
        report = explore(scenario, os.cpu_count() or 1)
        points, failed = points + report.points, failed + len(report.failures)
        print(f"{scenario.name}: points {report.points}, failed {len(report.failures)}", flush=True)
        for failure in report.failures:
            print("  " + failure)
        print("  only after faults:", sorted(report.seen - report.covered))
    print(f"points {points}, failed {failed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
