"""A runtime driver behind a guard."""

from __future__ import annotations

from collections.abc import Callable

from voicefleet_operator.drivers.guard import Guard
from voicefleet_operator.drivers.runtime.base import RuntimeDriver
from voicefleet_operator.planning.observed import AgentUnit, UnitSpec


class GuardedRuntime:
    """Asks before each of the driver's operations; a `RuntimeDriver` itself."""

    def __init__(self, driver: RuntimeDriver, guard: Guard) -> None:
        self._driver, self._guard = driver, guard
        self.spec_hash, self.config_hash = driver.spec_hash, driver.config_hash

    async def list(self) -> dict[str, AgentUnit]:
        async with self._guard.request(writes=False):
            return await self._driver.list()

    async def apply(self, spec: UnitSpec) -> None:
        async with self._guard.request(writes=True):
            await self._driver.apply(spec)

    async def configure(self, unit: str, config_json: str) -> None:
        async with self._guard.request(writes=True):
            await self._driver.configure(unit, config_json)

    async def remove(self, unit: str) -> None:
        async with self._guard.request(writes=True):
            await self._driver.remove(unit)

    async def watch(self, callback: Callable[[str], None]) -> None:
        await self._driver.watch(callback)
