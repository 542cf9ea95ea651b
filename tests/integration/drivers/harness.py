"""What the driver tests need: programs on free ports, and servers that misbehave."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

FLEET = "vf-aaaaaaaa"
ZONE = "fleet.test"


@contextmanager
def running(argv: list[str], port: int, log: Path, seconds: float = 90.0) -> Iterator[None]:
    """A program that is up once it listens on `port`, and is ended afterwards."""
    with log.open("wb") as out:
        process = subprocess.Popen(argv, stdout=out, stderr=subprocess.STDOUT, cwd=log.parent)
        try:
            deadline = time.monotonic() + seconds
            while True:
                with suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
                    break
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"{argv[0]} did not start:\n{log.read_text()[-2000:]}")
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def program(name: str) -> str:
    """Path of a program; the test is skipped where it is not installed."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "voicefleet" / "bin"
    found = shutil.which(name, path=f"{cache}:/usr/sbin:{os.environ.get('PATH', '')}")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@dataclass(frozen=True)
class Knot:
    """A running knotd: one key may update and transfer, the other nothing."""

    port: int
    secret: str
    powerless_secret: str


@dataclass(frozen=True)
class LiveKit:
    """A running LiveKit server."""

    url: str
    api_key: str
    api_secret: str


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox and its own side (`/_sandbox`)."""

    url: str

    async def _ask(self, method: str, path: str, **kwargs: Any) -> Any:
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.url + path, **kwargs) as answer,
        ):
            assert answer.status < 300, await answer.text()
            return await answer.json() if answer.content_type == "application/json" else None

    async def fault(self, kind: str, **rule: Any) -> None:
        """Let the next request that fits meet with this."""
        await self._ask("POST", "/_sandbox/faults", json={"kind": kind, **rule})

    async def clear(self) -> None:
        """Take all faults back."""
        await self._ask("DELETE", "/_sandbox/faults")

    async def stock(self, **numbers: int) -> None:
        """How many numbers an area code has, as `a415=10`."""
        stock = {area.removeprefix("a"): count for area, count in numbers.items()}
        await self._ask("POST", "/_sandbox/inventory", json=stock)

    async def pay(self, session_id: str) -> None:
        """Pay a Checkout session, as the client does in the browser."""
        await self._ask("POST", f"/checkout/{session_id}", data={"pay": "yes"})

    async def pay_invoice(self, invoice_id: str) -> None:
        """Pay an open invoice by bank transfer."""
        await self._ask("POST", f"/invoice/{invoice_id}")

    async def ledger(self, owner: str) -> list[Any]:
        """Entries whose mark, account or resource mentions `owner`."""
        entries = await self._ask("GET", "/_sandbox/ledger")
        return [entry for entry in entries if owner in json.dumps(entry)]

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[list[Any]]:
        """Collects the requests that are made inside."""
        before = await self._ask("GET", "/_sandbox/requests")
        since = before[-1]["seq"] if before else 0
        made: list[Any] = []
        yield made
        # A request whose reply is lost is logged after the line has been cut.
        await asyncio.sleep(0.05)
        made += await self._ask("GET", f"/_sandbox/requests?since={since}")


def writes(requests: list[Any]) -> list[str]:
    """Those that change something, as "POST /v1/customers"."""
    return [f"{r['method']} {r['path']}" for r in requests if r["method"] != "GET"]


# --- lines that break -------------------------------------------------------------------------

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
BadServer = Callable[[Answer], Awaitable[str]]


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the request in and never answer."""
    await reader.read(-1)


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the request in and hang up."""
    await reader.read(65536)
    writer.transport.abort()


def saying(status: str, body: str, *headers: str) -> Answer:
    """Answer every request with these words."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close")
        writer.write(("\r\n".join((*lines, *headers)) + f"\r\n\r\n{body}").encode())
        await writer.drain()
        writer.close()

    return answer
