"""Pods: containers that live and die together, with limits and a restart policy."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pulumi
from podman.errors import APIError
from pulumi.dynamic import Resource

from voicefleet_infra.components.dynamic import Properties
from voicefleet_infra.components.podman.api import OWNED, Podman
from voicefleet_infra.components.podman.provider import PodmanProvider
from voicefleet_infra.components.podman.resources import Secret
from voicefleet_infra.probes import tcp_open

HOST = "host"
"""The machine's own network, in place of a `Network`'s name."""
_READY_SECONDS = 120.0
_ATTEMPTS = 5
"""Starts after which a container that ends again and again is given up."""
_PIDS = 2048
_LOG_BYTES = 10 << 20


class PodFailed(Exception):
    """A container has ended, or does not listen in time; the text has its last words."""


@dataclass(frozen=True)
class SecretFile:
    """A secret as a file that only the container's root reads; `target` is an absolute path."""

    secret: Secret
    target: str


@dataclass(frozen=True)
class Mount:
    """A volume by its name, or a folder of the machine by its absolute path, at `target`."""

    source: pulumi.Input[str]
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class Port:
    """A port of the pod, published on the machine's loopback address (TCP)."""

    container: int
    machine: int


@dataclass(frozen=True)
class Container:
    """One program. Root in it, without capabilities, on a file system that it cannot change."""

    name: str
    image: pulumi.Input[str]
    command: Sequence[str]
    """Program and arguments; the image's own are not used."""
    memory_mib: int
    environment: Mapping[str, str] = field(default_factory=dict)
    """Shown by `podman inspect`: nothing secret."""
    secrets: Sequence[SecretFile] = ()
    mounts: Sequence[Mount] = ()
    stop_seconds: int = 10
    once: bool = False
    """Ends with success, and is then done; without it, it is started again whenever it ends."""
    sees_processes: bool = False
    """Of the whole machine, by their numbers in /proc."""

    def properties(self) -> dict[str, Any]:
        """As inputs of the resource."""
        return {
            "name": self.name,
            "image": self.image,
            "command": list(self.command),
            "memory_mib": self.memory_mib,
            "environment": dict(self.environment),
            "secrets": [
                {"name": s.secret.name, "version": s.secret.version, "target": s.target}
                for s in self.secrets
            ],
            "mounts": [
                {"source": m.source, "target": m.target, "read_only": m.read_only}
                for m in self.mounts
            ],
            "stop_seconds": self.stop_seconds,
            "once": self.once,
            "sees_processes": self.sees_processes,
            # What is wanted; a refresh says what is.
            "up": True,
        }


class _PodProvider(PodmanProvider):
    compared: ClassVar[tuple[str, ...]] = ("name", "network", "ports", "containers", "ready")

    def make(self, props: Properties) -> Properties:
        podman, name = self.podman, props["name"]
        there = podman.inspect("pods", name)
        if there and OWNED.items() <= (there.get("Labels") or {}).items():
            # Left over where an earlier attempt was cut short.
            podman.remove("pods", name)
        podman.create("pods", pod_request(props))
        try:
            for container in props["containers"]:
                podman.create("containers", container_request(name, container))
            podman.start_pod(name)
            _wait(podman, props)
        except (APIError, PodFailed):
            podman.remove("pods", name)
            raise
        return {}

    def observe(self, props: Properties) -> Properties | None:
        if self.podman.inspect("pods", props["name"]) is None:
            return None
        found = [self._observe(props["name"], wanted) for wanted in props["containers"]]
        return props | {"containers": [container for container in found if container]}

    def _observe(self, pod: str, wanted: Properties) -> Properties | None:
        """What Podman can change under us: the program and its image (a container of the same
        name), its limit (`podman update`), whether it runs."""
        found = self.podman.inspect("containers", f"{pod}-{wanted['name']}")
        if found is None:
            return None
        state = found["State"]
        done = wanted["once"] and state["Status"] == "exited" and state["ExitCode"] == 0
        return wanted | {
            "image": found["ImageName"],
            "command": [found["Config"]["Entrypoint"], *(found["Config"]["Cmd"] or [])],
            "memory_mib": found["HostConfig"]["Memory"] >> 20,
            "up": done or state["Status"] == "running",
        }

    def remove(self, props: Properties) -> None:
        seconds = max((c["stop_seconds"] for c in props["containers"]), default=0)
        self.podman.stop_pod(props["name"], seconds)
        self.podman.remove("pods", props["name"])


