"""`/metrics`, `/healthz` and `/readyz` on one port, answered by threads of their own.

What is asked about health is worked out in the controller's event loop: one that hangs does not
answer, and is thereby found unwell.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from voicefleet_operator.controller import Loop
from voicefleet_operator.shell.leadership import Leadership

_PATIENCE = 5.0
"""Seconds that the event loop may take to answer."""

Check = Callable[[], str]
"""What is wrong, in words; empty where nothing is."""


@dataclass
class Health:
    """Of this process; `stalled_seconds`: how long work may stand still."""

    leadership: Leadership
    stalled_seconds: float
    loop: Loop | None = None
    """Since it leads."""

    def live(self) -> str:
        """`/healthz`: a restart would help."""
        stalled = self.loop.queue.stalled_for() if self.loop else 0.0
        if stalled <= self.stalled_seconds:
            return ""
        return f"there is work, and none of it was finished for {stalled:.0f} s"

    def ready(self) -> str:
        """`/readyz`: it leads and has listed our kinds, or it could take over at any moment."""
        if not self.leadership.seen:
            return "the API server has not shown the lease yet"
        if self.leadership.held and not (self.loop and self.loop.listed):
            return "leading; the objects are being listed"
        return ""


class _Silent(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Probes are no news."""


def serve(address: str, port: int, checks: Mapping[str, Check]) -> None:
    """Answer from now on; `checks` by path. Called in the event loop that they are run in."""
    loop, metrics = asyncio.get_running_loop(), make_wsgi_app()

    async def run(check: Check) -> str:
        return check()

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        check = checks.get(environ["PATH_INFO"])
        if check is None:
            body: Iterable[bytes] = metrics(environ, start_response)
            return body
        try:
            words = asyncio.run_coroutine_threadsafe(run(check), loop).result(_PATIENCE)
        except TimeoutError:
            words = f"the event loop did not answer within {_PATIENCE:g} s"
        status = "503 Service Unavailable" if words else "200 OK"
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{words or 'ok'}\n".encode()]

    server = make_server(address, port, app, ThreadingWSGIServer, _Silent)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
