"""What stands between a driver and the wire: every request to a vendor passes here.

One guard for each account: what one client's request has found out (the vendor asks for a pause,
the vendor is down) holds for all of them. What the guard refuses was never sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiolimiter import AsyncLimiter

from voicefleet_operator import metrics
from voicefleet_operator.drivers.errors import Rejected, Throttled, VendorDown
from voicefleet_operator.drivers.transport import retry_after
from voicefleet_operator.settings import Settings

logger = logging.getLogger(__name__)

Fence = Callable[[], None]
"""Raises where nothing may be changed any more; asked immediately before each such request."""

_BURST = 0.25
"""Seconds' worth of requests that may go out at once."""


def unfenced() -> None:
    """For whoever has nobody to be fenced from."""


@dataclass
class Answer:
    """What a driver that sees the HTTP answer tells the guard."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class Guard:
    """Of one vendor account; drivers enter `request` around each elementary request.

    `rate`: requests a second, None without a limit. After `failures` in a row (no connection, no
    answer, 5xx) the circuit is open: one request every `pause` seconds is let through, until one
    of them is answered. Nothing is read from the clock of the wall but the time that is shown.
    """

    def __init__(
        self,
        vendor: str = "vendor",
        *,
        fence: Fence = unfenced,
        rate: float | None = None,
        failures: int = 10,
        pause: float = 10.0,
    ) -> None:
        self._vendor, self._fence = vendor, fence
        self._limiter = _limiter(rate) if rate else None
        self._most, self._pause = failures, pause
        self._failures = 0
        self._held_until = 0.0
        self._down_since: datetime | None = None
        self._next_try = 0.0
        self._why = ""

    @asynccontextmanager
    async def request(self, *, writes: bool) -> AsyncIterator[Answer]:
        """Around one request, each repeat by itself; what is raised on entry was not sent.

        `writes`: it changes something at the vendor. Raises `Throttled`, `VendorDown`, and what
        the fence raises.
        """
        try:
            await self._admit(writes=writes)
        except Exception:
            self._count("not_sent")
            raise
        answer, sent_at = Answer(), _now()
        try:
            yield answer
        except Throttled as error:
            self._throttled(error.retry_after)
            raise
        except Rejected:
            self._answered()
            raise
        except Exception as error:
            self._failed(type(error).__name__)
            raise
        else:
            if answer.status >= 500:
                self._failed(f"HTTP status {answer.status}")
            elif answer.status == 429:
                self._throttled(retry_after(answer.headers, default=0.0))
            else:
                self._answered()
        finally:
            metrics.VENDOR_SECONDS.labels(self._vendor).observe(_now() - sent_at)

    async def _admit(self, *, writes: bool) -> None:
        self._refuse()
        if self._limiter is not None:
            await self._limiter.acquire()
            self._refuse()
        if writes:
            self._fence()
        if self._down_since is not None:
            self._next_try = _now() + self._pause

    def _refuse(self) -> None:
        if (left := self._held_until - _now()) > 0:
            raise Throttled(f"{self._vendor} has asked for fewer requests", left)
        if self._down_since is not None and (left := self._next_try - _now()) > 0:
            raise VendorDown(
                f"{self._vendor} has not worked since {self._down_since:%Y-%m-%dT%H:%M:%SZ}"
                f" ({self._why}); it is tried again every {self._pause:g} s",
                left,
            )

    def _answered(self, result: str = "answered") -> None:
        self._count(result)
        self._failures = 0
        if self._down_since is not None:
            self._down_since = None
            metrics.CIRCUITS_OPEN.labels(self._vendor).dec()
            logger.info("%s works again", self._vendor, extra={"action": "CloseCircuit"})

    def _throttled(self, seconds: float) -> None:
        self._answered("throttled")
        self._held_until = max(self._held_until, _now() + seconds)

    def _failed(self, why: str) -> None:
        self._count("failed")
        self._failures += 1
        if self._failures >= self._most and self._down_since is None:
            self._down_since, self._next_try = datetime.now(UTC), _now() + self._pause
            self._why = why
            metrics.CIRCUITS_OPEN.labels(self._vendor).inc()
            logger.warning("%s is down: %s", self._vendor, why, extra={"action": "OpenCircuit"})

    def _count(self, result: str) -> None:
        metrics.VENDOR_REQUESTS.labels(self._vendor, result).inc()


def _limiter(rate: float) -> AsyncLimiter:
    at_once = max(1.0, rate * _BURST)
    return AsyncLimiter(at_once, at_once / rate)


def _now() -> float:
    return asyncio.get_running_loop().time()


class Guards:
    """One guard for each account, however many fleets share it and however often they change."""

    def __init__(self, fence: Fence = unfenced, settings: Settings | None = None) -> None:
        self._fence, self._settings = fence, settings or Settings()
        self._rates = {
            "stripe": self._settings.stripe_requests_per_second,
            "twilio": self._settings.twilio_requests_per_second,
        }
        self._guards: dict[tuple[str, str], Guard] = {}

    def of(self, vendor: str, account: str, *, live: bool = False) -> Guard:
        """The guard of that account; `account` is what tells it from the vendor's others.

        Only what is `live` has a rate: sandboxes and servers of one's own have no such limits.
        """
        key = vendor, account
        if key not in self._guards:
            self._guards[key] = Guard(
                vendor,
                fence=self._fence,
                rate=self._rates.get(vendor) if live else None,
                failures=self._settings.circuit_failures,
                pause=self._settings.circuit_seconds,
            )
        return self._guards[key]
