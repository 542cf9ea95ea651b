"""Calls under way, in memory: what is lost here is in the record that comes after the call."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

from voicefleet_api.calls import CallEvent

MAX_CALLS = 50
"""A client's; the one silent for longest makes room."""
MAX_EVENTS = 1000
"""A call's; the first make room."""
SILENT_SECONDS = 900.0
"""After so long without an event a call is taken as ended: its agent was killed."""
_MAX_WAITING = 200
_REMEMBERED = 1000


@dataclass
class LiveCall:
    """What is known of it so far, in order."""

    client_id: str
    call_id: str
    heard: float = 0.0
    events: deque[CallEvent] = field(default_factory=lambda: deque(maxlen=MAX_EVENTS))

    @property
    def state(self) -> str | None:
        """The last that was told."""
        return next((e.change.state for e in reversed(self.events) if e.change), None)


class Live:
    """All clients' calls under way, and who watches them."""

    def __init__(self) -> None:
        self._calls: dict[tuple[str, str], LiveCall] = {}
        self._watchers: dict[str, set[asyncio.Queue[CallEvent | None]]] = {}
        self._over: deque[tuple[str, str]] = deque(maxlen=_REMEMBERED)
        self._closed = False

    def tell(self, client_id: str, event: CallEvent) -> None:
        """Something has happened; the same twice, or late, is told once and in order."""
        key = (client_id, event.call_id)
        if key in self._over:
            return
        call = self._calls.get(key) or LiveCall(client_id, event.call_id)
        if call.events and event.sequence <= call.events[-1].sequence:
            return
        call.events.append(event)
        call.heard = time.monotonic()
        self._calls[key] = call
        if event.change is not None and event.change.state == "Ended":
            self.ended(client_id, event.call_id)
        self._make_room(client_id)
        for queue in self._watchers.get(client_id, ()):
            with contextlib.suppress(asyncio.QueueFull):  # a slow watcher misses something
                queue.put_nowait(event)

    def ended(self, client_id: str, call_id: str) -> None:
        """It is over: what is told of it later is late."""
        self._over.append((client_id, call_id))
        self._calls.pop((client_id, call_id), None)

    def over(self, client_id: str, call_id: str) -> bool:
        """Whether it has ended lately."""
        return (client_id, call_id) in self._over

    def calls(self, client_id: str | None = None) -> list[LiveCall]:
        """One client's, or all; the newest first."""
        since = time.monotonic() - SILENT_SECONDS
        for key in [key for key, call in self._calls.items() if call.heard < since]:
            del self._calls[key]
        found = [c for c in self._calls.values() if client_id in (None, c.client_id)]
        return sorted(found, key=lambda call: call.events[0].started.timestamp(), reverse=True)

    def get(self, client_id: str, call_id: str) -> LiveCall | None:
        """That call, while it is under way."""
        return next((c for c in self.calls(client_id) if c.call_id == call_id), None)

    async def watch(self, client_id: str) -> AsyncIterator[CallEvent]:
        """A client's events from now on, those of calls under way first; ends with the program."""
        with self._watching(client_id) as queue:
            known = [event for call in reversed(self.calls(client_id)) for event in call.events]
            for past in known:
                yield past
            while not self._closed and (event := await queue.get()) is not None:
                yield event

    def close(self) -> None:
        """Let all watchers go."""
        self._closed = True
        for queues in self._watchers.values():
            for queue in queues:
                with contextlib.suppress(asyncio.QueueFull):
                    queue.put_nowait(None)

    @contextlib.contextmanager
    def _watching(self, client_id: str) -> Iterator[asyncio.Queue[CallEvent | None]]:
        queue: asyncio.Queue[CallEvent | None] = asyncio.Queue(_MAX_WAITING)
        self._watchers.setdefault(client_id, set()).add(queue)
        try:
            yield queue
        finally:
            self._watchers[client_id].discard(queue)
            if not self._watchers[client_id]:
                del self._watchers[client_id]

    def _make_room(self, client_id: str) -> None:
        own = [key for key in self._calls if key[0] == client_id]
        if len(own) > MAX_CALLS:
            del self._calls[min(own, key=lambda key: self._calls[key].heard)]
