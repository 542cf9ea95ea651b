"""The portal as a process: what it acknowledges it keeps, and what it shows of whom."""

from __future__ import annotations

import asyncio
import html
import json
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from support.portal import Portal, event, portal, record
from voicefleet_api.calls import CallQuality
from voicefleet_api.quality import diagnose

pytestmark = pytest.mark.integration
WAV = b"RIFF" + bytes(range(256)) * 40


@pytest_asyncio.fixture
async def running(tmp_path: Path) -> AsyncIterator[Portal]:
    async with portal(tmp_path) as made:
        yield made


async def test_a_call_is_there_to_be_asked_for_at_once(running: Portal) -> None:
    call = record()
    begun = time.monotonic()
    assert (await running.put(call)).status_code == 200
    answer = await running.people.get("/api/clients/vc-one/calls")
    assert time.monotonic() - begun < 5, "seed, property 6"
    assert answer.json()["items"] == [call.to_json()]
    assert (await running.people.get(f"/api/clients/vc-one/calls/{call.call_id}")).json() == (
        call.to_json()
    )


async def test_one_id_is_one_call_and_the_longer_record_stays(running: Portal) -> None:
    whole = record(duration_seconds=60)
    cut_off = whole.model_copy(update={"duration_seconds": 20.0, "ended": "agent ended"})
    for sent in (cut_off, whole, whole, cut_off):
        assert (await running.put(sent)).status_code == 200
    items = (await running.people.get("/api/clients/vc-one/calls")).json()["items"]
    assert items == [whole.to_json()]


async def test_what_is_acknowledged_outlives_a_kill(tmp_path: Path) -> None:
    call = record()
    async with portal(tmp_path) as first:
        async with first.pod("vc-one") as pod:
            path = f"/v1/calls/{call.call_id}"
            assert (await pod.put(f"{path}/audio/caller", content=WAV)).status_code == 200
            assert (await pod.put(path, content=call.model_dump_json())).status_code == 200
        first.process.kill()
        first.process.wait(60)
    async with portal(tmp_path) as second:
        page = f"/clients/vc-one/calls/{call.call_id}"
        assert (await second.people.get(f"/api{page}")).json() == call.to_json()
        assert (await second.people.get(f"{page}/caller.wav")).content == WAV
        part = await second.people.get(f"{page}/caller.wav", headers={"Range": "bytes=4-7"})
        assert (part.status_code, part.content) == (206, WAV[4:8])


async def test_a_full_disk_is_said_and_nothing_is_half_written(tmp_path: Path) -> None:
    async with portal(tmp_path, max_file_bytes=200_000) as full, full.pod("vc-one") as pod:
        kept = record()
        assert (await full.put(kept)).status_code == 200
        large = record(slots={"note": "x" * 400_000})
        assert (await full.put(large)).status_code == 507
        sound = await pod.put(f"/v1/calls/{kept.call_id}/audio/agent", content=bytes(400_000))
        assert sound.status_code == 507
        assert list((tmp_path / "calls" / "vc-one").iterdir()) == []
        items = (await full.people.get("/api/clients/vc-one/calls")).json()["items"]
        assert items == [kept.to_json()]
        assert (await full.put(record())).status_code == 200, "what fits is kept again"


async def test_a_client_reaches_only_its_own(running: Portal, tmp_path: Path) -> None:
    call = record("vc-two")
    await running.put(call)
    async with running.pod("vc-one") as pod:
        path = f"/v1/calls/{call.call_id}"
        foreign = await pod.put(path, content=call.model_dump_json())
        assert foreign.status_code == 403
        forged = await pod.put(
            path, content=call.model_dump_json(), headers={"Authorization": "Bearer x.y.z"}
        )
        assert forged.status_code == 401
        assert (await pod.put(f"{path}/audio/caller", content=WAV)).status_code == 200
        own = call.model_copy(update={"client_id": "vc-one", "caller": "+1999"})
        assert (await pod.put(path, content=own.model_dump_json())).status_code == 200
        assert (await pod.get("/api/clients")).status_code == 404, "pods read nothing"
        for name in ("..", "%2e%2e%2fx", "a" * 35, "-" * 37):
            sent = await pod.put(f"/v1/calls/{name}/audio/caller", content=WAV)
            assert sent.status_code in (400, 404), name
    theirs = f"/clients/vc-two/calls/{call.call_id}"
    assert (await running.people.get(f"/api{theirs}")).json() == call.to_json()
    assert (await running.people.get(f"{theirs}/caller.wav")).status_code == 404
    assert _sounds(tmp_path) == {f"calls/vc-one/{call.call_id}.caller.wav"}


