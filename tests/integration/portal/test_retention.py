"""Calls are kept as long as their client says, and leave no trace afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from support.agency import CAFE, PLUMBER, declare
from support.controlplane import ControlPlane
from support.portal import Portal, portal, record
from voicefleet_api.calls import CallRecord, TranscriptTurn
from voicefleet_api.voiceclient import Retention
from voicefleet_portal import retention
from voicefleet_portal.clients import Client, Unavailable
from voicefleet_portal.store import Store

pytestmark = pytest.mark.integration
BEGUN = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECRET = "zebra crossing at midnight"


@dataclass
class Listed:
    """The clients of a cluster; None: it does not answer."""

    found: Sequence[Client] | None

    async def clients(self) -> list[Client]:
        if self.found is None:
            raise Unavailable("no")
        return [*self.found]


def listed(client_id: str, kept: Retention) -> Listed:
    return Listed([Client(client_id, "default", "one", "One", None, True, "", "UTC", kept)])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


async def keep(store: Store, *days: int, words: str = SECRET, sound: bool = True) -> None:
    """One call on each of those days, counted from `BEGUN`, with sound."""
    for day in days:
        begun = BEGUN + timedelta(days=day)
        said = [TranscriptTurn(speaker="Caller", text=f"{words} {i}", at=i) for i in range(90)]
        call = record(started=begun, transcript=said)
        store.put(call)
        if sound:
            await store.put_audio("vc-one", call.call_id, "caller", _chunks(words.encode()))


async def _chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def days(store: Store) -> list[int]:
    return sorted((call.started - BEGUN).days for call in store.search("vc-one"))


def sounds(store: Store) -> int:
    return len(list(store.folder.rglob("*.wav")))


def after(days: float) -> datetime:
    return BEGUN + timedelta(days=days)


async def test_sound_goes_before_the_record_and_each_on_its_day(store: Store) -> None:
    await keep(store, 0, 5)
    kept = listed("vc-one", Retention(records_days=30, audio_days=7))
    for day, calls, heard in (
        (6.9, [0, 5], 2),
        (7.1, [0, 5], 1),
        (29.9, [0, 5], 0),
        (30.1, [5], 0),
    ):
        await retention.forget(store, kept, after(day))
        assert (days(store), sounds(store)) == (calls, heard), day


async def test_sound_is_never_kept_longer_than_its_record(store: Store) -> None:
    await keep(store, 0)
    kept = listed("vc-one", Retention(records_days=3, audio_days=90))
    await retention.forget(store, kept, after(3.1))
    assert (days(store), sounds(store)) == ([], 0)


async def test_nothing_of_it_is_left_in_any_file(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in free pages, nor in the write-ahead log; what is kept is whole. Debian's SQLite
    overwrites what is deleted by itself, others do not."""

    def connect(*words: Any, **options: Any) -> sqlite3.Connection:
        made = sqlite3.Connection(*words, **options)
        made.execute("PRAGMA secure_delete = OFF")
        return made

    monkeypatch.setattr(sqlite3, "connect", connect)
    await keep(store, 0, 1, 2)
    await keep(store, 10, words="what stays")
    assert _found(store, SECRET)
    await retention.forget(store, listed("vc-one", Retention(records_days=5)), after(8))
    assert days(store) == [10]
    assert _found(store, "what stays")
    assert not _found(store, SECRET)
    assert not _found(store, SECRET.upper())


def _found(store: Store, words: str) -> list[str]:
    files = [path for path in store.folder.rglob("*") if path.is_file()]
    return [path.name for path in files if words.encode() in path.read_bytes()]


async def test_a_deleted_client_s_calls_go_by_what_was_promised_last(store: Store) -> None:
    await keep(store, 0)
    await retention.forget(store, listed("vc-one", Retention(records_days=10)), after(1))
    await retention.forget(store, listed("vc-one", Retention(records_days=20)), after(2))
    await retention.forget(store, Listed([]), after(19))
    assert days(store) == [0]
    await retention.forget(store, Listed([]), after(21))
    assert days(store) == []


async def test_a_client_that_nobody_knows_goes_by_the_defaults(store: Store) -> None:
    await keep(store, 0)
    await retention.forget(store, Listed([]), after(364))
    assert (days(store), sounds(store)) == ([0], 0)
    await retention.forget(store, Listed([]), after(366))
    assert days(store) == []


async def test_without_a_cluster_only_what_is_known_counts(store: Store) -> None:
    await keep(store, 0)
    await retention.forget(store, Listed(None), after(10_000))
    assert (days(store), sounds(store)) == ([0], 1)
    await retention.forget(store, listed("vc-one", Retention(records_days=10)), after(1))
    await retention.forget(store, Listed(None), after(11))
    assert (days(store), sounds(store)) == ([], 0)


async def test_sound_without_a_record_is_as_old_as_its_file(store: Store) -> None:
    call = record()
    await store.put_audio("vc-one", call.call_id, "agent", _chunks(b"hello"))
    file = store.audio("vc-one", call.call_id, "agent")
    os.utime(file, (BEGUN.timestamp(), BEGUN.timestamp()))
    await retention.forget(store, Listed([]), after(89))
    assert file.exists()
    await retention.forget(store, Listed([]), after(91))
    assert not file.exists()


async def test_one_broken_file_does_not_keep_the_others_calls(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    (store.folder / "vc-a.sqlite").write_bytes(b"no database" * 1000)
    await keep(store, 0)
    with caplog.at_level("ERROR", "voicefleet.portal"):
        await retention.forget(store, Listed([]), after(366))
    assert days(store) == []
    assert [line.__dict__["clientID"] for line in caplog.records] == ["vc-a"]


async def test_the_portal_does_it_by_itself(plane: ControlPlane, tmp_path: Path) -> None:
    """From the field in the cluster to the page; a client that says nothing has the defaults."""
    kubeconfig = declare(plane)
    shorter = json.dumps({"spec": {"retention": {"recordsDays": 30}}})
    plane.kubectl("patch", "vc", "cafe", "--type=merge", f"--patch={shorter}")
    now = datetime.now(UTC)
    old, new = (
        record(CAFE, started=now - timedelta(days=31)),
        record(CAFE, started=now - timedelta(days=29)),
    )
    other = record(PLUMBER, started=now - timedelta(days=91))
    async with portal(tmp_path) as first:  # without a cluster nothing is deleted
        for call in (old, new, other):
            assert (await first.put(call)).status_code == 200
            assert (await first.put_audio(call, "agent", b"RIFF")).status_code == 200
    async with portal(tmp_path, kubeconfig=kubeconfig) as second:
        store = Store(tmp_path / "calls")
        for _ in range(600):
            if sounds(store) == 1:
                break
            await asyncio.sleep(0.1)
        assert await _ids(second, CAFE) == [new.call_id]
        assert await _ids(second, PLUMBER) == [other.call_id]
        assert store.audio(CAFE, new.call_id, "agent").exists()
        clients = (await second.people.get("/api/clients")).json()["items"]
        kept = {client["clientID"]: client["retention"] for client in clients}
        assert kept[CAFE] == {"recordsDays": 30, "audioDays": 90}
        assert kept[PLUMBER] == {"recordsDays": 365, "audioDays": 90}
        page = (await second.people.get(f"/clients/{CAFE}")).text
        assert "kept for 30 days, their sound for 30 days" in page


async def _ids(running: Portal, client_id: str) -> list[str]:
    items = (await running.people.get(f"/api/clients/{client_id}/calls")).json()["items"]
    return [CallRecord.model_validate(item).call_id for item in items]
