"""What stands between a driver and the wire: every request to a vendor passes here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

Fence = Callable[[], None]
"""Raises where nothing may be changed any more; asked immediately before each such request."""


def unfenced() -> None:
    """For whoever has nobody to be fenced from."""


class Guard:
    """Of one vendor account; drivers enter `request` around each elementary request."""

    def __init__(self, *, fence: Fence = unfenced) -> None:
        self._fence = fence

    @asynccontextmanager
    async def request(self, *, writes: bool) -> AsyncIterator[None]:
        """Around one request, each repeat by itself; what is raised on entry was not sent.

        `writes`: it changes something at the vendor.
        """
        if writes:
            self._fence()
        yield


class Guards:
    """One guard for each account, however many fleets share it and however often they change."""

    def __init__(self, fence: Fence = unfenced) -> None:
        self._fence = fence
        self._guards: dict[tuple[str, str], Guard] = {}

    def of(self, vendor: str, account: str) -> Guard:
        """The guard of that account; `account` is what tells it from the vendor's others."""
        key = vendor, account
        if key not in self._guards:
            self._guards[key] = Guard(fence=self._fence)
        return self._guards[key]
