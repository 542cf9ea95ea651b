"""A queue of keys: each at most once in it, none worked on twice at a time, back-off by key.

The same contract as client-go's workqueue: a key that is added while it is being worked on is
worked on again afterwards, so that no change is lost between "read" and "done". What is repeated
after a failure stands back behind what is new, so that a thousand broken clients do not delay a
healthy one; it keeps a small share, so that it is not forgotten either.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from typing import NamedTuple

from voicefleet_operator import metrics

_SHARE = 8
"""Of so many keys that are taken one may be a repeat while others are new."""


class Key(NamedTuple):
    """One object; `namespace` is empty for cluster-scoped kinds."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return (
            f"{self.kind}/{self.namespace}/{self.name}"
            if self.namespace
            else "/".join((self.kind, self.name))
        )


class WorkQueue:
    """Lives in one event loop; not thread-safe."""

    def __init__(self, *, base_delay: float = 0.2, max_delay: float = 60.0) -> None:
        self._fresh: deque[Key] = deque()
        self._repeats: deque[Key] = deque()
        self._somebody = asyncio.Semaphore(0)
        self._open, self._idle = asyncio.Event(), asyncio.Event()
        self._open.set()
        self._idle.set()
        self._taken = 0
        self._moved = 0.0
        """When work was finished last, or was there again after a rest."""
        self._waiting: dict[Key, float] = {}
        """Since when, the longest first."""
        self._working: set[Key] = set()
        self._again: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self._base_delay = base_delay
        self._max_delay = max_delay

    def add(self, key: Key) -> None:
        """Work on the key as soon as possible."""
        self._cancel_timer(key)
        if key in self._working:
            self._again.add(key)
        elif key not in self._waiting:
            if not self._waiting and not self._working:
                self._moved = time.monotonic()
            self._waiting[key] = time.monotonic()
            (self._repeats if key in self._failures else self._fresh).append(key)
            self._somebody.release()
            metrics.QUEUE_DEPTH.set(len(self._waiting))

    def add_after(self, key: Key, seconds: float) -> None:
        """Work on the key later, unless an earlier moment is already planned."""
        due = asyncio.get_running_loop().time() + seconds
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= due:
            return
        self._cancel_timer(key)
        self._timers[key] = asyncio.get_running_loop().call_at(due, self.add, key)

    def add_failed(self, key: Key, *, at_least: float = 0.0) -> float:
        """Work on the key again after an exponential back-off with full jitter; the delay, in s."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        ceiling = min(self._max_delay, self._base_delay * 2 ** min(failures, 20))
        # Jitter spreads retries after a common fault; it is no secret.
        delay: float = max(at_least, ceiling * random.uniform(0.5, 1.0))  # noqa: S311
        self.add_after(key, delay)
        return delay

    def forget(self, key: Key) -> None:
        """The key is well, or was edited: its next failure starts with a short delay again."""
        self._failures.pop(key, None)

    async def get(self) -> Key:
        """The next key; call `done` with it afterwards, whatever happened."""
        await self._somebody.acquire()
        await self._open.wait()
        self._taken += 1
        repeats_first = self._taken % _SHARE == 0
        first, second = (self._fresh, self._repeats)[:: -1 if repeats_first else 1]
        key = (first or second).popleft()
        del self._waiting[key]
        self._working.add(key)
        self._idle.clear()
        metrics.QUEUE_DEPTH.set(len(self._waiting))
        return key

    def done(self, key: Key) -> None:
        """Work on the key has ended."""
        self._working.discard(key)
        self._moved = time.monotonic()
        if not self._working:
            self._idle.set()
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    async def drain(self) -> None:
        """Give no key out any more; return once nothing is being worked on."""
        self._open.clear()
        await self._idle.wait()

    def oldest(self) -> float:
        """Seconds that the oldest key has been waiting."""
        waiting = list(self._waiting.values())  # In one step: threads ask, too.
        return time.monotonic() - waiting[0] if waiting else 0.0

    def stalled_for(self) -> float:
        """Seconds that there has been work of which none was finished; 0 where there is none."""
        return time.monotonic() - self._moved if self._waiting or self._working else 0.0

    def _cancel_timer(self, key: Key) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
