"""Call records and their sound on the client's own volume, until they have been delivered.

    <callID>.lock                      held (flock) by the process of a call under way
    <callID>.part                      its record so far, which says that the agent ended
    <callID>.json                      the record, whole
    <callID>.talk                      where its talk is (see `journal`)
    <callID>.caller.wav, .agent.wav    what each side said

A process that is killed lets go of its lock; then the record so far is the record. When there is
no room, sound goes, the oldest first, before a record does.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Literal

from voicefleet_agent.logs import LOGGER
from voicefleet_agent.records import wave
from voicefleet_agent.records.journal import Entry, Journal, dump
from voicefleet_api.calls import CallRecord

Side = Literal["caller", "agent"]
SIDES: tuple[Side, ...] = ("caller", "agent")

AUDIO_LIMIT = 512 * 1024 * 1024
"""Bytes of sound that wait for delivery: two hours of calls, both sides at 16 kHz and more."""
RECORD_LIMIT = 5000
"""Records that wait for delivery: months of calls. Beyond, the oldest is given up."""
_LOOK_EVERY = 1024 * 1024
"""Bytes of sound after which a call looks whether there is still room."""

log = logging.getLogger(LOGGER)


class Spool:
    """The folder; every method raises OSError unless it says otherwise."""

    def __init__(self, folder: Path, *, audio_limit: int = AUDIO_LIMIT) -> None:
        self.folder = folder
        self.journal = Journal(folder)
        self._audio_limit = audio_limit
        self._gone: dict[str, float] = {}
        """Calls without a process, and since when that is known (monotonic)."""
        folder.mkdir(parents=True, exist_ok=True)

    def audio(self, call_id: str, side: Side) -> Path:
        """One side's sound."""
        return self.folder / f"{call_id}.{side}.wav"

    def record(self, call_id: str) -> Path:
        """The whole record."""
        return self.folder / f"{call_id}.json"

    def waiting(self) -> list[str]:
        """IDs of the calls that are over and not delivered, the oldest first."""
        done = [path for path in self.folder.glob("*.json") if not self._lock(path.stem).exists()]
        return [path.stem for path in sorted(done, key=_modified)]

    def remove(self, call_id: str) -> None:
        """All that there is of a call; its record last, so that a crash leaves no lone sound."""
        for side in SIDES:
            self.audio(call_id, side).unlink(missing_ok=True)
        self.record(call_id).unlink(missing_ok=True)

    def so_far(self, call_id: str) -> CallRecord | None:
        """The record of a call whose process is gone, as far as it got and can be read."""
        try:
            return CallRecord.model_validate_json(self._part(call_id).read_bytes())
        except (OSError, ValueError):
            return None

    def recover(self, patience: float = 0) -> list[str]:
        """Close the calls whose process has been gone for `patience` seconds; returns their IDs.

        Until then another process may go on with them."""
        found = []
        gone, self._gone = self._gone, {}
        for lock in self.folder.glob("*.lock"):
            with suppress(OSError), lock.open("ab") as held:
                # Refused (BlockingIOError) while the call is under way.
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                since = self._gone[lock.stem] = gone.get(lock.stem, time.monotonic())
                if time.monotonic() - since >= patience:
                    self._settle(lock.stem)
                    found.append(lock.stem)
        return found

    def trim(self) -> None:
        """Keep to the limits."""
        self.journal.prune()
        while self._audio_bytes() > self._audio_limit and self.give_up_audio():
            pass
        for call_id in self.waiting()[:-RECORD_LIMIT]:
            log.error("call record given up", extra={"action": "RecordLost", "callID": call_id})
            self.remove(call_id)

    def give_up_audio(self) -> bool:
        """Remove the oldest call's sound, never that of one under way; False: there is none."""
        for path in sorted(self._audio_files(), key=_modified):
            call_id = path.name.partition(".")[0]
            if not self._lock(call_id).exists():
                log.warning("sound given up", extra={"action": "AudioLost", "callID": call_id})
                for side in SIDES:
                    self.audio(call_id, side).unlink(missing_ok=True)
                return True
        return False

    def has_room(self) -> bool:
        """Whether more sound may be kept, at the expense of older sound if need be."""
        self.trim()
        return self._audio_bytes() <= self._audio_limit

    def write(self, path: Path, data: bytes) -> None:
        """Whole or not at all, durably; makes room at the expense of sound."""
        while True:
            try:
                _replace(path, data)
                return
            except OSError:
                if not self.give_up_audio():
                    raise

    def _lock(self, call_id: str) -> Path:
        return self.folder / f"{call_id}.lock"

    def _part(self, call_id: str) -> Path:
        return self.folder / f"{call_id}.part"

    def _settle(self, call_id: str) -> None:
        part = self._part(call_id)
        for side in SIDES:
            wave.seal(self.audio(call_id, side))
        if part.exists() and not self.record(call_id).exists():
            part.replace(self.record(call_id))
            _sync(self.folder)
        for rest in (part, _partial(part), _partial(self.record(call_id))):
            rest.unlink(missing_ok=True)
        if not self.record(call_id).exists():
            self.remove(call_id)
        self._lock(call_id).unlink(missing_ok=True)

    def _audio_files(self) -> Iterator[Path]:
        return self.folder.glob("*.wav")

    def _audio_bytes(self) -> int:
        total = 0
        for path in self._audio_files():
            with suppress(FileNotFoundError):
                total += path.stat().st_size
        return total


