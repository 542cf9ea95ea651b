"""Units that exist in memory only and are registered at once: for benchmarks and tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from voicefleet_operator.drivers.errors import Gone
from voicefleet_operator.drivers.runtime.base import hash_spec
from voicefleet_operator.planning.desired import config_hash
from voicefleet_operator.planning.observed import AgentHealth, AgentUnit, UnitSpec


class StubRuntime:
    """A `RuntimeDriver` that runs nothing."""

    def __init__(self) -> None:
        self._units: dict[str, AgentUnit] = {}
        self._callbacks: list[Callable[[str], None]] = []

    async def list(self) -> dict[str, AgentUnit]:
        return dict(self._units)

    async def apply(self, spec: UnitSpec) -> None:
        self._units[spec.unit_id] = AgentUnit(
            client_id=spec.client_id,
            spec_hash=self.spec_hash(spec),
            config_hash=self.config_hash(spec.config_json),
            running=True,
            registered=True,
            message="A stub: nothing answers",
            health=AgentHealth(registered=True),
        )
        self._changed(spec.client_id)

    async def configure(self, unit: str, config_json: str) -> None:
        if unit not in self._units:
            raise Gone("UnitMissing", f"{unit} is no unit")
        configured = replace(self._units[unit], config_hash=self.config_hash(config_json))
        self._units[unit] = configured

    async def remove(self, unit: str) -> None:
        removed = self._units.pop(unit, None)
        if removed is not None:
            self._changed(removed.client_id)

    def spec_hash(self, spec: UnitSpec) -> str:
        return hash_spec(spec, "stub")

    def config_hash(self, config_json: str) -> str:
        return config_hash(config_json)

    async def watch(self, callback: Callable[[str], None]) -> None:
        self._callbacks.append(callback)
        try:
            await asyncio.Event().wait()
        finally:
            self._callbacks.remove(callback)

    def _changed(self, client_id: str) -> None:
        for callback in self._callbacks:
            callback(client_id)
