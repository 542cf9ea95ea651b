"""The journal: where the talk of each call is after every turn, for whoever has to go on with it.

`<callID>.talk` lies beside the call's record. It goes when the call ends as it should; of a call
that was cut off it stays for a while, for the caller who rings again.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import TypeAdapter

from voicefleet_api.callers import shows
from voicefleet_dialogue.state import Saved

KEPT = timedelta(minutes=10)
"""Who rings later does not expect to be asked the next question."""
DEATHS = 3
"""Processes that a call may lose; after the last the talk is not gone on with."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One call's talk."""

    call_id: str
    room: str
    caller: str | None
    """As the carrier showed it."""
    at: datetime
    """When it was written, UTC."""
    deaths: int
    """How many processes the call has lost so far."""
    line_lost: bool
    """Nothing comes from the caller's telephone any more."""
    talk: Saved
    client_id: str = ""
    """Whose call it is: an overflow agent has several clients'."""


_ENTRY = TypeAdapter(Entry)


def dump(entry: Entry) -> bytes:
    """As JSON."""
    return _ENTRY.dump_json(entry)


def load(data: bytes) -> Entry:
    """Raises ValueError."""
    return _ENTRY.validate_json(data)


class Journal:
    """The entries in the spool's folder; every method raises OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, call_id: str) -> Path:
        """The call's entry."""
        return self._folder / f"{call_id}.talk"

    def entries(self) -> list[Entry]:
        """All that can be read and are not too old, the newest first."""
        found = []
        for path in self._folder.glob("*.talk"):
            with suppress(FileNotFoundError, ValueError):
                entry = load(path.read_bytes())
                if datetime.now(UTC) - entry.at < KEPT:
                    found.append(entry)
        return sorted(found, key=lambda entry: entry.at, reverse=True)

    def of_room(self, room: str) -> Entry | None:
        """The talk that was held there."""
        return next((entry for entry in self.entries() if entry.room == room), None)

    def claim(self, caller: str, client_id: str) -> Entry | None:
        """The talk with that client in which this caller was cut off; nobody else gets it then."""
        if not shows(caller):
            return None
        with self.alone():
            for entry in self.entries():
                if (
                    (entry.caller, entry.client_id) == (caller, client_id)
                    and entry.talk.state.phase != "Ended"
                    and (entry.line_lost or self.is_over(entry.call_id))
                ):
                    self.path(entry.call_id).unlink()
                    return entry
        return None

    def is_over(self, call_id: str) -> bool:
        """Whether no process is in the call."""
        try:
            with (self._folder / f"{call_id}.lock").open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return True
        except BlockingIOError:
            return False
        return True

    def prune(self) -> None:
        """Remove what is of no use to anybody, readable or not."""
        with self.alone():
            for path in self._folder.glob("*.talk"):
                with suppress(FileNotFoundError):
                    age = datetime.now(UTC).timestamp() - path.stat().st_mtime
                    if age > KEPT.total_seconds() and self.is_over(path.stem):
                        path.unlink()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else claims, writes or removes an entry meanwhile."""
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)
