"""What the drivers share on the wire: time limits, repeats of reads, errors of the network."""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import ParamSpec, TypeVar

import aiohttp

from voicefleet_operator.drivers.errors import Ambiguous, Unavailable, VendorError

TIMEOUT = 10.0
"""Seconds that one request may take, unless a driver is told otherwise."""

_CONNECT_SHARE = 0.5
_REPEATS = 2
_FIRST_PAUSE = 0.2
_LONGEST_WAIT = 300.0

P = ParamSpec("P")
R = TypeVar("R")


def limits(timeout: float) -> aiohttp.ClientTimeout:
    """Limits of one request; connecting may take half of it."""
    return aiohttp.ClientTimeout(total=timeout, connect=timeout * _CONNECT_SHARE)


def repeated(read: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Repeat a read that got no answer, twice, after pauses of random length.

    For reads alone: what changes something is repeated by whoever knows whether it may be.
    """

    @functools.wraps(read)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        for attempt in range(_REPEATS):
            try:
                return await read(*args, **kwargs)
            except (Ambiguous, Unavailable):
                longest = _FIRST_PAUSE * 2 ** (attempt + 1)
                await asyncio.sleep(random.uniform(longest / 2, longest))  # noqa: S311  (jitter)
        return await read(*args, **kwargs)

    return wrapper


def never_sent(error: BaseException | None) -> bool:
    """Whether it says that no connection was made, and thus that nothing was asked for."""
    return isinstance(
        error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.InvalidURL
    )


def network_error(vendor: str, error: Exception) -> VendorError:
    """aiohttp's error as ours: `Unavailable` before it was sent, `Ambiguous` after."""
    if never_sent(error):
        return Unavailable(f"{vendor}Unreachable", f"cannot connect to {vendor}: {error}")
    return Ambiguous(f"{vendor}Silent", f"{vendor} did not answer ({type(error).__name__})")


def retry_after(headers: Mapping[str, str], default: float = 1.0) -> float:
    """Seconds that `Retry-After` asks for (RFC 9110, section 10.2.3: seconds or a date)."""
    value = {name.lower(): text for name, text in headers.items()}.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return default
    # NaN compares false with everything and becomes the default, too.
    return min(seconds, _LONGEST_WAIT) if seconds > 0 else default
