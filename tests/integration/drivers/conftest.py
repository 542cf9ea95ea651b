"""Real servers for the drivers: knot, LiveKit with Redis, the sandbox, and a line that breaks."""

from __future__ import annotations

import asyncio
import base64
import secrets
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import pytest

from integration.drivers.harness import (
    FLEET,
    ZONE,
    Answer,
    BadServer,
    Knot,
    LiveKit,
    Sandbox,
    program,
    running,
)
from support.ports import free_port
from voicefleet_operator.planning.observed import Mark


@pytest.fixture
def mark() -> Mark:
    """A client of this fleet, new in each test."""
    return Mark(FLEET, f"vc-{secrets.token_hex(5)}", "default", "bright-smile")


@pytest.fixture
def other_mark() -> Mark:
    """Another client of this fleet."""
    return Mark(FLEET, f"vc-{secrets.token_hex(5)}", "default", "old-town-plumbing")


@pytest.fixture(scope="session")
def knot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Knot]:
    """A primary server for ZONE."""
    knotd, home, port = program("knotd"), tmp_path_factory.mktemp("knot"), free_port()
    server = Knot(
        port,
        base64.b64encode(secrets.token_bytes(32)).decode(),
        base64.b64encode(secrets.token_bytes(32)).decode(),
    )
    (home / "fleet.zone").write_text(
        f"{ZONE}. 60 SOA ns.{ZONE}. hostmaster.{ZONE}. 1 60 60 600 60\n"
        f"{ZONE}. 60 NS ns.{ZONE}.\n"
        f"{ZONE}. 60 A 192.0.2.1\n"
        f"ns.{ZONE}. 60 A 127.0.0.1\n"
        f"mail.{ZONE}. 60 MX 10 ns.{ZONE}.\n"
    )
    (home / "knot.conf").write_text(
        f"""
server:
  rundir: "{home}"
  listen: 127.0.0.1@{port}
database:
  storage: "{home}"
log:
- target: stderr
  any: info
key:
- id: fleet
  algorithm: hmac-sha256
  secret: "{server.secret}"
- id: powerless
  algorithm: hmac-sha256
  secret: "{server.powerless_secret}"
acl:
- id: fleet
  key: fleet
  action: [update, transfer]
zone:
- domain: {ZONE}
  storage: "{home}"
  file: fleet.zone
  acl: fleet
  zonefile-sync: -1
"""
    )
    with running([knotd, "-c", str(home / "knot.conf")], port, home / "log"):
        yield server


@pytest.fixture(scope="session")
def livekit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKit]:
    """LiveKit with Redis, which its SIP API needs; a SIP bridge it does not."""
    redis, server = program("redis-server"), program("livekit-server")
    home, redis_port, port = tmp_path_factory.mktemp("livekit"), free_port(), free_port()
    key, secret = "test-key", secrets.token_hex(24)
    (home / "livekit.yaml").write_text(
        f"""
port: {port}
bind_addresses: [127.0.0.1]
keys: {{{key}: {secret}}}
redis: {{address: "127.0.0.1:{redis_port}"}}
rtc: {{tcp_port: {free_port()}, udp_port: {free_port()}, node_ip: 127.0.0.1,
  use_external_ip: false}}
logging: {{level: warn}}
"""
    )
    redis_argv = [redis, "--port", str(redis_port), "--bind", "127.0.0.1", "--save", ""]
    server_argv = [server, "--config", str(home / "livekit.yaml")]
    with (
        running(redis_argv, redis_port, home / "redis.log"),
        running(server_argv, port, home / "livekit.log"),
    ):
        yield LiveKit(f"http://127.0.0.1:{port}", key, secret)


# --- sandbox ----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def sandbox_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One sandbox; each test has accounts of its own in it."""
    home, port = tmp_path_factory.mktemp("sandbox"), free_port()
    argv = [sys.executable, "-m", "voicefleet_sandbox", "--port", str(port)]
    with running(argv, port, home / "log"):
        yield Sandbox(f"http://127.0.0.1:{port}")


@pytest.fixture
async def sandbox(sandbox_process: Sandbox) -> AsyncIterator[Sandbox]:
    """The sandbox, without faults before and after."""
    await sandbox_process.clear()
    yield sandbox_process
    await sandbox_process.clear()


# --- lines that break -------------------------------------------------------------------------


@pytest.fixture
async def bad_server() -> AsyncIterator[BadServer]:
    """Starts servers that misbehave; gives their address."""
    servers: list[asyncio.Server] = []
    lines: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def start(answer: Answer) -> str:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            lines[task] = writer
            with suppress(ConnectionError):
                await answer(reader, writer)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        servers.append(server)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    yield start
    for server in servers:
        server.close()
    for line in lines.values():
        line.transport.abort()
    if lines:
        await asyncio.wait(lines, timeout=5)


@pytest.fixture
def nobody() -> str:
    """An address where nothing listens."""
    return f"http://127.0.0.1:{free_port()}"
