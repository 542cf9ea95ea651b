"""Time that passes only while everybody waits: an hour takes no longer than what happens in it."""

from __future__ import annotations

import asyncio
import selectors
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import time_machine

START = datetime(2026, 3, 2, 9, tzinfo=UTC)


class _Skip(selectors.SelectSelector):
    """Waits for nobody: no socket is open, so only timers can end a wait."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("everybody waits for what never comes")
        self.loop.advance(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that skips its idle time, and takes the wall clock along."""

    def __init__(self, wall: time_machine.Traveller) -> None:
        selector = _Skip()
        selector.loop = self
        self._wall, self._seconds = wall, 0.0
        super().__init__(selector)

    def time(self) -> float:
        return self._seconds

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._seconds += seconds
        self._wall.shift(seconds)

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))]


@contextmanager
def virtual_time() -> Iterator[asyncio.Runner]:
    """Runs coroutines in a time, and the process's wall clock with it, that begins at START."""
    with (
        time_machine.travel(START, tick=False) as wall,
        asyncio.Runner(loop_factory=lambda: VirtualLoop(wall)) as runner,
    ):
        yield runner


def now_text() -> str:
    """The time as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
