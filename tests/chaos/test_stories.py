"""Random stories: people, faults, restarts and lost leases in any order; each comes right.

`HYPOTHESIS_PROFILE=long` tells many more and longer ones. A failure is shrunk to a short story.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from simulator import checks
from simulator.clock import virtual_time
from simulator.world import PLANS, SWEEP, Fault, numbers, simulated

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
CLIENTS = st.sampled_from(["a", "b"])
# Of a request, by how many others come before it.
SOON = st.integers(0, 30)
PAUSE = st.sampled_from([0.02, 0.05, 0.3, 3.0, 20.0])


class Stories(RuleBasedStateMachine):
    """Two clients, one controller at a time unless a lease is lost; then a long rest."""

    def __init__(self) -> None:
        super().__init__()
        logging.disable(logging.CRITICAL)
        self._stack = ExitStack()
        self._runner = self._stack.enter_context(virtual_time())
        self._world = self._stack.enter_context(simulated())
        self._faults: dict[int, Fault] = {}
        self._bought: dict[str, int] = {}
        self._world.fault = lambda _name: self._faults.pop(len(self._world.log), None)
        self._runner.run(self._begin())

    async def _begin(self) -> None:
        self._world.begin()
        await asyncio.sleep(20)

    @rule(name=CLIENTS, plan=st.sampled_from(sorted(PLANS)), second=st.booleans())
    def apply(self, name: str, plan: str, second: bool) -> None:
        wanted = numbers("main", "second") if second else numbers("main")
        self._do(lambda: self._world.apply(name, plan=plan, telephony=wanted))

    @rule(name=CLIENTS, suspend=st.booleans())
    def suspend(self, name: str, suspend: bool) -> None:
        if self._world.client(name) is not None:
            self._do(lambda: self._world.apply(name, suspend=suspend))

    @rule(name=CLIENTS)
    def delete(self, name: str) -> None:
        self._do(lambda: self._world.delete(name))

    @rule(words=st.sampled_from(["Hello", "Good morning"]))
    def greet(self, words: str) -> None:
        self._do(lambda: self._world.greet("words", words))

    @rule(fault=st.sampled_from(Fault), after=SOON)
    def meet(self, fault: Fault, after: int) -> None:
        """One of the next requests meets a fault."""
        self._faults[len(self._world.log) + after] = fault

    @precondition(lambda self: self._world.operators)
    @rule()
    def restart(self) -> None:
        self._do(self._world.restart)

    @precondition(lambda self: self._world.operators)
    @rule()
    def lose_the_lease(self) -> None:
        self._do(lambda: self._world.fail_over(self._world.operators[0]))

    @rule(seconds=PAUSE)
    def wait(self, seconds: float) -> None:
        self._runner.run(asyncio.sleep(seconds))

    def _do(self, deed: object) -> None:
        async def done() -> None:
            deed()  # type: ignore[operator]

        self._runner.run(done())

    def teardown(self) -> None:
        try:
            self._faults.clear()
            self._runner.run(asyncio.sleep(200 + SWEEP))
            assert not (wrong := checks.problems(self._world, {}, again=True)), "\n".join(wrong)
        finally:
            self._stack.close()
            logging.disable(logging.NOTSET)


Stories.TestCase.settings = settings(
    max_examples=2000 if LONG else 40,
    stateful_step_count=60 if LONG else 15,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
TestStories = Stories.TestCase
