"""A folder of events, shared by the processes of several calls and the one that syncs.

    <folder>/events/<name>.ics   one event a file: the vdir layout of vdirsyncer, khal and others
    <folder>/index.json          what the files say about time, so that a call need not parse them
    <folder>/lock                held (flock) by whoever changes the events

A file is written whole or not at all (fsync, rename). Every change moves the folder's time of
modification, by which the others see that there is something new: one `stat` when there is not.
"""

from __future__ import annotations

import fcntl
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter, ValidationError

from voicefleet_dialogue.booking import events
from voicefleet_dialogue.booking.events import Event

LOCK_SECONDS = 2.0
"""Nobody holds the lock for longer than it takes to write a file."""
_WINDOW_DAYS = 430
"""How far series are read ahead: the longest horizon, and two months until it is done again."""
_AGAIN_DAYS = 60

log = logging.getLogger(__name__)

Stamp = tuple[int, int]
"""Time of modification (ns) and size: unique a writing, as `write` sets the time itself."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the calendar."""

    stamp: Stamp
    event: Event | None
    """None where it cannot be read: it takes no time then."""


@dataclass(frozen=True, slots=True)
class _Index:
    """What `index.json` holds."""

    zone: str
    read_at: int
    """Seconds since the epoch; the window of the series begins then."""
    folder: int
    """Time of modification of the events' folder when it was listed."""
    entries: dict[str, Entry]


_INDEX = TypeAdapter(_Index)


class Store:
    """One client's events. Not for several threads at once."""

    def __init__(self, folder: Path) -> None:
        self._events = folder / "events"
        self._index_file = folder / "index.json"
        self._lock_file = folder / "lock"
        self._events.mkdir(parents=True, exist_ok=True)
        self._index: _Index | None = None

    @property
    def changed(self) -> int:
        """Another number after every change."""
        return self._events.stat().st_mtime_ns

    def entries(self, now: datetime, zone: ZoneInfo) -> Mapping[str, Entry]:
        """All files by name; the same object for as long as nothing has changed."""
        changed = self.changed
        index = self._index
        if index is None or index.folder != changed:
            noted = self._load()
            if noted is not None and (index is None or noted.folder == changed):
                index = noted
        if index is None or index.zone != zone.key:
            index = _Index(zone.key, int(now.timestamp()), 0, {})
        elif not 0 <= now.timestamp() - index.read_at < _AGAIN_DAYS * 86400:
            once = {n: e for n, e in index.entries.items() if e.event and not e.event.repeats}
            index = _Index(zone.key, int(now.timestamp()), 0, once)
        if index.folder != changed:
            index = replace(index, folder=changed, entries=self._scan(index))
            self._save(index)
        self._index = index
        return index.entries

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone among all processes; raises TimeoutError."""
        with self._lock_file.open("ab") as lock:
            deadline = time.monotonic() + LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise TimeoutError("the calendar is locked") from None
                    time.sleep(0.002)
            yield

    def read(self, name: str) -> bytes:
        """A file's content; raises FileNotFoundError."""
        return (self._events / name).read_bytes()

    def stamps(self) -> dict[str, Stamp]:
        """All files as they are now."""
        found = {}
        with os.scandir(self._events) as files:
            for file in files:
                if file.name.endswith(".ics") and not file.name.startswith("."):
                    with suppress(FileNotFoundError):  # removed since it was listed
                        found[file.name] = _stamp(file.stat())
        return found

    def stamp(self, name: str) -> Stamp | None:
        """Of a file as it is now; None where there is none."""
        try:
            return _stamp((self._events / name).stat())
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> Stamp:
        """Put a file there, durably; only while `locked`. Raises OSError."""
        partial = self._events.parent / "partial"  # one writer at a time, one name
        now = time.time_ns()
        with partial.open("wb") as out:
            out.write(data)
            out.flush()
            # The kernel's clock ticks too slowly to tell two quick changes apart.
            os.utime(out.fileno(), ns=(now, now))
            os.fsync(out.fileno())
        partial.replace(self._events / name)
        self._tell()
        return now, len(data)

    def remove(self, name: str) -> None:
        """Take a file away, durably; only while `locked`."""
        (self._events / name).unlink()
        self._tell()

    def note(self, name: str) -> None:
        """The one change since `entries`, under the same lock: then nobody need list the folder."""
        index = self._index
        if index is not None:
            entries = {other: entry for other, entry in index.entries.items() if other != name}
            stamp = self.stamp(name)
            if stamp is not None:
                entries[name] = Entry(stamp, self._parse(name, index))
            self._index = replace(index, folder=self.changed, entries=entries)
            self._save(self._index)

    def _tell(self) -> None:
        now = time.time_ns()
        os.utime(self._events, ns=(now, now))
        descriptor = os.open(self._events, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _scan(self, known: _Index) -> dict[str, Entry]:
        """The folder as it is now; only what is new is parsed."""
        found = {}
        for name, stamp in self.stamps().items():
            entry = known.entries.get(name)
            if entry is None or entry.stamp != stamp:
                with suppress(FileNotFoundError):  # removed since it was listed
                    entry = Entry(stamp, self._parse(name, known))
            if entry is not None:
                found[name] = entry
        return found

    def _parse(self, name: str, index: _Index) -> Event | None:
        window = events.window_from(datetime.fromtimestamp(index.read_at, UTC), _WINDOW_DAYS)
        try:
            return events.read(self.read(name), ZoneInfo(index.zone), window)
        except FileNotFoundError:
            raise
        except Exception as error:
            # Whatever others have put into their calendar must not stop a call. Its words may
            # be a caller's, so they are not logged.
            log.warning("event cannot be read", extra={"file": name, "error": type(error).__name__})
            return None

    def _load(self) -> _Index | None:
        try:
            return _INDEX.validate_json(self._index_file.read_bytes())
        except (OSError, ValidationError):
            return None

    def _save(self, index: _Index) -> None:
        """For the next process; without it that one reads all files, which takes longer."""
        with suppress(OSError):
            descriptor, partial = tempfile.mkstemp(dir=self._index_file.parent, prefix=".index.")
            try:
                with os.fdopen(descriptor, "wb") as out:
                    out.write(_INDEX.dump_json(index))
                Path(partial).replace(self._index_file)
            except BaseException:
                Path(partial).unlink(missing_ok=True)
                raise


def _stamp(stat: os.stat_result) -> Stamp:
    return stat.st_mtime_ns, stat.st_size
