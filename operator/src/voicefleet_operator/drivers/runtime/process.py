"""Each client a plain child process: for machines without Podman, development only.

Nothing is isolated: the processes see one another's files and ports, and have no memory limit.
They outlive the operator; a new one finds them by `unit.json` in the client's folder.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from voicefleet_operator.drivers.errors import Gone, Rejected
from voicefleet_operator.drivers.runtime.base import ClientFiles, hash_spec, replace_file
from voicefleet_operator.drivers.runtime.probing import Prober, Target, is_registered
from voicefleet_operator.planning.desired import config_hash
from voicefleet_operator.planning.observed import AgentUnit, UnitSpec, client_of

RECIPE = "process/3"
DRAIN_SECONDS = 5
STOP_SECONDS = DRAIN_SECONDS + 5
RESTART_SECONDS = 2.0
"""Between a start and the next of the same unit."""
UNISOLATED = "Runs as a plain process, without isolation: for development only"


@dataclass(frozen=True, slots=True)
class _Running:
    """What is written down about a process, so that another operator finds it."""

    pid: int
    started: int
    """Clock ticks since boot: with it a process ID means one process for ever."""
    port: int
    spec_hash: str


class ProcessRuntime:
    """A `RuntimeDriver`."""

    def __init__(self, state_dir: Path, models_folder: Path | None = None) -> None:
        self._models = models_folder
        self._state = state_dir / "process"
        self._volumes = state_dir / "process-data"
        self._prober = Prober()
        self._locks: dict[str, asyncio.Lock] = {}
        # Secrets are not written down: after a restart of the operator `apply` brings them again.
        self._specs: dict[str, UnitSpec] = {}
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    async def list(self) -> dict[str, AgentUnit]:
        running = {unit: self._running(unit) for unit in ClientFiles.all(self._state)}
        configs = {unit: ClientFiles.of(self._state, unit).read_config() for unit in running}
        self._prober.retarget(
            {
                unit: Target(process.port, configs[unit][1])
                for unit, process in running.items()
                if process is not None
            }
        )
        health = await self._prober.health()
        return {
            unit: AgentUnit(
                client_id=client_of(unit)[0],
                spec_hash=process.spec_hash if process is not None else "",
                config_hash=configs[unit][0],
                running=process is not None,
                registered=is_registered(health.get(unit)),
                message=UNISOLATED if process is not None else "The agent's process has ended",
                health=health.get(unit),
            )
            for unit, process in running.items()
        }

    async def apply(self, spec: UnitSpec) -> None:
        if importlib.util.find_spec("voicefleet_agent") is None:
            raise Rejected(
                "AgentMissing",
                "the package voicefleet-agent is not installed beside the operator",
                hint="Use the runtime class podman, or install the package",
            )
        async with self._lock(spec.unit_id):
            ClientFiles.of(self._state, spec.unit_id).write_config(spec.config_json)
            self._specs[spec.unit_id] = spec
            process = self._running(spec.unit_id)
            if process is not None and process.spec_hash == self.spec_hash(spec):
                return
            if process is not None:
                await self._stop(process)
            await asyncio.to_thread(self._start, spec)

    async def configure(self, unit: str, config_json: str) -> None:
        files = ClientFiles.of(self._state, unit)
        if not files.folder.is_dir():
            raise Gone("UnitMissing", f"{unit} is no unit")
        async with self._lock(unit):
            await asyncio.to_thread(files.write_config, config_json)

    async def remove(self, unit: str) -> None:
        async with self._lock(unit):
            self._specs.pop(unit, None)
            process = self._running(unit)
            if process is not None:
                await self._stop(process)
            # Its folder last: what was cut short is seen in the listing.
            if not ClientFiles.beside(self._state, unit).folder.exists():
                await asyncio.to_thread(shutil.rmtree, self._data(unit), ignore_errors=True)
            folder = ClientFiles.of(self._state, unit).folder
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def spec_hash(self, spec: UnitSpec) -> str:
        return hash_spec(spec, RECIPE, str(self._models))

    def config_hash(self, config_json: str) -> str:
        return config_hash(config_json)

    async def watch(self, callback: Callable[[str], None]) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._prober.watch(self.list, callback))
            group.create_task(self._keep_running())

    async def _keep_running(self) -> None:
        """What Podman's restart policy does."""
        while True:
            await asyncio.sleep(RESTART_SECONDS)
            for unit in [*self._specs]:
                async with self._lock(unit):
                    spec = self._specs.get(unit)
                    if spec is not None and self._running(unit) is None:
                        await asyncio.to_thread(self._start, spec)

    def _lock(self, unit: str) -> asyncio.Lock:
        """The client's, since its units share its data."""
        return self._locks.setdefault(client_of(unit)[0], asyncio.Lock())

    def _data(self, unit: str) -> Path:
        return self._volumes / client_of(unit)[0]

    def _start(self, spec: UnitSpec) -> None:
        files = ClientFiles.of(self._state, spec.unit_id)
        port = _free_port()
        env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "VOICEFLEET_CONFIG": str(files.config),
            "VOICEFLEET_DATA": str(self._data(spec.unit_id)),
            "VOICEFLEET_SLOT": spec.slot,
            "VOICEFLEET_HEALTH_HOST": "127.0.0.1",
            "VOICEFLEET_HEALTH_PORT": str(port),
            "VOICEFLEET_DRAIN_SECONDS": str(DRAIN_SECONDS),
            **({"VOICEFLEET_MODELS": str(self._models)} if self._models else {}),
            **spec.secrets,
        }
        with (files.folder / "agent.log").open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "voicefleet_agent"],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # The operator's own signals are not the agents'.
                start_new_session=True,
            )
        self._children[child.pid] = child
        started = _start_time(child.pid)
        if started is None:
            raise Rejected("AgentFailed", "the agent ended at once", hint=f"See {log.name}")
        running = _Running(child.pid, started, port, self.spec_hash(spec))
        replace_file(_unit_file(files), json.dumps(asdict(running)), mode=0o600)

    def _running(self, unit: str) -> _Running | None:
        """The unit's process if it lives."""
        try:
            text = _unit_file(ClientFiles.of(self._state, unit)).read_text()
            process = _Running(**json.loads(text))
        except (OSError, ValueError, TypeError):
            return None
        return process if self._alive(process) else None

    def _alive(self, process: _Running) -> bool:
        child = self._children.get(process.pid)
        if child is not None and child.poll() is not None:
            del self._children[process.pid]
        return _start_time(process.pid) == process.started

    async def _stop(self, process: _Running) -> None:
        """End the process and what it has started."""
        deadline = time.monotonic() + STOP_SECONDS
        _send(os.kill, process.pid, signal.SIGTERM)
        while self._alive(process):
            if time.monotonic() > deadline:
                _send(os.killpg, process.pid, signal.SIGKILL)
            await asyncio.sleep(0.05)


def _unit_file(files: ClientFiles) -> Path:
    return files.folder / "unit.json"


def _send(kill: Callable[[int, int], None], pid: int, signum: signal.Signals) -> None:
    try:
        kill(pid, signum)
    except ProcessLookupError:
        return


def _start_time(pid: int) -> int | None:
    """Of a living process, from proc(5) `/proc/<pid>/stat`; None where there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else int(fields[19])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
