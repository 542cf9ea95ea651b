"""Both ways between the folder of events and the collection on the server.

What has changed since the last pass is read off both sides: a file's stamp, an event's ETag. So
nothing is queued, and what failed is tried in the next pass. Where both have changed, the server's
is kept: a person's edit, or removal, outranks a call's. Writes carry a precondition, so an edit
made in the same second is not overwritten either.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from voicefleet_agent.caldav.collection import Changed, Collection, Refused
from voicefleet_agent.logs import LOGGER
from voicefleet_dialogue.booking.events import fingerprint, is_ours
from voicefleet_dialogue.booking.store import Stamp, Store

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_@+-][A-Za-z0-9_@.+-]{0,150}\.ics")

log = logging.getLogger(LOGGER)


@dataclass(frozen=True, slots=True)
class Known:
    """An event as both sides had it last."""

    href: str
    etag: str | None
    """None: not known to be there."""
    stamp: Stamp | None
    """None: not known to be here."""
    sent: str | None = None
    """Fingerprint of what we wrote there. If it is found there, nobody has edited it: a reply
    was lost, or the server told no ETag."""


@dataclass(slots=True)
class _State:
    url: str
    known: dict[str, Known] = field(default_factory=dict)
    """By file name."""


_STATE = TypeAdapter(_State)


class Sync:
    """One calendar and its collection; `state` is where it remembers how both were.

    If that may have been another collection, `leave` it first.
    """

    def __init__(self, store: Store, collection: Collection, state: Path, url: str) -> None:
        self._store = store
        self._collection = collection
        self._file = state
        self._state = _load(state) or _State(url)

    async def run(self) -> None:
        """One pass, in which one event's failure stops no other; raises `Unavailable`, OSError."""
        remote = await self._collection.etags()
        local = self._store.stamps()
        known = self._state.known
        names = {entry.href: name for name, entry in known.items()}
        names |= {self._collection.href(name): name for name in local if name not in known}
        fetch: dict[str, str] = {}
        for href in remote:
            entry = known.get(names.setdefault(href, _file_name(href)))
            if entry is None or entry.etag != remote[href]:
                fetch[href] = names[href]
        fetched = await self._collection.fetch(fetch)
        for href, name in sorted(names.items()):
            # What is new there and could not be fetched has gone again, or comes next time.
            if href not in fetch or href in fetched:
                try:
                    await self._event(name, href, remote.get(href), fetched.get(href))
                except Changed:
                    log.info("changed meanwhile", extra={"action": "CalendarChanged"})
                except Refused as error:
                    log.warning(
                        "event not synced",
                        extra={
                            "action": "CalendarEventFailed",
                            "file": name,
                            "error": str(error),
                        },
                    )
        self._save()

    async def _event(
        self, name: str, href: str, etag: str | None, fetched: tuple[str, bytes] | None
    ) -> None:
        known = self._state.known.get(name)
        stamp = self._store.stamp(name)
        if fetched is not None:
            etag, data = fetched
            if known is None or known.sent is None or fingerprint(data) != known.sent:
                await asyncio.to_thread(self._take, name, href, etag, data)
                return
            known = replace(known, etag=etag)
            self._state.known[name] = known
        if stamp is not None and etag is not None:
            if known is None or known.stamp != stamp:
                await self._send(name, href, etag)
        elif stamp is not None:
            if known is None or known.etag is None:
                await self._send(name, href, None)
            else:
                await asyncio.to_thread(self._drop, name)
        else:
            if etag is not None:
                await self._collection.delete(href, etag)
            self._state.known.pop(name, None)

    async def _send(self, name: str, href: str, etag: str | None) -> None:
        stamp = self._store.stamp(name)
        try:
            data = self._store.read(name)
        except FileNotFoundError:
            return  # cancelled since it was listed: the next pass removes it there
        # Before it goes out, so that a lost reply is not taken for somebody's edit.
        known = self._state.known.get(name)
        sent = fingerprint(data)
        self._state.known[name] = Known(href, etag, known.stamp if known else None, sent)
        self._save()
        new = await self._collection.put(href, data, etag)
        self._state.known[name] = Known(href, new or "", stamp, sent)
        self._save()

    def _take(self, name: str, href: str, etag: str, data: bytes) -> None:
        """Make it here as it is there, whatever a call has done to it."""
        with self._store.locked():
            self._state.known[name] = Known(href, etag, self._store.write(name, data))

    def _drop(self, name: str) -> None:
        with self._store.locked(), suppress(FileNotFoundError):
            self._store.remove(name)
        del self._state.known[name]

    def _save(self) -> None:
        descriptor, partial = tempfile.mkstemp(dir=self._file.parent, prefix=".sync.")
        with os.fdopen(descriptor, "wb") as out:
            out.write(_STATE.dump_json(self._state))
            out.flush()
            os.fsync(out.fileno())
        Path(partial).replace(self._file)


def leave(store: Store, file: Path, url: str | None) -> None:
    """If it was another collection that was synced, take out what had come from there.

    Bookings stay, and go to the next one. Nothing is removed at the server.
    """
    state = _load(file)
    if state is None or state.url == url:
        return
    with store.locked():
        for name in state.known.keys() & store.stamps().keys():
            if not is_ours(store.read(name)):
                store.remove(name)
    file.unlink()


def _load(file: Path) -> _State | None:
    try:
        return _STATE.validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None


def _file_name(href: str) -> str:
    name = href.rpartition("/")[2]
    return (
        name if _PLAIN_NAME.fullmatch(name) else hashlib.sha256(href.encode()).hexdigest() + ".ics"
    )
