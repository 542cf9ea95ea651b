"""`python -m voicefleet_gateway`: see the package's own words."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import resource
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from ssl import SSLContext

import aiohttp
from aiohttp import web
from yarl import URL

from voicefleet_api import logs
from voicefleet_gateway.gateway import AgentGateway
from voicefleet_gateway.livekit import LiveKit
from voicefleet_gateway.services import SERVICES, Services

_CONNECT_SECONDS = 5.0
_RENEWAL_SECONDS = 60.0
_STOP_SECONDS = 1.0
"""Workers stay for ever; they find the next one."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m voicefleet_gateway", description=__doc__)
    add = parser.add_argument
    add("--host", action="append", required=True, help="address to listen on; may be repeated")
    add("--port", type=int, required=True, help="port to listen on")
    add("--livekit", required=True, help="ws:// or wss:// address of LiveKit")
    add("--room-url", required=True, help="the same as agents reach it, for their calls' rooms")
    add("--livekit-key", required=True, help="LiveKit's API key")
    add("--livekit-secret-file", type=Path, required=True, help="its secret")
    add("--secret-file", type=Path, required=True, help="key that clients' tokens are signed with")
    add("--services", type=Path, help="folder of the models' and the portal's sockets")
    add(
        "--service", type=_address, action="append", default=[], metavar="NAME=URL",
        help="one of these services that is at an address; may be repeated",
    )  # fmt: skip
    add("--tls-certificate", type=Path, help="serve TLS: the certificate and those above it (PEM)")
    add("--tls-key", type=Path, help="its key (PEM)")
    arguments = parser.parse_args()
    if (arguments.tls_certificate is None) != (arguments.tls_key is None):
        parser.error("--tls-certificate and --tls-key go together")
    if arguments.service and arguments.services is None:
        parser.error("--service goes with --services, where the others are")
    return arguments


def _address(text: str) -> tuple[str, URL]:
    name, _, address = text.partition("=")
    url = URL(address)
    if name not in SERVICES or url.scheme not in ("http", "https") or url != url.origin():
        raise argparse.ArgumentTypeError(
            f"{text}: want NAME=http://host:port, NAME one of {', '.join(SERVICES)}"
        )
    return name, url


async def _run(arguments: argparse.Namespace, livekit_secret: str, key: str) -> None:
    """Serve until SIGTERM or SIGINT."""
    # One pod may hold a thousand connections (its own limit) on which it asks nothing.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    # How long an answer is worth waiting for is for the agent to say: it hangs up.
    patience = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS)
    # A worker holds a connection for as long as it lives.
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=patience) as session:
        livekit = LiveKit(
            arguments.livekit, arguments.room_url, arguments.livekit_key, livekit_secret, session
        )
        services = (
            Services(arguments.services, patience, dict(arguments.service))
            if arguments.services
            else None
        )
        runner = web.AppRunner(
            AgentGateway(livekit, services, key).app(),
            handler_cancellation=True,
            access_log=None,
            shutdown_timeout=_STOP_SECONDS,
        )
        await runner.setup()
        try:
            async with _serving_tls(arguments.tls_certificate, arguments.tls_key) as tls:
                for host in arguments.host:
                    await web.TCPSite(runner, host, arguments.port, ssl_context=tls).start()
                await stop.wait()
        finally:
            await runner.cleanup()
            if services is not None:
                await services.aclose()


@asynccontextmanager
async def _serving_tls(
    certificate: Path | None, key: Path | None
) -> AsyncIterator[SSLContext | None]:
    """With a certificate that is read again and again, to be renewed; None without one."""
    if certificate is None:
        yield None
        return
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def renew() -> None:
        while True:
            await asyncio.sleep(_RENEWAL_SECONDS)
            # A new certificate may be there before its key.
            with contextlib.suppress(OSError):
                context.load_cert_chain(certificate, key)

    task = asyncio.create_task(renew())
    try:
        yield context
    finally:
        task.cancel()


def main() -> int:
    """Exit status: 0, 1 where a key or an address is not usable."""
    arguments = _arguments()
    logs.configure("agent-gateway")
    try:
        livekit_secret = arguments.livekit_secret_file.read_text().strip()
        key = arguments.secret_file.read_text().strip()
        asyncio.run(_run(arguments, livekit_secret, key))
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
