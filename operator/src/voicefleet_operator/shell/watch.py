"""kopf as the watcher: each event becomes an entry of the store and a key in the queue.

kopf's own create and update handlers are edge-triggered and would lose intent in a crash, so only
`on.event` is used: it is not retried, keeps no annotations and adds no finalizer. kopf runs in a
thread and an event loop of its own, because it cancels what else runs in its loop when it ends.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any, cast

import kopf

from voicefleet_api.names import GROUP, VERSION
from voicefleet_operator.controller import WATCHED
from voicefleet_operator.kube import Object

logger = logging.getLogger(__name__)

Sink = Callable[[str, str | None, Object], None]
"""(kind, event type or None for the initial listing, object)."""


def connection() -> kopf.ConnectionInfo:
    """How to reach the API server: a Pod's ServiceAccount, else the kubeconfig."""
    settings = kopf.OperatorSettings()
    info = kopf.login_with_service_account(settings=settings) or kopf.login_with_kubeconfig(
        settings=settings
    )
    if info is None:
        raise RuntimeError("no ServiceAccount and no kubeconfig: set KUBECONFIG")
    return info


def _registry(sink: Sink, loop: asyncio.AbstractEventLoop) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    @kopf.on.startup(registry=registry)
    def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        # A silent server must not make a zombie watcher (kopf issue 847 and its kin).
        settings.watching.server_timeout = 300
        settings.watching.client_timeout = 330
        settings.watching.connect_timeout = 10
        settings.networking.request_timeout = 20
        # Event handlers only hand over, and a worker an object that lingers costs memory; with a
        # limit, one that lingers keeps the next object waiting.
        settings.queueing.worker_limit = 64
        settings.queueing.idle_timeout = 0.01
        settings.posting.enabled = False
        settings.scanning.disabled = True

    @kopf.on.login(registry=registry)
    def login(**_: Any) -> kopf.ConnectionInfo:
        return connection()

    def watch(kind: str, plural: str) -> None:
        @kopf.on.event(GROUP, VERSION, plural, registry=registry, id=f"watch-{plural}")
        async def on_event(event: kopf.RawEvent, **_: Any) -> None:
            # kopf would run a plain function in another thread.
            loop.call_soon_threadsafe(sink, kind, event["type"], dict(event["object"]))

    for kind, resource in WATCHED.items():
        watch(kind, resource.plural)
    return registry


class Watcher(threading.Thread):
    """Runs kopf until `stop`; a watcher that ends by itself ends the process with it."""

    def __init__(self, sink: Sink, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(name="kopf", daemon=True)
        self._registry = _registry(sink, loop)
        self._stop_flag = threading.Event()
        self._loop = loop
        self.ended = asyncio.Event()

    def run(self) -> None:
        """The thread's body."""
        try:
            kopf.run(
                registry=self._registry,
                clusterwide=True,
                standalone=True,
                # For its peers, of which there are none. By itself it would look up the user's
                # name, and a container need not have one.
                identity=cast(Any, "voicefleet"),
                stop_flag=self._stop_flag,
            )
        except Exception:
            logger.exception("the watcher failed")
        finally:
            self._loop.call_soon_threadsafe(self.ended.set)

    def stop(self) -> None:
        """Ask the thread to end."""
        self._stop_flag.set()
