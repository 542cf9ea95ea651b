"""What a runtime driver is: it turns one client into one isolated unit that answers calls."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from voicefleet_api.names import GROUP
from voicefleet_operator.planning.desired import config_hash
from voicefleet_operator.planning.observed import AgentUnit, UnitSpec, client_of, unit_id

LABEL_SLOT = f"{GROUP}/slot"
LABEL_SPEC = f"{GROUP}/spec-hash"
HEALTH_PORT = 8081
UID = 10001
"""The agent's user in its image."""


class RuntimeDriver(Protocol):
    """Every method may be repeated, and may follow one that was killed half-way.

    A unit is known by `unit_id(client ID, slot)`; a client's units share its data. All methods
    raise `drivers.errors` only.
    """

    async def list(self) -> dict[str, AgentUnit]:
        """All units of this driver by unit ID.

        `spec_hash` is empty for a unit that is not whole or has stopped for good, so that
        `apply` is what follows.
        """
        ...

    async def apply(self, spec: UnitSpec) -> None:
        """Create the unit, or replace it where `spec_hash` differs; it is started, not awaited."""
        ...

    async def configure(self, unit: str, config_json: str) -> None:
        """Replace the configuration of a running unit; its next call uses it."""
        ...

    async def remove(self, unit: str) -> None:
        """Stop the unit, let its calls end for a while, and leave nothing of it.

        The client's data goes with the last of its units.
        """
        ...

    def spec_hash(self, spec: UnitSpec) -> str:
        """Of what only a restart can change."""
        ...

    def config_hash(self, config_json: str) -> str:
        """Of the configuration file."""
        ...

    async def watch(self, callback: Callable[[str], None]) -> None:
        """Call back with a client ID within 2 s after its unit stops or starts to be registered.

        Runs until it is cancelled.
        """
        ...


def hash_spec(spec: UnitSpec, *more: str) -> str:
    """Hash of `spec` and of what the driver adds (`more`), as 32 hexadecimal digits.

    Of the configuration only what the worker reads once counts; not its name, which says in which
    place it is. Secrets count, so that new ones
    replace the unit; nothing can be told of them from a truncated hash over all of it.
    """
    config = json.loads(spec.config_json)
    mark = spec.mark
    text = json.dumps(
        [
            spec.client_id,
            [mark.fleet_id, mark.client_id, mark.namespace, mark.name],
            config.get("livekitURL"),
            spec.memory_mib,
            sorted(spec.secrets.items()),
            more,
        ]
    )
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class ClientFiles:
    """A unit's folder under the driver's state: `<state>/<unit id>/`."""

    folder: Path

    @staticmethod
    def all(state: Path) -> list[str]:
        """Unit IDs that have a folder."""
        return [path.name for path in state.iterdir()] if state.is_dir() else []

    @classmethod
    def of(cls, state: Path, unit: str) -> ClientFiles:
        return cls(state.absolute() / unit)

    @classmethod
    def beside(cls, state: Path, unit: str) -> ClientFiles:
        """Those of the client's other unit, which may not be there."""
        client_id, slot = client_of(unit)
        return cls.of(state, unit_id(client_id, slot.other))

    @property
    def config_folder(self) -> Path:
        """Mounted as /config; the folder and not the file, which is replaced by renaming."""
        return self.folder / "config"

    @property
    def config(self) -> Path:
        return self.config_folder / "agent.json"

    def write_config(self, config_json: str) -> None:
        """Replace the configuration atomically; readable by the unit's user, its folder by us."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.config_folder.mkdir(mode=0o755, exist_ok=True)
        replace_file(self.config, config_json, mode=0o644)

    def read_config(self) -> tuple[str, str]:
        """The configuration's hash and the agent name in it; empty where there is none."""
        try:
            text = self.config.read_text()
            return config_hash(text), str(json.loads(text).get("agentName", ""))
        except (OSError, ValueError):
            return "", ""


def replace_file(path: Path, text: str, *, mode: int) -> None:
    """Write `path` whole or not at all."""
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        Path(partial).chmod(mode)
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
