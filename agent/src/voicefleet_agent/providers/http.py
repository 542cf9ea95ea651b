"""Requests to providers: each has a time limit, each failure is a `ProviderFailed`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from voicefleet_agent.providers.base import ProviderFailed

TIMEOUT = aiohttp.ClientTimeout(total=30, connect=1.0, sock_read=10)
"""The last resort; what a caller waits for is shorter (`chain`)."""


class Endpoint:
    """One provider's address; connections are kept. To be closed."""

    def __init__(self, url: str, token: str = "", *, socket: Path | None = None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._socket = socket
        self._session: aiohttp.ClientSession | None = None

    @contextlib.asynccontextmanager
    async def post(
        self,
        path: str,
        *,
        data: bytes | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        limit: aiohttp.ClientTimeout = TIMEOUT,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, if it is a 200; raises ProviderFailed, also for what breaks while read."""
        if self._session is None:
            connector = aiohttp.UnixConnector(str(self._socket)) if self._socket else None
            self._session = aiohttp.ClientSession(connector=connector, headers=self._headers)
        try:
            async with self._session.post(
                self._url + path, data=data, json=json, headers=headers, timeout=limit
            ) as response:
                if response.status != 200:
                    raise ProviderFailed(f"HTTP {response.status}")
                yield response
        except TimeoutError:
            raise ProviderFailed("took too long") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ProviderFailed(type(error).__name__) from None

    async def aclose(self) -> None:
        """Close its connections."""
        if self._session is not None:
            await self._session.close()
