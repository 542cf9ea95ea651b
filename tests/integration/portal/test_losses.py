"""What is taken is not lost: the portal is killed, locked out, without room, or cut off."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from support.portal import KEY, Portal, portal, record
from voicefleet_agent.records import Recorder
from voicefleet_agent.records.delivery import Delivery
from voicefleet_agent.records.portal import Unreachable
from voicefleet_agent.settings import Settings
from voicefleet_api import tokens
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.calls import CallRecord

pytestmark = pytest.mark.integration
CONFIG = AgentConfig(
    client_id="vc-one", agent_name="a", livekit_url="ws://x", business_name="B", greeting="H"
)
OUTCOME: Any = SimpleNamespace(
    result="Answered", appointments=[], messages=[], slots={}, transferred_to=None
)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An agent whose portal is reached through the relay below."""
    monkeypatch.setenv("MODELS_TOKEN", tokens.mint(KEY, "vc-one"))
    pod = tmp_path / "pod"
    pod.mkdir()
    return Settings(
        config=pod / "agent.json", data=pod, models=pod, health_host="127.0.0.1", health_port=0,
        max_call_seconds=60, drain_seconds=1,
    )  # fmt: skip


def talk(settings: Settings) -> CallRecord:
    """A whole call, into the spool."""
    recorder = Recorder(settings, CONFIG)
    for side in ("caller", "agent"):
        recorder.audio(side, bytes(16_000), 8000)
    return recorder.finish("caller left", OUTCOME)


Moment = Literal["before it is taken", "before the answer"]


@asynccontextmanager
async def killed(running: Portal, path: Path, moment: Moment) -> AsyncIterator[None]:
    """Between pod and portal; at that moment of the first request the portal gets a SIGKILL."""

    async def relay(pod: asyncio.StreamReader, to_pod: asyncio.StreamWriter) -> None:
        from_portal, to_portal = await asyncio.open_unix_connection(running.folder / "portal.sock")
        if moment == "before the answer":
            passing = asyncio.create_task(_pass_on(pod, to_portal))
            await from_portal.readexactly(1)
            passing.cancel()
        running.process.kill()
        running.process.wait(60)
        for writer in (to_portal, to_pod):
            writer.close()

    server = await asyncio.start_unix_server(relay, path)
    async with server:
        yield


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)


@pytest.mark.parametrize("moment", ["before it is taken", "before the answer"])
async def test_a_portal_killed_in_between_costs_no_call_and_doubles_none(
    settings: Settings, tmp_path: Path, moment: Moment
) -> None:
    call = talk(settings)
    agent, socket = Delivery(settings), settings.data / "portal.sock"
    async with portal(tmp_path) as first, killed(first, socket, moment):
        with pytest.raises(Unreachable):
            await agent.deliver()
    assert (tmp_path / "calls" / "vc-one.sqlite").exists() == (moment == "before the answer")
    async with portal(tmp_path) as second:
        socket.unlink(missing_ok=True)
        socket.symlink_to(second.folder / "portal.sock")
        await agent.deliver()
        items = (await second.people.get("/api/clients/vc-one/calls")).json()["items"]
        assert [CallRecord.model_validate(item) for item in items] == [call]
        for side in ("caller", "agent"):
            page = f"/clients/vc-one/calls/{call.call_id}/{side}.wav"
            assert (await second.people.get(page)).status_code == 200
    assert list(settings.spool.iterdir()) == []


async def test_sound_cut_off_half_way_is_no_sound(tmp_path: Path) -> None:
    """By the pod: at once nothing is left of it. By a kill: nothing once the portal is back."""
    call = record()
    async with portal(tmp_path) as running:
        assert (await running.put(call)).status_code == 200
        await _half(running, call)
        for _ in range(3000):
            if not _sounds(tmp_path):
                break
            await asyncio.sleep(0.02)
        assert _sounds(tmp_path) == []
        writer = await _half(running, call, close=False)
        running.process.kill()
        running.process.wait(60)
        writer.close()
        assert len(_sounds(tmp_path)) == 1, "it was under way"
    async with portal(tmp_path) as again:
        assert _sounds(tmp_path) == []
        page = f"/clients/vc-one/calls/{call.call_id}"
        assert (await again.people.get(f"{page}/caller.wav")).status_code == 404
        assert (await again.put_audio(call, "caller", b"RIFF")).status_code == 200
        assert (await again.people.get(f"{page}/caller.wav")).content == b"RIFF"


