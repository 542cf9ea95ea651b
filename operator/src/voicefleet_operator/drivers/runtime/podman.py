"""Each client a Podman pod of its own, by podman-py over Podman's Unix socket.

A unit is: a network `vf-<unit>` (bridge, no way to the other clients' bridges), secrets
`vf-<unit>-…` given as files in /secrets, a pod of the same name with one container, the volume
`vf-<client>` (the agent's /data, shared with the client's other unit), the folder that is mounted
as /config, and the one with the model gateways' sockets. The health port is published on 127.0.0.1
at a port that Podman chooses: it keeps it for the life of the pod, and it is reachable with
rootless Podman, where a pod's own address is not.

podman-py's `APIClient` is used rather than its objects: they need several requests for what one
listing says, and render options that Podman 4.3 does not know. API: libpod, Podman 4.3 and newer,
https://docs.podman.io/en/latest/_static/api.html.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import requests
from podman.api.client import APIClient
from podman.errors import APIError

from voicefleet_api.names import GROUP
from voicefleet_operator.drivers.errors import Ambiguous, Gone, Rejected, Unavailable
from voicefleet_operator.drivers.runtime.base import (
    HEALTH_PORT,
    LABEL_SLOT,
    LABEL_SPEC,
    UID,
    ClientFiles,
    hash_spec,
)
from voicefleet_operator.drivers.runtime.probing import Prober, Target, is_registered
from voicefleet_operator.planning.desired import config_hash
from voicefleet_operator.planning.observed import (
    AgentHealth,
    AgentUnit,
    Slot,
    UnitSpec,
    client_of,
    unit_id,
)

RECIPE = "podman/3"
"""Raise it when the units below are made otherwise: running ones are then replaced."""

LABEL_CLIENT = f"{GROUP}/client-id"
MODELS = "/run/voicefleet/models"
"""Where the model gateways' sockets are in a pod."""
PIDS = 512
LOG_BYTES = 10 << 20
DRAIN_SECONDS = 20
STOP_SECONDS = DRAIN_SECONDS + 5
"""The agent lets calls end for DRAIN_SECONDS; after STOP_SECONDS it is killed."""
REQUEST_TIMEOUT = 60.0
"""Seconds; creating a container on a busy machine takes a few."""
THREADS = 8


