"""`python -m voicefleet_portal`: takes clients' calls and shows them, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from voicefleet_api import logs
from voicefleet_portal.clients import Cluster, Kubeconfig, ServiceAccount
from voicefleet_portal.live import Live
from voicefleet_portal.mail import Mailer, MailServer
from voicefleet_portal.receiver import receiver
from voicefleet_portal.retention import forget_hourly
from voicefleet_portal.store import Store
from voicefleet_portal.views import Views
from voicefleet_portal.web import web

logger = logging.getLogger("voicefleet.portal")


class _Server(uvicorn.Server):
    """One of two in a process, which hears the signals for both."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _quiet(app: ASGIApp) -> ASGIApp:
    """Failures are logged by kind: an error's words may have what a caller said."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except Exception as error:
            logger.error("failed", extra={"error": type(error).__name__})

    return run


def _server(app: ASGIApp) -> _Server:
    return _Server(
        uvicorn.Config(
            _quiet(app),
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=3,
        )
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m voicefleet_portal", description=__doc__)
    parser.add_argument("--socket", type=Path, required=True, help="where clients' pods send")
    parser.add_argument(
        "--secret-file", type=Path, required=True, help="key that tokens are signed with"
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with clients' calls")
    account = parser.add_mutually_exclusive_group(required=True)
    account.add_argument(
        "--kubeconfig", dest="account", type=lambda file: Kubeconfig(Path(file)),
        metavar="FILE", help="to list clients with",
    )  # fmt: skip
    account.add_argument(
        "--service-account", dest="account", type=lambda folder: ServiceAccount(Path(folder)),
        metavar="FOLDER", help="the same in a pod: with the files token and ca.crt",
    )  # fmt: skip
    parser.add_argument(
        "--mail-file", type=Path,
        help="address of the mail server that takes callers' messages to the business:"
        " smtps://user:password@host:465?from=a@fleet.example",
    )  # fmt: skip
    parser.add_argument("--host", default="127.0.0.1", help="address for people; nobody logs in")
    parser.add_argument("--port", type=int, default=8080, help="port for people; 0 is any")
    return parser.parse_args()


async def _serve(arguments: argparse.Namespace, key: str) -> None:
    store, live, cluster = Store(arguments.data), Live(), Cluster(arguments.account)
    mailer = None
    if arguments.mail_file is not None:
        mailer = Mailer(store, cluster, MailServer.read(arguments.mail_file))
    pods = _server(receiver(store, live, key, mailer.wake if mailer else lambda _: None))
    hosts = ("localhost", "127.0.0.1", "[::1]", arguments.host)
    people = _server(web(Views(store, live, cluster), hosts))
    store.clear()
    arguments.socket.unlink(missing_ok=True)
    with (
        socket.socket(socket.AF_UNIX) as inside,
        socket.create_server((arguments.host, arguments.port)) as outside,
    ):
        inside.bind(str(arguments.socket))
        # Who may reach the folder may connect: the token decides the rest.
        arguments.socket.chmod(0o666)
        inside.listen()
        logger.info("ready", extra={"port": outside.getsockname()[1]})

        def stop() -> None:
            live.close()
            pods.should_exit = people.should_exit = True

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        working = [asyncio.create_task(forget_hourly(store, cluster))]
        if mailer is not None:
            working.append(asyncio.create_task(mailer.run()))
        try:
            await asyncio.gather(pods.serve([inside]), people.serve([outside]))
        finally:
            for task in working:
                task.cancel()
            await asyncio.wait(working)
            await cluster.close()


def main() -> int:
    """Exit status: 0, 1 where the key, the socket or the port is not usable."""
    arguments = _arguments()
    logs.configure("portal")
    try:
        asyncio.run(_serve(arguments, arguments.secret_file.read_text().strip()))
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
