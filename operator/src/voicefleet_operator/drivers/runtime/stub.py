"""Units that exist in memory only and are registered at once: for benchmarks and tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from voicefleet_operator.drivers.errors import Gone
from voicefleet_operator.drivers.runtime.base import hash_spec
from voicefleet_operator.planning.desired import config_hash
from voicefleet_operator.planning.observed import AgentUnit, UnitSpec


class StubRuntime:
    """A `RuntimeDriver` that runs nothing."""

    def __init__(self) -> None:
        self._units: dict[str, AgentUnit] = {}
        self._callbacks: list[Callable[[str], None]] = []

    async def list(self) -> dict[str, AgentUnit]:
        return dict(self._units)

    async def apply(self, spec: UnitSpec) -> None:
        self._units[spec.client_id] = AgentUnit(
            client_id=spec.client_id,
            spec_hash=self.spec_hash(spec),
            config_hash=self.config_hash(spec.config_json),
            running=True,
            registered=True,
            message="A stub: nothing answers",
        )
        self._changed(spec.client_id)

    async def configure(self, client_id: str, config_json: str) -> None:
        if client_id not in self._units:
            raise Gone("UnitMissing", f"{client_id} has no unit")
        unit = self._units[client_id]
        self._units[client_id] = replace(unit, config_hash=self.config_hash(config_json))

    async def remove(self, client_id: str) -> None:
        if self._units.pop(client_id, None) is not None:
            self._changed(client_id)

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