class PodmanRuntime:
    """A `RuntimeDriver`. One operation a client at a time; clients side by side."""

    def __init__(
        self, state_dir: Path, socket: Path, image: str, models_folder: Path | None = None
    ) -> None:
        self._models = models_folder
        self._state = state_dir / "podman"
        self._image = image
        self._podman = _Podman(socket)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="podman")
        self._locks: dict[str, asyncio.Lock] = {}
        self._prober = Prober()

    async def list(self) -> dict[str, AgentUnit]:
        """One request to Podman; whether each is registered comes from the prober."""
        containers = await self._in_thread(self._containers)
        targets = {
            unit: Target(port, ClientFiles.of(self._state, unit).read_config()[1])
            for unit, container in containers.items()
            if (port := _health_port(container)) is not None
        }
        self._prober.retarget(targets)
        health = await self._prober.health()
        units = {
            unit: self._unit(unit, container, health.get(unit))
            for unit, container in containers.items()
        }
        # The folder is made first and removed last: where it stands alone, something was cut short.
        for unit in await self._in_thread(ClientFiles.all, self._state):
            client_id, _ = client_of(unit)
            units.setdefault(
                unit, AgentUnit(client_id, "", "", False, False, "The agent has no container")
            )
        return units

    async def apply(self, spec: UnitSpec) -> None:
        async with self._lock(spec.unit_id):
            await self._in_thread(self._apply, spec)

    async def configure(self, unit: str, config_json: str) -> None:
        async with self._lock(unit):
            await self._in_thread(ClientFiles.of(self._state, unit).write_config, config_json)

    async def remove(self, unit: str) -> None:
        async with self._lock(unit):
            await self._in_thread(self._remove, unit)

    def spec_hash(self, spec: UnitSpec) -> str:
        return hash_spec(spec, RECIPE, self._image, str(self._models))

    def config_hash(self, config_json: str) -> str:
        return config_hash(config_json)

    async def watch(self, callback: Callable[[str], None]) -> None:
        await self._prober.watch(self.list, callback)

    def _lock(self, unit: str) -> asyncio.Lock:
        """The client's, since its units share its volume."""
        return self._locks.setdefault(client_of(unit)[0], asyncio.Lock())

    async def _in_thread(self, function: Callable[..., Any], *arguments: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    # --- in threads -------------------------------------------------------------------------------

    def _containers(self) -> dict[str, dict[str, Any]]:
        """By unit ID: the agent's container; the pod's own where the agent's is missing."""
        found: dict[str, dict[str, Any]] = {}
        listed = self._podman.get("/containers/json", all="true", filters=_labelled(LABEL_CLIENT))
        for container in sorted(listed, key=lambda c: not c["IsInfra"]):
            labels = container["Labels"]
            slot = Slot(labels.get(LABEL_SLOT, Slot.BLUE))
            found[unit_id(labels[LABEL_CLIENT], slot)] = container
        return found

    def _unit(self, unit: str, container: dict[str, Any], health: AgentHealth | None) -> AgentUnit:
        ghost = _is_ghost(container)
        running = not container["IsInfra"] and _runs(container)
        message = ""
        if ghost:
            message = "The agent's process is gone, and Podman has not noticed"
        elif not running:
            message = f"The agent's container is {container['State']}"
        elif not is_registered(health):
            message = "The agent is running and not registered with LiveKit"
        return AgentUnit(
            client_id=client_of(unit)[0],
            spec_hash=container["Labels"].get(LABEL_SPEC, "") if running else "",
            config_hash=ClientFiles.of(self._state, unit).read_config()[0],
            running=running,
            registered=running and is_registered(health),
            message=message,
            health=health,
        )

    def _apply(self, spec: UnitSpec) -> None:
        files = ClientFiles.of(self._state, spec.unit_id)
        files.write_config(spec.config_json)
        name = _name(spec.unit_id)
        wanted = self.spec_hash(spec)
        there = self._containers().get(spec.unit_id)
        if there is not None and not there["IsInfra"]:
            if there["Labels"].get(LABEL_SPEC) == wanted and _runs(there):
                return
            # One that has stopped is made anew, not started: after a reboot rootless Podman 4
            # starts a pod without the ports that it publishes.
            self._podman.stop(f"/containers/{name}-agent/stop")
        # What an earlier attempt or an earlier spec has left; the volume stays.
        self._clear(spec.unit_id)
        labels = {
            LABEL_CLIENT: spec.client_id,
            LABEL_SLOT: spec.slot,
            f"{GROUP}/fleet-id": spec.mark.fleet_id,
            f"{GROUP}/namespace": spec.mark.namespace,
            f"{GROUP}/name": spec.mark.name,
        }
        secrets = {variable: _secret_name(name, variable) for variable in spec.secrets}
        for variable, secret in secrets.items():
            self._podman.post("/secrets/create", data=spec.secrets[variable].encode(), name=secret)
        self._podman.create(
            "/networks/create",
            {
                "name": name,
                "driver": "bridge",
                # Nothing in a client's network has a name worth asking for.
                "dns_enabled": False,
                # Netavark: no packet from or to another bridge that says the same.
                "options": {"isolate": "true"},
                "labels": labels,
            },
        )
        volume = _name(spec.client_id)
        if not self._podman.exists(f"/volumes/{volume}/exists"):
            self._podman.create("/volumes/create", {"Name": volume, "Labels": labels})
        self._podman.create(
            "/pods/create",
            {
                "name": name,
                "labels": labels,
                "netns": {"nsmode": "bridge"},
                "Networks": {name: {}},
                "portmappings": [
                    {"container_port": HEALTH_PORT, "host_ip": "127.0.0.1", "host_port": 0}
                ],
            },
        )
        # The container alone carries the hash: it is made last, so the hash says "whole".
        self._podman.create(
            "/containers/create",
            {
                "name": f"{name}-agent",
                "pod": name,
                "image": self._image,
                "labels": labels | {LABEL_SPEC: wanted},
                "env": {
                    "VOICEFLEET_HEALTH_PORT": str(HEALTH_PORT),
                    "VOICEFLEET_DRAIN_SECONDS": str(DRAIN_SECONDS),
                    "VOICEFLEET_SLOT": spec.slot,
                    **({"VOICEFLEET_MODELS": MODELS} if self._models else {}),
                },
                # As files: what is given as environment is shown by `podman inspect`. Not in
                # /run/secrets: Podman 4.3 mounts a folder over it, read-only, and then fails.
                "secrets": [
                    {
                        "Source": secret,
                        "Target": f"/secrets/{variable}",
                        "UID": UID,
                        "GID": UID,
                        "Mode": 0o400,
                    }
                    for variable, secret in secrets.items()
                ],
                "restart_policy": "always",
                "stop_timeout": STOP_SECONDS,
                # The kernel does not deliver SIGTERM to a first process that has no handler for
                # it, which the agent's Python has not while it starts.
                "init": True,
                "read_only_filesystem": True,
                "no_new_privileges": True,
                "cap_drop": ["ALL"],
                "volumes": [{"Name": volume, "Dest": "/data"}],
                "mounts": [
                    {
                        "type": "bind",
                        "source": str(files.config_folder),
                        "destination": "/config",
                        "options": ["ro", "rbind"],
                    },
                    *_gateways(self._models),
                    {
                        "type": "tmpfs",
                        "destination": "/tmp",  # noqa: S108
                        "options": ["size=16m", "mode=1777", "nosuid", "nodev"],
                    },
                ],
                "resource_limits": {
                    "memory": {"limit": spec.memory_mib << 20, "swap": spec.memory_mib << 20},
                    "pids": {"limit": PIDS},
                },
                "log_configuration": {"driver": "k8s-file", "size": LOG_BYTES},
            },
        )
        self._podman.post(f"/pods/{name}/start")

    def _remove(self, unit: str) -> None:
        name = _name(unit)
        # Before its pod, whose network would go first and cut the calls that are to end.
        self._podman.stop(f"/containers/{name}-agent/stop")
        self._clear(unit)
        if not ClientFiles.beside(self._state, unit).folder.exists():
            self._podman.delete(f"/volumes/{_name(client_of(unit)[0])}", force="true")
        shutil.rmtree(ClientFiles.of(self._state, unit).folder, ignore_errors=True)

    def _clear(self, unit: str) -> None:
        """Remove pod, network and secrets."""
        name = _name(unit)
        self._podman.delete(f"/pods/{name}", force="true")
        self._podman.delete(f"/networks/{name}", force="true")
        for secret in self._podman.get("/secrets/json"):
            if secret["Spec"]["Name"].startswith(f"{name}-"):
                self._podman.delete(f"/secrets/{secret['Spec']['Name']}")


class _Podman:
    """podman-py's HTTP client, one a thread, with answers and errors as the drivers have them."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._local = threading.local()

    def get(self, path: str, **params: str) -> list[dict[str, Any]]:
        """A listing."""
        answer = self._send("GET", path, params=params)
        return cast(list[dict[str, Any]], answer.json() or [])

    def post(self, path: str, data: bytes | None = None, **params: str) -> None:
        """Do something; 304 (it is so already) is fine."""
        self._send("POST", path, params=params, data=data)

    def create(self, path: str, body: dict[str, Any]) -> None:
        """Create a thing."""
        self._send("POST", path, data=json.dumps(body).encode())

    def exists(self, path: str) -> bool:
        """Whether a thing exists."""
        try:
            self._send("GET", path)
        except Gone:
            return False
        return True

    def stop(self, path: str) -> None:
        """Stop a container that may not exist, as gently as it was made to be."""
        try:
            self._send("POST", path, timeout=STOP_SECONDS + REQUEST_TIMEOUT)
        except Gone:
            return

    def delete(self, path: str, **params: str) -> None:
        """Delete a thing that may not exist."""
        try:
            self._send("DELETE", path, params=params)
        except Gone:
            return

    def _client(self) -> APIClient:
        client = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = APIClient(base_url=f"unix://{self._socket}")
        return cast(APIClient, client)

    def _send(
        self, method: str, path: str, *, timeout: float = REQUEST_TIMEOUT, **request: Any
    ) -> Any:
        client = self._client()
        call = {"GET": client.get, "POST": client.post, "DELETE": client.delete}[method]
        try:
            answer = call(
                path, timeout=timeout, headers={"Content-Type": "application/json"}, **request
            )
            answer.raise_for_status()
        except APIError as error:
            raise _error(error, self._socket) from error
        except requests.Timeout as error:
            raise Ambiguous("PodmanTimeout", f"{method} {path}: no answer in time") from error
        except requests.RequestException as error:
            raise Ambiguous("PodmanUnreachable", f"{method} {path}: {error}") from error
        return answer


def _error(error: APIError, socket: Path) -> Exception:
    words = str(error.explanation or error)
    match error.status_code:
        case None:
            # podman-py: connecting failed, so nothing was sent.
            return Unavailable(
                "PodmanUnreachable", words, hint=f"Is `podman system service` at {socket} running?"
            )
        case 404 | 500 if "image not known" in words:
            return Rejected("ImageMissing", words, hint="Run `voicefleet up`; it builds the image")
        case 404:
            return Gone("NotFound", words)
        case 409:
            # A name in use, or a pod that did not start: the next attempt looks again.
            return Ambiguous("PodmanConflict", words)
        case status if status < 500:
            return Rejected("PodmanRejected", words)
    return Ambiguous("PodmanFailed", words)


def _gateways(folder: Path | None) -> list[dict[str, Any]]:
    """The mount of the folder and not of the sockets: a gateway that restarts makes a new one."""
    if folder is None:
        return []
    mount = {"type": "bind", "source": str(folder.absolute()), "destination": MODELS}
    return [{**mount, "options": ["ro", "rbind"]}]


def _name(unit: str) -> str:
    return f"vf-{unit}"


def _secret_name(name: str, variable: str) -> str:
    return f"{name}-{variable.lower().replace('_', '-')}"


def _labelled(label: str) -> str:
    return json.dumps({"label": [label]})


def _runs(container: dict[str, Any]) -> bool:
    return container["State"] == "running" and not _is_ghost(container)


def _is_ghost(container: dict[str, Any]) -> bool:
    """Whether Podman believes a container to run whose first process is gone.

    It hears of the end from the container's monitor, and from nobody where that was killed too
    (a machine out of memory, or one that crashed and has /run on its disk).
    """
    return container["State"] == "running" and not Path(f"/proc/{container['Pid']}").exists()


def _health_port(container: dict[str, Any]) -> int | None:
    for port in container.get("Ports") or []:
        if port["container_port"] == HEALTH_PORT:
            return int(port["host_port"])
    return None
