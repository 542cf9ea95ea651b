"""Who is served next: clients take turns, and within a client the nearest deadline is first.

What is made ahead, with no caller waiting for it, gets its turn where no caller waits for one.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import NamedTuple


class TooMany(Exception):
    """The client has as much under way as it may have."""


class TooLate(Exception):
    """The deadline has passed before its turn came."""


class _Waiting(NamedTuple):
    ahead: bool
    deadline: float
    order: int
    granted: asyncio.Future[None]


class FairQueue:
    """`running` turns at the same time, `per_client` requests of one client under way.

    A turn goes to the client that has waited longest since its last one, whatever others have
    queued; those that a caller waits for come before all work ahead. Of one client no more than
    `running_per_client` run at the same time.
    """

    def __init__(self, *, running: int, per_client: int, running_per_client: int = 1) -> None:
        self._free = running
        self._per_client = per_client
        self._running_per_client = running_per_client
        self._admitted: Counter[str] = Counter()
        self._running: Counter[str] = Counter()
        self._waiting: dict[str, list[_Waiting]] = {}
        """None with nothing waiting."""
        self._last_turn: dict[str, int] = {}
        self._order = itertools.count(1)

    @contextmanager
    def admitted(self, client: str) -> Iterator[None]:
        """Counts a request from its first byte to its last; raises `TooMany`."""
        if self._admitted[client] >= self._per_client:
            raise TooMany
        self._admitted[client] += 1
        try:
            yield
        finally:
            _decrease(self._admitted, client)

    @asynccontextmanager
    async def turn(
        self, client: str, deadline: float, *, ahead: bool = False
    ) -> AsyncIterator[None]:
        """Waits for the client's turn and holds it; `deadline` in the loop's time.

        Raises `TooLate`. Who is cancelled while waiting is forgotten at once.
        """
        granted = asyncio.get_running_loop().create_future()
        entry = _Waiting(ahead, deadline, next(self._order), granted)
        self._waiting.setdefault(client, []).append(entry)
        self._grant()
        try:
            try:
                async with asyncio.timeout_at(deadline):
                    await entry.granted
            except TimeoutError:
                raise TooLate from None
            yield
        finally:
            if entry.granted.done() and not entry.granted.cancelled():
                self._free += 1
                _decrease(self._running, client)
            else:
                self._forget(client, entry)
            self._grant()

    def _grant(self) -> None:
        while self._free:
            # One that is cancelled takes itself out in a moment.
            ready = {
                client: alive
                for client, entries in self._waiting.items()
                if self._running[client] < self._running_per_client
                and (alive := [entry for entry in entries if not entry.granted.done()])
            }
            if not ready:
                return
            client = min(
                ready, key=lambda client: (min(ready[client]).ahead, self._last_turn.get(client, 0))
            )
            entry = min(ready[client])
            self._forget(client, entry)
            self._last_turn[client] = next(self._order)
            self._free -= 1
            self._running[client] += 1
            entry.granted.set_result(None)

    def _forget(self, client: str, entry: _Waiting) -> None:
        self._waiting[client].remove(entry)
        if not self._waiting[client]:
            del self._waiting[client]


def _decrease(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