async def _half(running: Portal, call: CallRecord, close: bool = True) -> asyncio.StreamWriter:
    """Sends half of a sound, and waits until some of it is on the disk."""
    _, writer = await asyncio.open_unix_connection(running.folder / "portal.sock")
    writer.write(
        f"PUT /v1/calls/{call.call_id}/audio/caller HTTP/1.1\r\nHost: portal\r\n"
        f"Authorization: Bearer {tokens.mint(KEY, call.client_id)}\r\n"
        "Content-Length: 200000\r\n\r\n".encode()
        + bytes(100_000)
    )
    await writer.drain()
    while not _sounds(running.folder):  # noqa: ASYNC110 - a file has no event
        await asyncio.sleep(0.01)
    if close:
        writer.close()
    return writer


def _sounds(folder: Path) -> list[Path]:
    return list((folder / "calls" / "vc-one").glob("*"))


async def test_a_locked_file_is_said_and_others_calls_are_taken(tmp_path: Path) -> None:
    call, other = record(), record("vc-two")
    async with portal(tmp_path) as running:
        assert (await running.put(record())).status_code == 200
        with sqlite3.connect(tmp_path / "calls" / "vc-one.sqlite", isolation_level=None) as holder:
            holder.execute("BEGIN EXCLUSIVE")
            waiting = asyncio.create_task(running.put(call))
            await asyncio.sleep(0.2)
            assert (await running.put(other)).status_code == 200
            assert (await running.people.get("/clients/vc-one")).status_code == 200
            assert not waiting.done()
            answer = await waiting
            assert (answer.status_code, "send it again" in answer.text) == (503, True)
            holder.execute("ROLLBACK")
        holder.close()
        assert (await running.put(call)).status_code == 200


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte below the portal's folder."""
    folder = tmp_path / "calls"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a file system of its own needs root that may mount")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def test_a_full_disk_loses_nothing_that_was_acknowledged(
    tmp_path: Path, small_disk: Path
) -> None:
    acknowledged = []
    async with portal(tmp_path) as running:
        first = record()
        assert (await running.put_audio(first, "agent", bytes(400_000))).status_code == 200
        for _ in range(200):
            call = record(slots={"note": "x" * 20_000})
            answer = await running.put(call)
            if answer.status_code != 200:
                break
            acknowledged.append(call.call_id)
        assert answer.status_code == 507
        assert "send it again" in answer.text
        assert (await running.put_audio(call, "caller", bytes(400_000))).status_code == 507
        assert [path.name for path in _sounds(tmp_path)] == [f"{first.call_id}.agent.wav"]
        assert await _ids(running) == sorted(acknowledged)
        running.process.kill()
        running.process.wait(60)
    (small_disk / "vc-one" / f"{first.call_id}.agent.wav").unlink()
    async with portal(tmp_path) as again:
        assert await _ids(again) == sorted(acknowledged)
        assert (await again.put(call)).status_code == 200
        assert call.call_id in await _ids(again)


async def _ids(running: Portal) -> list[str]:
    items = (await running.people.get("/api/calls?limit=500")).json()["items"]
    return sorted(item["callID"] for item in items)


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"\xff\xfe", b'{"callID": 5}'])
async def test_what_is_no_record_is_refused_and_nothing_is_kept(
    tmp_path: Path, body: bytes
) -> None:
    async with portal(tmp_path) as running, running.pod("vc-one") as pod:
        sent = await pod.put(f"/v1/calls/{record().call_id}", content=body)
        assert sent.status_code == 400
        assert sent.json()["error"]["message"]
        assert not (tmp_path / "calls").exists()
