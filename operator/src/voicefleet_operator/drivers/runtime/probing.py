"""Asks units on this machine whether they are registered, every second, and tells who changed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

import aiohttp

from voicefleet_operator.drivers.errors import VendorError

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
    """On 127.0.0.1."""
    agent_name: str


class Prober:
    """The newest answers of all units.

    The agent's page says 200 only while LiveKit holds its registration; the name in it is
    compared, as a port may have passed to another client's unit.
    """

    def __init__(self) -> None:
        self._targets: dict[str, Target] = {}
        self._answers: dict[str, tuple[float, bool]] = {}

    def retarget(self, targets: Mapping[str, Target]) -> None:
        """These units there are, and no others."""
        for client_id, target in self._targets.items():
            if targets.get(client_id) != target:
                self._answers.pop(client_id, None)
        self._targets = dict(targets)

    async def registered(self) -> dict[str, bool]:
        """Whether each unit is registered, not older than two rounds."""
        oldest = time.monotonic() - 2 * INTERVAL
        await self._ask(
            client_id
            for client_id in self._targets
            if self._answers.get(client_id, (0.0, False))[0] < oldest
        )
        return self._current()

    async def watch(
        self, relist: Callable[[], Awaitable[object]], callback: Callable[[str], None]
    ) -> None:
        """Ask until cancelled; `relist` is to call `retarget`."""
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
            current = self._current()
            for client_id in current.keys() | reported.keys():
                if current.get(client_id, False) != reported.get(client_id, False):
                    callback(client_id)
            reported = current
            await asyncio.sleep(max(0.0, INTERVAL - (time.monotonic() - begun)))

    def _current(self) -> dict[str, bool]:
        return {
            client_id: self._answers.get(client_id, (0.0, False))[1] for client_id in self._targets
        }

    async def _ask(self, client_ids: Iterable[str]) -> None:
        asked = [(client_id, self._targets[client_id]) for client_id in client_ids]
        if not asked:
            return
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT)) as session:
            answers = await asyncio.gather(*(_answer(session, target) for _, target in asked))
        now = time.monotonic()
        for (client_id, target), answer in zip(asked, answers, strict=True):
            if self._targets.get(client_id) == target:
                self._answers[client_id] = now, answer


async def _answer(session: aiohttp.ClientSession, target: Target) -> bool:
    try:
        async with session.get(f"http://127.0.0.1:{target.port}/") as response:
            if response.status != 200:
                return False
            page = await response.json()
            return isinstance(page, dict) and page.get("agentName") == target.agent_name
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return False