def pod_request(props: Properties) -> dict[str, Any]:
    """Body of `POST /pods/create` (PodSpecGenerator)."""
    body: dict[str, Any] = {"name": props["name"], "labels": OWNED}
    if props["network"] == HOST:
        return body | {"netns": {"nsmode": "host"}}
    return body | {
        "netns": {"nsmode": "bridge"},
        "Networks": {props["network"]: {}},
        "portmappings": [
            {
                "container_port": port["container"],
                "host_port": port["machine"],
                "host_ip": "127.0.0.1",
            }
            for port in props["ports"]
        ],
    }


def container_request(pod: str, props: Properties) -> dict[str, Any]:
    """Body of `POST /containers/create` (SpecGenerator)."""
    program, *arguments = props["command"]
    memory = props["memory_mib"] << 20
    folders = [mount for mount in props["mounts"] if mount["source"].startswith("/")]
    return {
        "name": f"{pod}-{props['name']}",
        "pod": pod,
        "image": props["image"],
        "labels": OWNED,
        "user": "0:0",
        "entrypoint": [program],
        "command": arguments,
        "env": props["environment"],
        "secrets": [
            {
                "Source": secret["name"],
                "Target": secret["target"],
                "UID": 0,
                "GID": 0,
                "Mode": 0o400,
            }
            for secret in props["secrets"]
        ],
        "volumes": [
            {
                "Name": mount["source"],
                "Dest": mount["target"],
                "Options": _options(mount),
            }
            for mount in props["mounts"]
            if mount not in folders
        ],
        "mounts": [
            *(
                {
                    "type": "tmpfs",
                    "destination": folder,
                    "options": ["size=64m", "mode=1777", "nosuid", "nodev"],
                }
                for folder in ("/tmp", "/var/run")  # noqa: S108
            ),
            *(
                {
                    "type": "bind",
                    "source": mount["source"],
                    "destination": mount["target"],
                    "options": [*_options(mount), "rbind"],
                }
                for mount in folders
            ),
        ],
        "restart_policy": "on-failure" if props["once"] else "always",
        "stop_timeout": props["stop_seconds"],
        # A first process that hands signals on; where it would not be the first, nothing is needed.
        **({"pidns": {"nsmode": "host"}} if props["sees_processes"] else {"init": True}),
        "read_only_filesystem": True,
        # Podman's entry for the user in /etc/passwd is gone after a reboot: who would need it then
        # finds out at once.
        "manage_password": False,
        "no_new_privileges": True,
        "cap_drop": ["ALL"],
        "resource_limits": {
            "memory": {"limit": memory, "swap": memory},
            "pids": {"limit": _PIDS},
        },
        "log_configuration": {"driver": "k8s-file", "size": _LOG_BYTES},
    }


def _options(mount: Properties) -> list[str]:
    return ["ro" if mount["read_only"] else "rw"]


def _wait(podman: Podman, props: Properties) -> None:
    """Until somebody listens at each address of `ready`; raises `PodFailed`."""
    begun = time.monotonic()
    addresses = [address.rsplit(":", 1) for address in props["ready"]]
    while not all(tcp_open(int(port), host) for host, port in addresses):
        late = time.monotonic() - begun > _READY_SECONDS
        for container in props["containers"]:
            full = f"{props['name']}-{container['name']}"
            found = podman.inspect("containers", full) or {}
            if late or found.get("RestartCount", 0) >= _ATTEMPTS:
                state = found.get("State", {}).get("Status", "missing")
                raise PodFailed(f"{full} is {state}, and says:\n{podman.log_end(full)}")
        time.sleep(0.2)


class Pod(Resource, module="podman", name="Pod"):
    """A pod that runs: its containers are started, and each address of `ready` (`host:port`, TCP)
    is listened on, or creation fails with a container's last words.

    Anything that changes is a new pod in the place of the old one.
    """

    name: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        containers: Sequence[Container],
        socket: str,
        opts: pulumi.ResourceOptions,
        *,
        network: pulumi.Input[str] = HOST,
        ports: Sequence[Port] = (),
        ready: Sequence[str] = (),
    ) -> None:
        props = {
            "name": name,
            "network": network,
            "ports": [{"container": p.container, "machine": p.machine} for p in ports],
            "containers": [container.properties() for container in containers],
            "ready": list(ready),
        }
        super().__init__(_PodProvider(socket), name, props, opts)
