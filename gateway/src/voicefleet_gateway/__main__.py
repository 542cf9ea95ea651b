"""`python -m voicefleet_gateway`: see the package's own words."""

from __future__ import annotations

import argparse
import asyncio
import resource
import signal
import sys
from pathlib import Path

import aiohttp
from aiohttp import web

from voicefleet_api import logs
from voicefleet_gateway.gateway import AgentGateway
from voicefleet_gateway.livekit import LiveKit

_CONNECT_SECONDS = 5.0
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
    return parser.parse_args()


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
        runner = web.AppRunner(
            AgentGateway(livekit, key).app(),
            handler_cancellation=True,
            access_log=None,
            shutdown_timeout=_STOP_SECONDS,
        )
        await runner.setup()
        try:
            for host in arguments.host:
                await web.TCPSite(runner, host, arguments.port).start()
            await stop.wait()
        finally:
            await runner.cleanup()


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
