"""What the drivers share: repeats of reads, Retry-After, what was never sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import aiohttp
import pytest

from voicefleet_operator.drivers import transport
from voicefleet_operator.drivers.errors import (
    Ambiguous,
    Rejected,
    Throttled,
    Unavailable,
    VendorError,
)

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_FIRST_PAUSE", 0.0)


def failing(times: int, error: VendorError) -> tuple[list[int], object]:
    """A read that fails so many times."""
    calls: list[int] = []

    @transport.repeated
    async def read() -> str:
        calls.append(1)
        if len(calls) <= times:
            raise error
        return "read"

    return calls, read


@pytest.mark.parametrize("error", [Ambiguous("X", "lost"), Unavailable("X", "nobody")])
async def test_reads_are_repeated_twice(error: VendorError) -> None:
    calls, read = failing(2, error)
    assert await read() == "read"  # type: ignore[operator]
    assert len(calls) == 3
    calls, read = failing(3, error)
    with pytest.raises(type(error)):
        await read()  # type: ignore[operator]
    assert len(calls) == 3


@pytest.mark.parametrize("error", [Rejected("X", "no"), Throttled("later", 5.0)])
async def test_answers_are_not_repeated(error: VendorError) -> None:
    calls, read = failing(1, error)
    with pytest.raises(type(error)):
        await read()  # type: ignore[operator]
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("86400", 300.0),
        ("-3", 1.0),
        ("nan", 1.0),
        ("soon", 1.0),
        ("", 1.0),
    ],
)
def test_retry_after(value: str, seconds: float) -> None:
    assert transport.retry_after({"Retry-After": value}) == seconds


def test_retry_after_as_a_date() -> None:
    then = datetime.now(UTC) + timedelta(seconds=300)
    seconds = transport.retry_after({"retry-after": format_datetime(then, usegmt=True)})
    assert 200 < seconds <= 300
    assert transport.retry_after({}, default=2.0) == 2.0


def test_what_was_never_sent() -> None:
    assert isinstance(
        transport.network_error("X", aiohttp.ConnectionTimeoutError("t")), Unavailable
    )
    for error in (TimeoutError(), aiohttp.ServerDisconnectedError(), aiohttp.ClientOSError(104)):
        assert isinstance(transport.network_error("X", error), Ambiguous)
