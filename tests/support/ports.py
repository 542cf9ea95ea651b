"""Ports that nobody has, for a service or for a whole platform.

Below those that the kernel gives to outgoing connections (32768 and up): it could give one away
between our look and the listening. Tests that run side by side look in ranges of their own.
"""

from __future__ import annotations

import os
import random
import socket
from pathlib import Path

from voicefleet_infra.platform import Platform

_SHARE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_TRIES = 200


def _free(port: int) -> bool:
    """On every address: what is on the machine's alone is in the way, too."""
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tcp.bind(("", port))
            udp.bind(("", port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """One for TCP or UDP. Raises `RuntimeError` where none is found."""
    for _ in range(_TRIES):
        port = random.randrange(10_000, 12_000) + 2_000 * (_SHARE % 3)
        if _free(port):
            return port
    raise RuntimeError("no free port")


def free_platform(home: Path) -> Platform:
    """A platform whose ports are all free. Raises `RuntimeError` where none is found."""
    for _ in range(_TRIES):
        base = random.randrange(18_000, 24_000) + 6_500 * (_SHARE % 2)
        platform = Platform(home=home, base_port=base)
        if all(_free(port) for port, _ in platform.ports().values()):
            return platform
    raise RuntimeError("no free ports for a platform")
