"""The loop: N workers take keys from the queue and reconcile; a sweep lists everything anew."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from voicefleet_operator import metrics
from voicefleet_operator.drivers.errors import Ambiguous, Throttled, VendorError
from voicefleet_operator.execution.status import SETTLE
from voicefleet_operator.kube import (
    FLEETS,
    PHONENUMBERS,
    RECEPTIONISTS,
    VOICECLIENTS,
    Conflict,
    Kube,
    KubeError,
    NotFound,
    Object,
    Resource,
)
from voicefleet_operator.logs import log_context
from voicefleet_operator.orphans import find, list_vendors, living
from voicefleet_operator.reconcilers.common import Controller, Retry, fleet_name
from voicefleet_operator.reconcilers.fleet import reconcile_fleet
from voicefleet_operator.reconcilers.phonenumber import reconcile_phonenumber
from voicefleet_operator.reconcilers.voiceclient import reconcile_voiceclient
from voicefleet_operator.settings import Settings
from voicefleet_operator.store import Store, key_of
from voicefleet_operator.workqueue import Key, WorkQueue
from voicefleet_operator.world import Runtime

logger = logging.getLogger(__name__)

WATCHED: dict[str, Resource] = {
    "Fleet": FLEETS,
    "Receptionist": RECEPTIONISTS,
    "PhoneNumber": PHONENUMBERS,
    "VoiceClient": VOICECLIENTS,
}
_RECONCILERS: dict[str, Callable[[Controller, Key], Awaitable[float | None]]] = {
    "Fleet": reconcile_fleet,
    "PhoneNumber": reconcile_phonenumber,
    "VoiceClient": reconcile_voiceclient,
}


class Loop:
    """The controller's event loop side; the shell feeds it through `event`."""

    def __init__(self, kube: Kube, settings: Settings) -> None:
        self.store = Store()
        self.queue = WorkQueue()
        self._settings = settings
        self.controller = Controller(
            kube, self.store, self.queue, settings, on_runtime=self._watch_runtime
        )
        self._watches: set[asyncio.Task[None]] = set()
        self._deleted: set[str] = set()
        """UIDs of what has gone since the last list was begun."""
        self.listed = False
        """Our kinds were listed once."""

    async def run(self) -> None:
        """Until cancelled: list once, then work on what changes."""
        await self._list_kubernetes()
        self.listed = True
        async with asyncio.TaskGroup() as group:
            for _ in range(self._settings.workers):
                group.create_task(self._worker())
            group.create_task(self._sweep())

    # --- what comes in ------------------------------------------------------------------------

    def event(self, kind: str, event_type: str | None, obj: Object) -> None:
        """Take in a watch event; everything that depends on the object is looked at again."""
        obj = {**obj, "kind": kind}
        key = key_of(obj)
        known = self.store.get(key)
        if known and known["metadata"].get("generation") != obj["metadata"].get("generation"):
            self.queue.forget(key)
        if event_type == "DELETED":
            self._deleted.add(obj["metadata"]["uid"])
            self.store.remove(key)
        elif not self.store.put(obj):
            return
        self._enqueue(key, obj)

    def _enqueue(self, key: Key, obj: Object) -> None:
        if key.kind in _RECONCILERS:
            self.queue.add(key)
        if key.kind == "PhoneNumber" and (claim := obj["spec"].get("claimRef")):
            self.queue.add(Key("VoiceClient", claim["namespace"], claim["name"]))
        if key.kind == "Receptionist":
            self._enqueue_clients(
                lambda c: (
                    c["metadata"]["namespace"] == key.namespace
                    and c["spec"].get("receptionistRef", {}).get("name") == key.name
                )
            )
        if key.kind == "Fleet":
            self._enqueue_clients(lambda c: fleet_name(c) == key.name)

    def _enqueue_clients(self, chosen: Callable[[Object], bool]) -> None:
        for client in self.store.of_kind("VoiceClient"):
            if chosen(client):
                self.queue.add(key_of(client))

    async def _list_kubernetes(self) -> None:
        """List our kinds: at the start, and against what a broken watch may have missed.

        What the watch brings while the list is on its way is newer than the list.
        """
        for kind, resource in WATCHED.items():
            before = self.store.of_kind(kind)
            self._deleted.clear()
            present = set()
            for obj in await self.controller.kube.list(resource):
                obj = {**obj, "kind": kind}
                present.add(key_of(obj))
                if obj["metadata"]["uid"] not in self._deleted:
                    self.store.put(obj)
            for obj in before:
                if key_of(obj) not in present and self.store.get(key_of(obj)) is obj:
                    self.store.remove(key_of(obj))
            for obj in self.store.of_kind(kind):
                if kind in _RECONCILERS:
                    self.queue.add(key_of(obj))

    async def _sweep(self) -> None:
        # The first one soon: what a former leader still had on its way has arrived by then.
        pause = SETTLE
        while True:
            await asyncio.sleep(pause)
            try:
                self.controller.forget_listings()
                self.controller.settled = True
                pause = self._settings.resync_seconds
                for world in self.controller.worlds.values():
                    await list_vendors(world)
                await self._list_kubernetes()
                await self._count_orphans()
            except (KubeError, VendorError) as error:
                logger.warning("sweep: %s", error)

    async def _count_orphans(self) -> None:
        for name, world in self.controller.worlds.items():
            clients, numbers = self.store.of_kind("VoiceClient"), self.store.of_kind("PhoneNumber")
            found = await find(world, living(world.fleet_id, name, clients, numbers))
            metrics.ORPHANS.labels(name).set(len(found))
            metrics.ORPHANS_COST.labels(name).set(sum(orphan.cost_minor for orphan in found))
            if found:
                logger.warning(
                    "%d orphans in fleet %s; see: voicefleet orphans", len(found), name,
                    extra={"action": "CountOrphans"},
                )  # fmt: skip

    def _watch_runtime(self, class_name: str, runtime: Runtime) -> None:
        def changed(client_id: str) -> None:
            runtime.forget()
            for client in self.store.clients_of(client_id):
                self.queue.add(key_of(client))

        task = asyncio.create_task(runtime.driver.watch(changed), name=f"watch-{class_name}")
        self._watches.add(task)

    # --- the work -----------------------------------------------------------------------------

    async def _worker(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                await self._reconcile(key)
            finally:
                self.queue.done(key)

    async def _reconcile(self, key: Key) -> None:
        obj = self.store.get(key)
        meta = (obj or {}).get("metadata", {})
        token = log_context.set(
            {
                "object": str(key),
                "uid": meta.get("uid"),
                "generation": meta.get("generation"),
                "clientID": ((obj or {}).get("status") or {}).get("clientID"),
            }
        )
        started = time.monotonic()
        result = "ok"
        try:
            again = await _RECONCILERS[key.kind](self.controller, key)
            self.queue.forget(key)
            if again is not None:
                self.queue.add_after(key, again)
        except Conflict:
            result = "conflict"
            await self._read_again(key)
        except Retry as retry:
            result = "retry"
            self.queue.add_failed(key, at_least=retry.at_least)
            if retry.at_most is not None:
                self.queue.add_after(key, retry.at_most)
        except VendorError as error:
            result = "retry"
            if isinstance(error, Ambiguous):
                self.controller.doubt(key)
            wait = error.retry_after if isinstance(error, Throttled) else 0.0
            self.queue.add_failed(key, at_least=wait)
        except NotFound:
            result = "gone"
            await self._read_again(key)
        except Exception:
            result = "error"
            self.controller.doubt(key)
            logger.exception("reconciliation failed")
            self.queue.add_failed(key, at_least=1.0)
        finally:
            metrics.RECONCILIATIONS.labels(key.kind, result).inc()
            metrics.RECONCILE_SECONDS.labels(key.kind).observe(time.monotonic() - started)
            log_context.reset(token)

    async def _read_again(self, key: Key) -> None:
        """The copy in the store is stale: read the object instead of waiting for the watch."""
        try:
            obj = await self.controller.kube.get(WATCHED[key.kind], key.name, key.namespace or None)
        except NotFound:
            self.store.remove(key)
            return
        except KubeError as error:
            logger.warning("reading again: %s", error)
        else:
            self.store.put({**obj, "kind": key.kind})
        self.queue.add_failed(key)
