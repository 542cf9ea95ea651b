"""What a carrier has for sale, and who of us is about to buy what (design, "one allocator").

A search takes the carrier about a second and offers many numbers, so one search serves many
purchases. Nothing here is kept by a restart: what was chosen is in the journals, and what was not
is chosen again.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from voicefleet_api.phonenumber import NumberRequest
from voicefleet_operator.drivers.twilio import TwilioDriver

_PAGE = 50
_FRESH = 60.0
"""Seconds that an offer is believed; somebody else may have bought it, and then we hear so."""


class Offers:
    """The numbers that one account can buy; lives in one event loop."""

    def __init__(self, driver: TwilioDriver) -> None:
        self._driver = driver
        self._offered: dict[tuple[str, str | None], deque[str]] = {}
        self._searched: dict[tuple[str, str | None], float] = {}
        self._buyers: dict[str, str | None] = {}
        self._lock = asyncio.Lock()

    @property
    def buyers(self) -> int:
        """How many are choosing, or have chosen and not recorded it yet."""
        return len(self._buyers)

    @contextmanager
    def buyer(self, name: str) -> Iterator[None]:
        """While somebody chooses and records: what is chosen is nobody else's."""
        self._buyers[name] = None
        try:
            yield
        finally:
            del self._buyers[name]

    async def choose(
        self, buyer: str, request: NumberRequest, recorded: Callable[[], set[str]]
    ) -> str | None:
        """A number for a buyer, in E.164; `recorded` are those that somebody has chosen before."""
        key = request.country, request.area_code
        async with self._lock:
            chosen = self._take(key, recorded())
            if chosen is None:
                limit = _PAGE + len(recorded()) + self.buyers
                found = await self._driver.search_numbers(
                    country=request.country, area_code=request.area_code, limit=limit
                )
                self._offered[key], self._searched[key] = deque(found), time.monotonic()
                chosen = self._take(key, recorded())
            self._buyers[buyer] = chosen
            return chosen

    def forget(self, request: NumberRequest) -> None:
        """What was offered is sold: search again."""
        self._offered.pop((request.country, request.area_code), None)

    def _take(self, key: tuple[str, str | None], recorded: set[str]) -> str | None:
        offered = self._offered.get(key)
        if offered is None or time.monotonic() - self._searched[key] > _FRESH:
            return None
        while offered:
            e164 = offered.popleft()
            if e164 not in recorded and e164 not in self._buyers.values():
                return e164
        return None
