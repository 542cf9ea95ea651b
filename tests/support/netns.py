"""A telephone network on one machine: hosts in network namespaces, a switch, cables to pull.

Each host has an address of its own in `NETWORK` on one wire, `eth0`. Nothing leads out, and nothing
of the machine's own network is touched, so labs of several processes do not meet. Namespaces are
called `vf-PID-HOST` after the process that made them, which has one lab at a time: what a killed
one left behind, processes included, is removed when the next is made. Needs root, and iproute2.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil
import pytest

NETWORK = "198.18.0.0/24"
"""RFC 2544: for networks under test."""
_CLONE_NEWNET = 0x40000000
_NAMESPACES = Path("/var/run/netns")
_libc = ctypes.CDLL(None, use_errno=True)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")


@dataclass(frozen=True)
class Cable:
    """The wire between a host and the switch."""

    switch: str
    port: str

    def pull(self) -> None:
        """Nothing passes any more; neither side is told by the other."""
        _ip("-n", self.switch, "link", "set", "dev", self.port, "down")

    def plug(self) -> None:
        """As before."""
        _ip("-n", self.switch, "link", "set", "dev", self.port, "up")


@dataclass(frozen=True)
class Host:
    """A machine of the lab."""

    namespace: str
    address: str
    cable: Cable
    processes: list[subprocess.Popen[bytes]]
    """The lab's, to which those that are started here are added."""

    @contextmanager
    def inside(self) -> Iterator[None]:
        """What this thread opens or starts meanwhile (sockets, processes) is on this host."""
        with Path("/proc/thread-self/ns/net").open() as before:
            with (_NAMESPACES / self.namespace).open() as here:
                _enter(here.fileno())
            try:
                yield
            finally:
                _enter(before.fileno())

    def run(self, *command: str, path: str = "") -> str:
        """Run a program here to its end; what it says. Raises RuntimeError where it fails.

        `path` are folders to look in before the usual ones.
        """
        search = f"{path}:{os.environ['PATH']}:/usr/sbin:/sbin".lstrip(":")
        with self.inside():
            done = subprocess.run(
                command, env={**os.environ, "PATH": search}, capture_output=True, text=True
            )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout

    def start(self, command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        """Run a program here until the lab ends; what it says goes into `log`."""
        with self.inside(), log.open("ab") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        self.processes.append(process)
        return process


def _enter(namespace: int) -> None:
    # os.setns came with Python 3.12.
    if _libc.setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


class Lab:
    """`with Lab() as lab:` hosts made in it are gone afterwards, with all that runs on them."""

    def __init__(self) -> None:
        if os.geteuid() != 0 or not shutil.which("ip"):
            pytest.skip("network namespaces need root, and ip of iproute2")
        self._own = f"vf-{os.getpid()}-"
        self._hosts = 0
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        for namespace, owner in _labs().items():
            if owner == os.getpid() or not psutil.pid_exists(owner):
                _remove(namespace)
        switch = f"{self._own}switch"
        _ip("netns", "add", switch)
        _ip("-n", switch, "link", "add", "name", "bridge", "type", "bridge")
        _ip("-n", switch, "link", "set", "bridge", "up")
        return self

    def host(self, name: str) -> Host:
        """A new host, on the switch."""
        switch, namespace = f"{self._own}switch", self._own + name
        self._hosts += 1
        address = NETWORK.replace("0/24", str(self._hosts))
        _ip("netns", "add", namespace)
        _ip(
            "link", "add", "eth0", "netns", namespace, "type", "veth",
            "peer", "name", name, "netns", switch,
        )  # fmt: skip
        _ip("-n", switch, "link", "set", "dev", name, "master", "bridge", "up")
        _ip("-n", namespace, "addr", "add", f"{address}/24", "dev", "eth0")
        _ip("-n", namespace, "link", "set", "eth0", "up")
        _ip("-n", namespace, "link", "set", "lo", "up")
        return Host(namespace, address, Cable(switch, name), self._processes)

    def __exit__(self, *_: object) -> None:
        for namespace, owner in _labs().items():
            if owner == os.getpid():
                _remove(namespace)
        for process in self._processes:
            process.wait()


def _labs() -> dict[str, int]:
    """Namespaces of any lab -> the process that made them."""
    names = (re.fullmatch(r"vf-(\d+)-.+", entry.name) for entry in _NAMESPACES.glob("vf-*"))
    return {name[0]: int(name[1]) for name in names if name}


def _remove(namespace: str) -> None:
    """A namespace, and the processes in it: nobody else's is ever in one of that name."""
    shown = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True)
    for pid in map(int, shown.stdout.split()):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _ip("netns", "delete", namespace)
