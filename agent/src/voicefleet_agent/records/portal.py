"""The portal's API as the agent uses it (docs/architecture.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import aiohttp

from voicefleet_agent.reach import Reach

_RECORD = aiohttp.ClientTimeout(total=60, sock_connect=5, sock_read=15)
_EVENT = aiohttp.ClientTimeout(total=2)


class Unreachable(Exception):
    """Not there, too slow, or in trouble of its own: later."""


class Refused(Exception):
    """It will never take this."""


class Portal:
    """Calls are named by their ID; the same one twice is one call. Raises the two above."""

    def __init__(self, reach: Reach, token: str) -> None:
        self._url = reach.url
        self._http = reach.session(headers={"Authorization": f"Bearer {token}"})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def put_record(self, call_id: str, record: bytes) -> None:
        """A `CallRecord` as JSON."""
        await self._send("PUT", call_id, record, "application/json", _RECORD)

    async def put_audio(self, call_id: str, side: str, wav: Path) -> None:
        """One side's sound; nothing where there is no file."""
        try:
            file = wav.open("rb")
        except FileNotFoundError:
            return
        with file:
            path = f"{call_id}/audio/{side}"
            await self._send("PUT", path, file, "audio/wav", _RECORD)

    async def post_event(self, call_id: str, event: bytes) -> None:
        """A `CallEvent` as JSON."""
        await self._send("POST", f"{call_id}/events", event, "application/json", _EVENT)

    async def _send(
        self, method: str, path: str, body: object, kind: str, within: aiohttp.ClientTimeout
    ) -> None:
        try:
            async with self._http.request(
                method,
                f"{self._url}/v1/calls/{path}",
                data=body,
                headers={"Content-Type": kind},
                timeout=within,
            ) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(type(error).__name__) from None
        if 200 <= status < 300:
            return
        if 400 <= status < 500 and status not in (401, 403, 408, 429):
            raise Refused(f"the portal answered {status}")
        raise Unreachable(f"the portal answered {status}")
