"""The local platform's settings: where its state lives, and which ports it takes.

Everything is under one folder, and every port is a fixed step above one base, so that two
platforms (or a platform and its tests) live side by side on one machine.
"""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

BASE_PORT = 16000
ZONE = "fleet.test"
RTP_PORTS = 400
"""UDP ports for calls' sound, of each SIP bridge: two a call."""

# Steps above the base. 53, 60 and 443 are to be recognised: DNS, SIP, HTTPS.
_STEPS = {
    "etcd": 1,
    "etcd-peer": 2,
    "redis": 3,
    "livekit": 4,
    "livekit-tcp": 5,
    "livekit-udp": 6,
    "sandbox": 7,
    "metrics": 8,
    "portal": 9,
    "overflow": 10,
    "voice": 11,
    "agent-gateway": 12,
    "ollama": 13,
    "controllers": 14,
    "scheduler": 15,
    "kubelet": 16,
    "kubelet-health": 17,
    "smtp": 25,
    "dns": 53,
    "sip": 60,
    "sip-backup": 61,
    "sip-edge": 62,
    "sips": 63,
    "sips-backup": 64,
    "carrier": 70,
    "switch": 71,
    "kubernetes": 443,
    "rtp": 1000,
    "rtp-backup": 1000 + RTP_PORTS,
}
_UDP = {"livekit-udp", "sip", "sip-backup", "sip-edge", "carrier", "switch", "dns"}


def machine_address() -> str:
    """The address that this machine uses towards others; loopback where it has no route.

    A UDP socket's connect sends nothing: it only asks the kernel for a route (192.0.2.0/24 and
    198.51.100.0/24 are for documentation, RFC 5737).
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))
        except OSError:
            return "127.0.0.1"
        address: str = probe.getsockname()[0]
        return address


def default_home() -> Path:
    """`$VOICEFLEET_HOME`, else the XDG data folder."""
    given = os.environ.get("VOICEFLEET_HOME")
    if given:
        return Path(given)
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "voicefleet"


def cache_dir() -> Path:
    """What may be deleted and is made again: built binaries, image layers."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "voicefleet"


@dataclass(frozen=True)
class Platform:
    """One local platform."""

    home: Path
    base_port: int = BASE_PORT
    runtime: str = "podman"
    """podman, kubernetes or process: where clients' agents run."""
    cluster: Path | None = None
    """kubeconfig of a cluster that is there already; without one we run our own."""
    podman: Path | None = None
    """Socket of a Podman that is there already; without one we run our own."""

    @property
    def has_node(self) -> bool:
        """Whether our own API server has a node, on this machine; one that was made stays, or what
        runs on it could not be moved to another runtime."""
        wanted = self.runtime == "kubernetes" or self.path("node").exists()
        return wanted and self.cluster is None

    def port(self, name: str) -> int:
        """The port of a service."""
        return self.base_port + _STEPS[name]

    def ports(self) -> dict[str, tuple[int, str]]:
        """All ports that are listened on, with udp or tcp; RTP ranges by their first."""
        return {name: (self.port(name), "udp" if name in _UDP else "tcp") for name in _STEPS}

    @cached_property
    def address(self) -> str:
        """Where phones and pods reach LiveKit."""
        return machine_address()

    def path(self, *parts: str) -> Path:
        """A file or folder of the state."""
        return self.home.joinpath(*parts)

    def folder(self, *parts: str) -> Path:
        """A folder of the state, made if need be; for nobody else's eyes."""
        folder = self.path(*parts)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def secret(self, name: str, make: str = "") -> str:
        """A secret made once and kept; `make` is its value the first time, else it is random."""
        file = self.folder("secrets") / name
        if not file.exists():
            write_private(file, make or secrets.token_hex(24))
        return file.read_text()

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.cluster or self.path("kubeconfig")

    @property
    def portal_url(self) -> str:
        """Where people see calls."""
        return f"http://127.0.0.1:{self.port('portal')}"

    @property
    def voice_url(self) -> str:
        """Where the sandbox's carrier asks what is next."""
        return f"http://127.0.0.1:{self.port('voice')}"

    @property
    def sandbox_url(self) -> str:
        """Where Stripe, Twilio and ElevenLabs are stood in for."""
        return f"http://127.0.0.1:{self.port('sandbox')}"


def write_private(file: Path, text: str) -> Path:
    """Write a file that only its owner may read, in one step."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.touch(mode=0o600)
    temporary.write_text(text)
    temporary.replace(file)
    return file