class OpenCall:
    """What a call under way writes; for one thread. Every method raises OSError."""

    def __init__(self, spool: Spool, call_id: str, *, again: bool = False) -> None:
        """`again`: another process was in the call, and is gone."""
        self._spool = spool
        self._talk = spool.journal.path(call_id)
        self._kept = again
        """There is an entry in the journal, unless it was claimed."""
        self._id = call_id
        self._sounds: dict[Side, wave.Writer] = {}
        self._silent = False
        self._unlooked = 0
        lock = spool._lock(call_id)
        if again:
            self._held: BinaryIO = lock.open("ab")
            fcntl.flock(self._held, fcntl.LOCK_EX)
            return
        # Locked before it has its name: nobody meets it unlocked.
        unnamed = lock.with_suffix(".new")
        self._held = unnamed.open("ab")
        fcntl.flock(self._held, fcntl.LOCK_EX)
        unnamed.replace(lock)

    def checkpoint(self, record: bytes, talk: Entry | None = None) -> None:
        """What the record is, and where the talk, should this process be killed now."""
        self._write(self._spool._part(self._id), record)
        if talk is not None:
            self._keep(talk)

    @property
    def claimed(self) -> bool:
        """Whether the caller goes on with the talk in another call."""
        return self._kept and not self._talk.exists()

    def sound(self, side: Side, pcm: bytes, rate: int, at: float) -> None:
        """Add 16-bit mono PCM that began `at` seconds into the call; raises ValueError.

        Where there is no room, all sound of this call is given up.
        """
        if self._silent:
            return
        self._unlooked += len(pcm)
        try:
            if self._unlooked >= _LOOK_EVERY:
                self._unlooked = 0
                if not self._spool.has_room():
                    raise OSError("the sound of this call alone is too much")
            if side not in self._sounds:
                self._sounds[side] = wave.Writer(self._spool.audio(self._id, side), rate)
            self._sounds[side].write(pcm, rate, at)
        except OSError as error:
            log.warning(
                "sound not kept",
                extra={"action": "AudioLost", "callID": self._id, "error": type(error).__name__},
            )
            self.give_up_sound()

    def give_up_sound(self) -> None:
        """Make room for the record."""
        self._silent = True
        for side, sound in self._sounds.items():
            with suppress(OSError):
                sound.close()
            self._spool.audio(self._id, side).unlink(missing_ok=True)
        self._sounds.clear()

    def complete(self, record: bytes, talk: Entry | None = None) -> None:
        """The call is over; `talk`: it was cut off. If this fails, the last checkpoint is left."""
        try:
            for side, sound in self._sounds.items():
                sound.close()
                wave.seal(self._spool.audio(self._id, side))
            self._write(self._spool.record(self._id), record)
            self._spool._part(self._id).unlink(missing_ok=True)
            if talk is not None:
                self._keep(talk)
            else:
                self._talk.unlink(missing_ok=True)
            self._spool._lock(self._id).unlink(missing_ok=True)
        finally:
            self._held.close()

    def _keep(self, talk: Entry) -> None:
        with self._spool.journal.alone():
            if not self.claimed:
                self._write(self._talk, dump(talk))
                self._kept = True

    def _write(self, path: Path, data: bytes) -> None:
        try:
            self._spool.write(path, data)
        except OSError:
            self.give_up_sound()
            self._spool.write(path, data)


def _replace(path: Path, data: bytes) -> None:
    partial = _partial(path)
    try:
        with partial.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _partial(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _modified(path: Path) -> int:
    """A file that has just gone is the oldest."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
