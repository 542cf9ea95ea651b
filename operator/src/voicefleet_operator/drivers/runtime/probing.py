"""Asks units how they are, every second, and tells whose registration changed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

import aiohttp

from voicefleet_operator.drivers.errors import VendorError
from voicefleet_operator.planning.observed import AgentHealth, client_of

logger = logging.getLogger(__name__)

INTERVAL = 1.0
"""Seconds between two rounds; a round asks all units at once."""
TIMEOUT = 1.0
"""Seconds for one answer; with INTERVAL it makes a change known within 2 s."""
RELIST_INTERVAL = 10.0
"""Seconds between two looks at what units there are at all."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a unit's health page is, and who must answer there."""

    port: int
    agent_name: str
    host: str = "127.0.0.1"
    """An IPv6 address in brackets."""


class Prober:
    """The newest answers of all units.

    The agent's page says 200 only while LiveKit holds its registration; the name in it is
    compared, as a port may have passed to another client's unit. Units are known by their IDs.
    """

    def __init__(self) -> None:
        self._targets: dict[str, Target] = {}
        self._answers: dict[str, tuple[float, AgentHealth | None]] = {}

    def retarget(self, targets: Mapping[str, Target]) -> None:
        """These units there are, and no others."""
        for unit, target in self._targets.items():
            if targets.get(unit) != target:
                self._answers.pop(unit, None)
        self._targets = dict(targets)

    async def health(self) -> dict[str, AgentHealth | None]:
        """What each unit says, not older than two rounds; None where it does not answer."""
        oldest = time.monotonic() - 2 * INTERVAL
        await self._ask(
            unit for unit in self._targets if self._answers.get(unit, (0.0, None))[0] < oldest
        )
        return self._current()

    async def watch(
        self, relist: Callable[[], Awaitable[object]], callback: Callable[[str], None]
    ) -> None:
        """Ask until cancelled; `relist` is to call `retarget`. Calls back with client IDs."""
        reported: dict[str, bool] = {}
        relist_at = 0.0
        while True:
            begun = time.monotonic()
            if begun >= relist_at:
                relist_at = begun + RELIST_INTERVAL
                try:
                    await relist()
                except VendorError as error:
                    logger.warning("listing units: %s", error)
            await self._ask(self._targets)
            current = {unit: is_registered(health) for unit, health in self._current().items()}
            for unit in current.keys() | reported.keys():
                if current.get(unit, False) != reported.get(unit, False):
                    callback(client_of(unit)[0])
            reported = current
            await asyncio.sleep(max(0.0, INTERVAL - (time.monotonic() - begun)))

    def _current(self) -> dict[str, AgentHealth | None]:
        return {unit: self._answers.get(unit, (0.0, None))[1] for unit in self._targets}

    async def _ask(self, units: Iterable[str]) -> None:
        asked = [(unit, self._targets[unit]) for unit in units]
        if not asked:
            return
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT)) as session:
            answers = await asyncio.gather(*(_answer(session, target) for _, target in asked))
        now = time.monotonic()
        for (unit, target), answer in zip(asked, answers, strict=True):
            if self._targets.get(unit) == target:
                self._answers[unit] = now, answer


def is_registered(health: AgentHealth | None) -> bool:
    """Whether a unit has answered that it is."""
    return health is not None and health.registered


async def _answer(session: aiohttp.ClientSession, target: Target) -> AgentHealth | None:
    try:
        async with session.get(f"http://{target.host}:{target.port}/") as response:
            page = await response.json()
            if not isinstance(page, dict) or page.get("agentName") != target.agent_name:
                return None
            return AgentHealth(
                registered=response.status == 200,
                started_at=page.get("startedAt", 0.0),
                active_calls=page.get("activeCalls", 0),
                ended_calls=page.get("endedCalls", 0),
                failed_calls=page.get("failedCalls", 0),
                answer_ms=page.get("answerMilliseconds"),
            )
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None
