"""Requests to providers: each has a time limit, each failure is a `ProviderFailed`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp

from voicefleet_agent.providers.base import ProviderFailed
from voicefleet_agent.reach import Reach

TIMEOUT = aiohttp.ClientTimeout(total=30, connect=1.0, sock_read=10)
"""The last resort; what a caller waits for is shorter (`chain`)."""


class Endpoint:
    """One provider; connections are kept. To be closed."""

    def __init__(self, reach: Reach, token: str = "") -> None:
        self._reach = reach
        self._url = reach.url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
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
            self._session = self._reach.session(headers=self._headers)
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
