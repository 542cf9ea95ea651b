"""What the environment says; everything else is in the client's configuration file.

| variable | default | |
|---|---|---|
| `VOICEFLEET_CONFIG` | `/config/agent.json` | `AgentConfig`, replaced atomically by the operator |
| `VOICEFLEET_DATA` | `/data` | the client's own: phrases made ahead, calendar, call records |
| `VOICEFLEET_SLOT` | `blue` | `green` for the second of two agents on one volume |
| `VOICEFLEET_MODELS` | `/run/voicefleet/models` | folder of the platform's sockets; empty: none |
| `VOICEFLEET_HEALTH_HOST` | `0.0.0.0` | address of the health server |
| `VOICEFLEET_HEALTH_PORT` | `8081` | port of the health server |
| `VOICEFLEET_MAX_CALL_SECONDS` | `7200` | longest call, whatever LiveKit's trunk says |
| `VOICEFLEET_DRAIN_SECONDS` | `20` | how long calls may go on after SIGTERM |
| `VOICEFLEET_SECRETS` | `/secrets` | files, each a variable of the environment to be |
| `VOICEFLEET_MODELS_KEY` | | the overflow agent's alone: file with the key of clients' tokens |
| `MODELS_TOKEN` | | secret, the client's token for those sockets |
| `CALDAV_USERNAME`, `CALDAV_PASSWORD` | | secrets, where the business has a CalDAV calendar |
| `LIVEKIT_URL` | | set from the configuration: the agent gateway |
| `LIVEKIT_API_KEY`, `LIVEKIT_API_SECRET` | | secrets, the client's own, for the agent gateway |
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from voicefleet_agent.logs import LOGGER
from voicefleet_agent.reach import Reach, by_gateway, by_socket
from voicefleet_agent.turns import Timing
from voicefleet_api import endpointing
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.endpointing import Endpointing

log = logging.getLogger(LOGGER)

_MODELS = "/run/voicefleet/models"
SECRETS = (
    "LIVEKIT_API_KEY",
    "LIVEKIT_API_SECRET",
    "MODELS_TOKEN",
    "CALDAV_USERNAME",
    "CALDAV_PASSWORD",
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The environment, typed."""

    config: Path
    data: Path
    models: Path | None
    health_host: str
    health_port: int
    max_call_seconds: float
    drain_seconds: int
    secrets: Path = Path("/secrets")
    slot: str = "blue"
    models_key: Path | None = None

    @classmethod
    def from_env(cls) -> Settings:
        """Read `os.environ`; raises ValueError for a number that is none."""
        env = os.environ.get
        return cls(
            config=Path(env("VOICEFLEET_CONFIG", "/config/agent.json")),
            data=Path(env("VOICEFLEET_DATA", "/data")),
            models=Path(models) if (models := env("VOICEFLEET_MODELS", _MODELS)) else None,
            # In a pod this is the pod's own network namespace.
            health_host=env("VOICEFLEET_HEALTH_HOST", "0.0.0.0"),  # noqa: S104
            health_port=int(env("VOICEFLEET_HEALTH_PORT", "8081")),
            max_call_seconds=float(env("VOICEFLEET_MAX_CALL_SECONDS", "7200")),
            drain_seconds=int(env("VOICEFLEET_DRAIN_SECONDS", "20")),
            secrets=Path(env("VOICEFLEET_SECRETS", "/secrets")),
            slot=env("VOICEFLEET_SLOT", "blue"),
            models_key=Path(key) if (key := env("VOICEFLEET_MODELS_KEY")) else None,
        )

    @property
    def phrases(self) -> Path:
        """Where sentences spoken ahead are kept; the other version has other sentences."""
        return self.data / ("phrases" if self.slot == "blue" else f"phrases-{self.slot}")

    @property
    def tally(self) -> Path:
        """Where calls' processes say what came of them."""
        return self.data / "tally" / self.slot

    @property
    def housekeeping(self) -> Path:
        """Locked by the worker that looks after the volume."""
        return self.data / "worker.lock"

    @property
    def calendar(self) -> Path:
        """Where appointments are kept."""
        return self.data / "calendar"

    @property
    def spool(self) -> Path:
        """Where call records wait for their delivery."""
        return self.data / "spool"

    def reach(self, service: str) -> Reach:
        """One of the platform's services: `stt`, `llm`, `tts`, `portal`."""
        if self.models is not None:
            return by_socket(self.models, service)
        return by_gateway(os.environ["LIVEKIT_URL"], service)


def load_secrets() -> None:
    """Take secrets from files, where they are given so: an environment is easily shown."""
    folder = Path(os.environ.get("VOICEFLEET_SECRETS", "/secrets"))
    for name in SECRETS:
        file = folder / name
        if file.is_file():
            os.environ[name] = file.read_text().strip()


def read_config(path: Path) -> AgentConfig:
    """Parse the client's configuration; raises OSError, or ValueError when it is not valid."""
    return AgentConfig.model_validate_json(path.read_bytes())


def read_timing(models: Path | None) -> Timing:
    """When a turn ends on this machine (`voicefleet_api.endpointing`); else as always."""
    if models is None:
        return Timing()
    file = models / endpointing.FILE
    try:
        return Timing().tuned(Endpointing.model_validate_json(file.read_bytes()))
    except FileNotFoundError:
        return Timing()
    except (OSError, ValueError) as error:
        log.error(
            "endpointing not taken",
            extra={"action": "ConfigInvalid", "error": type(error).__name__},
        )
        return Timing()
