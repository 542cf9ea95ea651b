"""What the driver tests need: programs on free ports, and servers that misbehave."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

FLEET = "vf-aaaaaaaa"
ZONE = "fleet.test"


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that nobody has now."""
    with closing(socket.socket(socket.AF_INET, kind)) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(argv: list[str], port: int, log: Path, seconds: float = 20.0) -> Iterator[None]:
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
