"""Every way out of the process ends here: HTTP through aiohttp, DNS through dnspython.

The drivers and the vendors' SDKs are the real ones. What they would put on the network becomes a
`Request`, which the world carries out, or does not.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from unittest import mock

import aiohttp
import dns.asyncquery
import dns.exception
import dns.message
import dns.query
import dns.rcode

from voicefleet_operator.drivers.errors import Ambiguous, Throttled, Unavailable

Failure = Literal["lost", "reset", "timeout", "429", "500"]
RETRY_AFTER = 2


@dataclass
class Reply:
    """As much of an HTTP response as anybody reads."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> Reply:
        return self

    async def read(self) -> bytes:
        return self.body

    async def text(self) -> str:
        return self.body.decode()

    async def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Request:
    """One elementary request: the smallest thing that can be lost."""

    name: str
    """Vendor, verb and resource without ids: what a person calls it."""
    carry_out: Callable[[], Any]
    fail: Callable[[Failure], Any]
    """The reply of that failure, or its exception."""
    after: Callable[[], Any] = lambda: None
    """What the vendor remembers of a 500 that it answered after it had carried this out."""
    time_limit: float = 10.0


def fail_http(failure: Failure) -> Reply:
    """In words that every one of the SDKs understands."""
    match failure:
        case "lost":
            raise aiohttp.ServerDisconnectedError
        case "reset":
            raise aiohttp.ClientOSError(104, "Connection reset by peer")
        case "timeout":
            raise aiohttp.ServerTimeoutError
    words = "simulated"
    body = {
        "message": words, "msg": words, "code": 20500, "status": int(failure),
        "error": {"message": words, "type": "api_error"},
    }  # fmt: skip
    headers = {"Retry-After": str(RETRY_AFTER)} if failure == "429" else {}
    return Reply(int(failure), json.dumps(body).encode(), headers)


def fail_update(failure: Failure) -> dns.message.Message:
    """DNS has no 429: a server that has had enough refuses."""
    match failure:
        case "lost":
            raise EOFError
        case "reset":
            raise ConnectionResetError
        case "timeout":
            raise dns.exception.Timeout
    answer = dns.message.Message()
    answer.set_rcode(dns.rcode.REFUSED if failure == "429" else dns.rcode.SERVFAIL)
    return answer


def fail_transfer(failure: Failure) -> None:
    """The same for a transfer of the zone."""
    raise dns.query.TransferError(fail_update(failure).rcode())


def fail_runtime(failure: Failure) -> None:
    """As the runtime drivers put it."""
    match failure:
        case "429":
            raise Throttled("simulated", RETRY_AFTER)
        case "reset":
            raise Unavailable("RuntimeUnreachable", "simulated")
    raise Ambiguous("RuntimeSilent", f"simulated: {failure}")


class _Pending:
    """What `ClientSession.request` returns: to be awaited, or entered."""

    def __init__(self, reply: Awaitable[Reply]) -> None:
        self._reply = reply

    def __await__(self) -> Generator[Any, None, Reply]:
        return self._reply.__await__()

    async def __aenter__(self) -> Reply:
        return await self._reply

    async def __aexit__(self, *_: object) -> None:
        pass


class _Session:
    """Stands for `aiohttp.ClientSession`."""

    send: Callable[..., Awaitable[Reply]]

    def __init__(self, *, headers: Any = None, timeout: Any = None, **_: Any) -> None:
        self.timeout = timeout or aiohttp.ClientTimeout()

    def request(self, method: str, url: str, *, timeout: Any = None, **kwargs: Any) -> _Pending:
        limit = timeout or self.timeout
        total = limit.total if isinstance(limit, aiohttp.ClientTimeout) else limit
        return _Pending(_Session.send(method, str(url), time_limit=total or 10.0, **kwargs))

    def post(self, url: str, **kwargs: Any) -> _Pending:
        return self.request("POST", url, **kwargs)

    async def close(self) -> None:
        pass


@contextmanager
def no_network(
    http: Callable[..., Awaitable[Reply]],
    update: Callable[..., Awaitable[Any]],
    transfer: Callable[..., Awaitable[None]],
) -> Iterator[None]:
    """While it lasts, what would go to the network goes there."""
    _Session.send = staticmethod(http)
    with (
        mock.patch.multiple(aiohttp, ClientSession=_Session, TCPConnector=mock.Mock()),
        mock.patch("ssl.create_default_context"),
        mock.patch.multiple(dns.asyncquery, tcp=update, inbound_xfr=transfer),
    ):
        yield
