"""Complete calls on disk: one SQLite file and one folder of sound a client.

<folder>/<clientID>.sqlite
<folder>/<clientID>/<callID>.<caller|agent>.wav

A client's calls are only in its own file: no query can reach another's.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sqlite3
import uuid
from collections.abc import AsyncIterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import anyio.to_thread

from voicefleet_api.calls import CallRecord
from voicefleet_api.tokens import SUBJECT
from voicefleet_api.voiceclient import Retention

Side = Literal["caller", "agent"]
SIDES: tuple[Side, ...] = ("caller", "agent")
MAX_AUDIO = 256 * 1024 * 1024
"""Bytes: more than two hours of 16 bits at 16 kHz."""
_CALL_ID = re.compile(r"[0-9a-f-]{36}")
_BUSY_SECONDS = 5.0
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FULL_SQLITE = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}
_MIGRATIONS = (
    """
    CREATE TABLE calls (
      call_id TEXT PRIMARY KEY,
      started TEXT NOT NULL,
      duration REAL NOT NULL,
      words TEXT NOT NULL,
      record TEXT NOT NULL
    ) STRICT;
    CREATE INDEX calls_started ON calls (started);
    """,
    """
    CREATE TABLE retention (
      one INTEGER PRIMARY KEY CHECK (one = 1),
      records_days INTEGER NOT NULL,
      audio_days INTEGER NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE mail (
      call_id TEXT NOT NULL,
      number INTEGER NOT NULL,
      sent INTEGER NOT NULL DEFAULT 0,
      PRIMARY KEY (call_id, number)
    ) STRICT
    """,
)
"""Each brings a file one version (`user_version`) further. `words` is what is searched."""


class BadName(Exception):
    """No client or call can be called so."""


class Full(Exception):
    """The disk takes no more; nothing is half written."""


class Busy(Exception):
    """Somebody else has the file; nothing was kept."""


class TooLarge(Exception):
    """More sound than a call can have."""


@dataclass(frozen=True)
class Store:
    """Below one folder. What blocks is meant to run in a thread."""

    folder: Path

    def put(self, record: CallRecord) -> bool:
        """Keep a call, durable on return; whether it was new or changed.

        Of two records of one call the longer wins: a call that was cut off has a shorter one, made
        of its last checkpoint. Raises `BadName`, `Full`, `Busy`.
        """
        with _trouble_is_said(), self._open(record.client_id, create=True) as file, file:
            done = file.execute(
                "INSERT INTO calls VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (call_id) DO UPDATE SET started = excluded.started,"
                " duration = excluded.duration, words = excluded.words, record = excluded.record"
                " WHERE excluded.duration >= duration AND excluded.record != record",
                (
                    _call_id(record.call_id),
                    timestamp(record.started),
                    record.duration_seconds,
                    _words(record),
                    record.model_dump_json(by_alias=True),
                ),
            )
            if done.rowcount:
                file.executemany(
                    "INSERT OR IGNORE INTO mail (call_id, number) VALUES (?, ?)",
                    [(record.call_id, number) for number in range(len(record.messages))],
                )
        return done.rowcount > 0

    def get(self, client_id: str, call_id: str) -> CallRecord | None:
        """One call; raises `BadName`."""
        found = self._read(client_id, "WHERE call_id = ?", (_call_id(call_id),))
        return found[0] if found else None

    def search(
        self, client_id: str, *, q: str = "", before: datetime | None = None, limit: int = 50
    ) -> list[CallRecord]:
        """Newest first; those with all words of `q`, begun before `before`. Raises `BadName`."""
        words = q.lower().split()
        conditions = ["instr(words, ?) > 0"] * len(words)
        values: tuple[object, ...] = tuple(words)
        if before is not None:
            conditions.append("started < ?")
            values += (timestamp(before),)
        where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
        return self._read(client_id, f"{where}ORDER BY started DESC LIMIT ?", (*values, limit))

    def unsent(self, client_id: str, since: datetime) -> list[tuple[CallRecord, int]]:
        """Messages that were not mailed, of calls begun after `since`: the call, and which one."""
        with self._open(client_id) as file:
            rows = file.execute(
                "SELECT record, number FROM mail JOIN calls USING (call_id)"
                " WHERE NOT sent AND started >= ? ORDER BY started, number",
                (timestamp(since),),
            ).fetchall()
        return [(CallRecord.model_validate_json(text), number) for text, number in rows]

    def sent(self, client_id: str, call_id: str, number: int) -> None:
        """That message was mailed."""
        with self._open(client_id) as file, file:
            file.execute(
                "UPDATE mail SET sent = 1 WHERE call_id = ? AND number = ?", (call_id, number)
            )

    def clients(self) -> list[str]:
        """IDs of the clients that have had a call, or its sound."""
        found = {
            path.stem for path in self.folder.glob("*") if path.suffix == ".sqlite" or path.is_dir()
        }
        return sorted(filter(SUBJECT.fullmatch, found))

    def retention(self, client_id: str, declared: Retention | None) -> Retention | None:
        """What is declared, or else what was last; None where nothing ever was.

        A client that is deleted has nothing declared any more, but its callers were promised.
        """
        with self._open(client_id) as file:
            row = file.execute("SELECT records_days, audio_days FROM retention").fetchone()
            known = Retention(records_days=row[0], audio_days=row[1]) if row else None
            if declared in (None, known):
                return known
            with file:
                file.execute(
                    "REPLACE INTO retention VALUES (1, ?, ?)",
                    (declared.records_days, declared.audio_days),
                )
        return declared

    def forget(self, client_id: str, retention: Retention, now: datetime) -> int:
        """Delete what was kept long enough, and leave no trace in free pages; how many calls.

        Sound goes first: killed in between, the next time finishes it. Sound without a record is
        as old as its file.
        """
        records = now - timedelta(days=retention.records_days)
        sound = now - timedelta(days=retention.sound_days)
        with self._open(client_id) as file:
            for path in self._folder(client_id).glob("*.wav"):
                query = "SELECT started < ? FROM calls WHERE call_id = ?"
                row = file.execute(query, (timestamp(sound), path.name.split(".")[0])).fetchone()
                if row[0] if row else path.stat().st_mtime < sound.timestamp():
                    path.unlink()
            with file:
                gone = file.execute("DELETE FROM calls WHERE started < ?", (timestamp(records),))
                file.execute("DELETE FROM mail WHERE call_id NOT IN (SELECT call_id FROM calls)")
            if gone.rowcount or file.execute("PRAGMA freelist_count").fetchone()[0]:
                file.execute("PRAGMA temp_store = MEMORY")
                file.execute("VACUUM")
        return gone.rowcount

    def clear(self) -> None:
        """Remove what uploads have left that were cut off; only while nothing is received."""
        for part in self.folder.glob("*/.*.wav.*"):
            part.unlink()

    def audio(self, client_id: str, call_id: str, side: Side) -> Path:
        """Where that sound lies, if there is any; raises `BadName`."""
        return self._folder(client_id) / f"{_call_id(call_id)}.{side}.wav"

    async def put_audio(
        self, client_id: str, call_id: str, side: Side, chunks: AsyncIterable[bytes]
    ) -> None:
        """Keep sound as it comes, whole or not at all, durable on return.

        Raises `BadName`, `TooLarge`, `Full`, and what `chunks` raises.
        """
        target = self.audio(client_id, call_id, side)
        part = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        with _trouble_is_said():
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                with part.open("xb") as file:
                    size = 0
                    async for chunk in chunks:
                        size += len(chunk)
                        if size > MAX_AUDIO:
                            raise TooLarge(f"more than {MAX_AUDIO} bytes")
                        await anyio.to_thread.run_sync(file.write, chunk)
                    file.flush()
                    await anyio.to_thread.run_sync(os.fsync, file.fileno())
                await anyio.to_thread.run_sync(_publish, part, target)
            finally:
                part.unlink(missing_ok=True)

    def _folder(self, client_id: str) -> Path:
        if not SUBJECT.fullmatch(client_id):
            raise BadName("clientID: small letters, digits and single hyphens, 63 at most")
        return self.folder / client_id

    def _read(self, client_id: str, where: str, values: tuple[object, ...]) -> list[CallRecord]:
        with self._open(client_id) as file:
            # `where` is made of the constants above.
            rows = file.execute(f"SELECT record FROM calls {where}", values).fetchall()  # noqa: S608
        return [CallRecord.model_validate_json(row[0]) for row in rows]

    @contextlib.contextmanager
    def _open(self, client_id: str, *, create: bool = False) -> Iterator[sqlite3.Connection]:
        """A client's file; an empty one in memory where it has had no call."""
        path = self._folder(client_id).with_suffix(".sqlite")
        if create:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        there = create or path.exists()
        file = sqlite3.connect(path if there else ":memory:", timeout=_BUSY_SECONDS)
        try:
            file.execute("PRAGMA synchronous = FULL")
            _migrate(file)
            yield file
        finally:
            file.close()


def _migrate(file: sqlite3.Connection) -> None:
    """Raises ValueError for a file of a newer version."""
    if _version(file) == len(_MIGRATIONS):
        return
    file.execute("PRAGMA journal_mode = WAL")
    file.execute("BEGIN IMMEDIATE")
    with file:
        version = _version(file)  # once more: somebody else may have been first
        if version > len(_MIGRATIONS):
            raise ValueError(f"the calls are of version {version}, newer than this program")
        for number, script in enumerate(_MIGRATIONS[version:], version + 1):
            for statement in filter(str.strip, script.split(";")):
                file.execute(statement)
            file.execute(f"PRAGMA user_version = {number}")


def _version(file: sqlite3.Connection) -> int:
    version: int = file.execute("PRAGMA user_version").fetchone()[0]
    return version


def timestamp(moment: datetime) -> str:
    """UTC, of one length, so that text sorts as time; without an offset it is taken as UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _call_id(call_id: str) -> str:
    if not _CALL_ID.fullmatch(call_id):
        raise BadName("callID: a UUID in small letters")
    return call_id


def _words(record: CallRecord) -> str:
    found = [record.caller, record.called, record.outcome, *record.slots.values()]
    found += [turn.text for turn in record.transcript]
    found += [f"{item.title} {item.name or ''}" for item in record.appointments]
    found += [f"{item.text} {item.name or ''} {item.phone or ''}" for item in record.messages]
    return "\n".join(filter(None, found)).lower()


def _publish(part: Path, target: Path) -> None:
    part.replace(target)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def _trouble_is_said() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise Full from None
        raise
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode in _FULL_SQLITE:
            raise Full from None
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            raise Busy from None
        raise
