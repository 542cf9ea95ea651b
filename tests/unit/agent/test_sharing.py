"""Two versions of a client's agent on one volume: whose caller it is, and who keeps house."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from support.ports import free_port
from voicefleet_agent import tally, worker
from voicefleet_agent.records.delivery import Delivery
from voicefleet_agent.settings import Settings
from voicefleet_agent.tally import Tally, note
from voicefleet_agent.worker import is_ours
from voicefleet_api.agentconfig import AgentConfig

pytestmark = pytest.mark.unit

CONFIG = AgentConfig(
    client_id="vc-1", agent_name="a", livekit_url="ws://x", business_name="B", greeting="H"
)
ROOM = "call-vc-aaaaaaaaaa-_{}_XuPAG7xkdfXw"


def told(first: int, end: int) -> str:
    """What a rule tells an agent."""
    callers = {"first": first, "end": end, "salt": "s"}
    return json.dumps({"voicefleet": {"clientID": "vc-aaaaaaaaaa"}, "callers": callers})


def test_a_caller_is_one_agents_by_the_number_in_the_rooms_name() -> None:
    rooms = [ROOM.format(f"+1415555{number:04}") for number in range(200)]
    new = [is_ours(told(0, 30), room) for room in rooms]
    assert [is_ours(told(30, 100), room) for room in rooms] == [not ours for ours in new]
    assert 30 < sum(new) < 90
    # The same caller, another call.
    again = [is_ours(told(0, 30), room.replace("XuPA", "Yq8z")) for room in rooms]
    assert again == new


@pytest.mark.parametrize("metadata", ["", "{}", '{"voicefleet": {}}', "not JSON", '{"callers": 1}'])
def test_a_call_that_is_not_shared_is_ours(metadata: str) -> None:
    assert is_ours(metadata, ROOM.format("+14155550100"))
    assert is_ours(metadata, "a-room-of-another-kind")


def test_calls_are_counted_as_they_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = Tally(tmp_path / "tally")
    for job in ("good", "bad", "killed", "talks", "starts"):
        count.accept(job)
    note(tmp_path / "tally", "good", failed=False, answer_ms=400.0)
    note(tmp_path / "tally", "bad", failed=True, answer_ms=None)
    count.look({"killed", "talks"})
    assert (count.ended, count.failed, count.answer_ms) == (2, 1, 400.0)
    monkeypatch.setattr(tally, "START_SECONDS", -1.0)
    count.look({"talks", "starts"})
    assert (count.ended, count.failed) == (3, 2)
    count.look({"talks"})
    assert (count.ended, count.failed) == (4, 3)
    note(tmp_path / "tally", "talks", failed=False, answer_ms=800.0)
    count.look(set())
    assert (count.ended, count.failed, count.answer_ms) == (5, 3, 600.0)
    assert list((tmp_path / "tally").iterdir()) == []


def test_a_new_worker_counts_from_nothing(tmp_path: Path) -> None:
    Tally(tmp_path)
    note(tmp_path, "of-the-one-before", failed=True, answer_ms=None)
    count = Tally(tmp_path)
    count.look(set())
    assert (count.ended, list(tmp_path.iterdir())) == (0, [])


def settings(folder: Path, slot: str) -> Settings:
    return Settings(
        config=folder / "agent.json", data=folder / "data", models=folder, health_host="127.0.0.1",
        health_port=0, max_call_seconds=1.0, drain_seconds=1, slot=slot,
    )  # fmt: skip


def test_each_has_its_own_phrases_and_tally(tmp_path: Path) -> None:
    blue, green = settings(tmp_path, "blue"), settings(tmp_path, "green")
    assert blue.phrases == tmp_path / "data" / "phrases"
    assert not {blue.phrases, blue.tally} & {green.phrases, green.tally}
    assert (blue.spool, blue.calendar) == (green.spool, green.calendar)


async def test_one_keeps_house_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "HOUSE_POLL", 0.01)
    at_work: list[str] = []

    async def work(own: Settings) -> None:
        at_work.append(own.slot)
        try:
            await asyncio.Event().wait()
        finally:
            at_work.remove(own.slot)

    monkeypatch.setattr(worker, "keep_synced", work)

    def keep(slot: str) -> asyncio.Task[Any]:
        own = settings(tmp_path, slot)
        built = worker.build(CONFIG, own, Tally(own.tally))
        return asyncio.create_task(worker.keep_house(built, Delivery(own), CONFIG, own))

    async def until(slots: list[str]) -> None:
        deadline = time.monotonic() + 60
        while at_work != slots:
            assert time.monotonic() < deadline, at_work
            await asyncio.sleep(0.01)

    blue = keep("blue")
    await until(["blue"])
    green = keep("green")
    await asyncio.sleep(0.1)
    assert at_work == ["blue"]
    blue.cancel()
    await until(["green"])
    green.cancel()
    await asyncio.gather(blue, green, return_exceptions=True)


async def test_the_health_page_answers_before_there_are_jobs(tmp_path: Path) -> None:
    own = replace(settings(tmp_path, "blue"), health_port=free_port())
    count = Tally(own.tally)
    page = await worker.serve_health(
        worker.build(CONFIG, own, count), Delivery(own), count, CONFIG, own
    )
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{own.health_port}") as session:
            async with session.get("/") as answer:
                said = await answer.json()
                assert (answer.status, said["registered"], said["activeCalls"]) == (503, False, 0)
            # A restart would bring no registration.
            async with session.get("/healthz") as answer:
                assert answer.status == 200
    finally:
        await page.cleanup()
