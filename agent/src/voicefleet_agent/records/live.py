"""A call as it happens, for who watches it; lost without harm."""

from __future__ import annotations

import asyncio

from voicefleet_agent.reach import Reach
from voicefleet_agent.records.portal import Portal, Refused, Unreachable
from voicefleet_api.calls import CallEvent

_MOST_WAITING = 100
_PAUSE = 5.0
"""Seconds of peace for a portal that is away."""


class Live:
    """Needs a running event loop; without one nothing is sent."""

    def __init__(self, reach: Reach, token: str) -> None:
        self._reach = reach
        self._token = token
        self._events: asyncio.Queue[CallEvent | None] = asyncio.Queue(_MOST_WAITING)
        self._task: asyncio.Task[None] | None = None

    def send(self, event: CallEvent | None) -> None:
        """Send it some time, or not at all; None is the last."""
        try:
            if self._task is None:
                self._task = asyncio.get_running_loop().create_task(self._run())
            self._events.put_nowait(event)
        except (RuntimeError, asyncio.QueueFull):
            return

    async def _run(self) -> None:
        async with Portal(self._reach, self._token) as portal:
            while (event := await self._events.get()) is not None:
                try:
                    data = event.model_dump_json(by_alias=True, exclude_none=True)
                    await portal.post_event(event.call_id, data.encode())
                except (Unreachable, Refused):
                    await asyncio.sleep(_PAUSE)
