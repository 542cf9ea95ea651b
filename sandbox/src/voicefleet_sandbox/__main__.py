"""`python -m voicefleet_sandbox`: the sandbox as a process."""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
from pathlib import Path

import uvicorn

from voicefleet_sandbox import mail
from voicefleet_sandbox.server import Sandbox, config


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(
        prog="voicefleet_sandbox",
        description="Stand-ins for Stripe (/stripe), Twilio (/twilio) and ElevenLabs (/elevenlabs),"
        " and for a mail server (--smtp-port, /_sandbox/mail),"
        " with one ledger (/_sandbox/ledger) and faults on demand (/_sandbox/faults)."
        " No money moves.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=12111, help="port to listen on")
    parser.add_argument(
        "--speech-host", help="another address, where ElevenLabs' speech and nothing else is served"
    )
    parser.add_argument("--smtp-port", type=int, help="where mail is taken; nowhere if unset")
    parser.add_argument(
        "--data", type=Path, help="SQLite file with everything; without it nothing is kept"
    )
    args = parser.parse_args()
    try:
        asyncio.run(_serve(args.data, args.host, args.port, args.speech_host, args.smtp_port))
    except sqlite3.OperationalError as error:
        parser.exit(1, f"{parser.prog}: {args.data}: {error}\n")


async def _serve(
    data: Path | None, host: str, port: int, speech_host: str | None, smtp_port: int | None
) -> None:
    sandbox = Sandbox(data)
    sandbox.start(f"http://{host}:{port}")
    try:
        if smtp_port is not None:
            await mail.serve(sandbox.store, host, smtp_port)
        apps = {host: sandbox.app} | ({speech_host: sandbox.speech_app} if speech_host else {})
        servers = [uvicorn.Server(config(app, where, port)) for where, app in apps.items()]
        # Each that a signal ends hands it on to the one before it.
        await asyncio.gather(*(server.serve() for server in servers))
    finally:
        await sandbox.close()


if __name__ == "__main__":
    main()