def _sounds(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*.wav")}


async def test_what_is_wrong_with_a_record_is_said_without_its_words(running: Portal) -> None:
    call_id = str(uuid.uuid4())
    async with running.pod("vc-one") as pod:
        sent = await pod.put(f"/v1/calls/{call_id}", json={"callID": call_id, "outcome": "secret"})
        words = sent.json()["error"]["message"]
        assert sent.status_code == 400
        assert "outcome: " in words
        assert "secret" not in words
        other = await pod.put(f"/v1/calls/{call_id}", content=record().model_dump_json())
        assert other.status_code == 400
        assert "callID" in other.json()["error"]["message"]
        huge = await pod.put(f"/v1/calls/{call_id}", content=bytes(9_000_000))
        assert huge.status_code == 413


async def test_calls_are_searched_and_paged(running: Portal) -> None:
    days = [record(started=f"2026-03-0{day}T10:00:00+01:00") for day in (1, 2, 3)]
    days[1].transcript[0].text = "A 100% BURST pipe"
    for call in days:
        await running.put(call)

    async def ids(**query: str) -> list[str]:
        answer = await running.people.get("/api/calls", params=query)
        return [item["callID"] for item in answer.json()["items"]]

    assert await ids() == [days[2].call_id, days[1].call_id, days[0].call_id]
    assert await ids(q="pipe 100%") == [days[1].call_id]
    assert await ids(q="100_") == []
    assert await ids(limit="1", before=days[2].started.isoformat()) == [days[1].call_id]
    for wrong in ({"limit": "0"}, {"limit": "x"}, {"before": "soon"}):
        assert (await running.people.get("/api/calls", params=wrong)).status_code == 400


async def test_a_stranger_s_words_stay_words(running: Portal) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    call = record(caller=evil, slots={evil: evil}, ended=evil)
    call.transcript[0].text = evil
    await running.put(call)
    for path in ("/", "/clients/vc-one", f"/clients/vc-one/calls/{call.call_id}"):
        page = await running.people.get(path, params={"q": evil})
        assert "<script>alert" not in page.text, path
        assert "<img src=x" not in page.text, path
        assert "script-src 'self'" in page.headers["content-security-policy"]


async def test_how_the_line_was_and_what_went_wrong_is_shown(running: Portal) -> None:
    line = CallQuality(
        lost_percent=0, sent_lost_percent=0.5, concealed_percent=7.5, jitter_ms=12,
        round_trip_ms=31, mos=3.4,
    )  # fmt: skip
    bad = record(quality=line, ended="nobody transcribes", success=False)
    await running.put(bad)
    page = (await running.people.get(f"/clients/vc-one/calls/{bad.call_id}")).text
    for shown in ("about 3.4 of 4.5", "estimate", "7.5 %", "31 ms"):
        assert shown in page
    assert len(diagnose(bad)) == 2
    for words in diagnose(bad):
        assert words in html.unescape(page)
    await running.put(old := record())
    assert "4.5" not in (await running.people.get(f"/clients/vc-one/calls/{old.call_id}")).text


async def test_a_call_under_way_is_watched_turn_by_turn(running: Portal) -> None:
    await running.put(record())
    call_id = str(uuid.uuid4())
    await running.tell("vc-one", event(call_id, 0, state="Greeting"))
    heard: list[str | None] = []

    async def watch() -> None:
        async with running.people.stream("GET", "/api/clients/vc-one/live") as stream:
            async for line in stream.aiter_lines():
                if line.startswith("data: "):
                    happened = json.loads(line.removeprefix("data: "))
                    heard.append(happened.get("turn", {}).get("text"))
                    if len(heard) == 3:
                        return

    async def watch_page() -> str:
        path = f"/clients/vc-one/calls/{call_id}/turns"
        async with running.people.stream("GET", path) as stream:
            return (await stream.aread()).decode()

    watching = asyncio.create_task(watch())
    page = asyncio.create_task(watch_page())
    await asyncio.sleep(0.3)
    await running.tell("vc-two", event(call_id, 1, "somebody else's"))
    await running.tell("vc-one", event(call_id, 1, "<b>hello</b>"))
    await running.tell("vc-one", event(call_id, 1, "twice"))
    assert "+14155550123" in (await running.people.get(f"/clients/vc-one/calls/{call_id}")).text
    await running.tell("vc-one", event(call_id, 2, state="Ended"))
    await asyncio.wait_for(watching, 60)
    assert heard == [None, "<b>hello</b>", None]
    shown = await asyncio.wait_for(page, 60)
    assert "&lt;b&gt;hello" in shown
    assert "event: end" in shown
    assert "twice" not in shown
    assert "somebody" not in shown


async def test_only_this_machine_s_names_are_answered_to(running: Portal) -> None:
    answer = await running.people.get("/", headers={"Host": "attacker.example"})
    assert answer.status_code == 400
    with pytest.raises(httpx.ConnectError):
        await asyncio.to_thread(httpx.get, f"http://127.0.0.2:{running.port}/")
