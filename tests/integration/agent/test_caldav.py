"""Our calendar and a real CalDAV server, with a person who edits there."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from support.radicale import Radicale
from voicefleet_agent import caldav
from voicefleet_agent.caldav.collection import Collection, Unavailable
from voicefleet_agent.settings import Settings
from voicefleet_api import professions
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_dialogue.booking import Bookings
from voicefleet_dialogue.booking.store import Store
from voicefleet_dialogue.calendar import Appointment

pytestmark = pytest.mark.integration

ZONE = ZoneInfo("Europe/Berlin")
KIND = professions.load("dentist").booking.appointments[0]


def workday() -> datetime:
    """Ten o'clock on a working day of the week after next."""
    now = datetime.now(ZONE).replace(hour=10, minute=0, second=0, microsecond=0)
    return now + timedelta(days=14 - now.weekday())


TEN = workday()
AT_TEN = [f"DTSTART:{TEN.astimezone(ZoneInfo('UTC')):%Y%m%dT%H%M%SZ}", "DURATION:PT1H", "SUMMARY:x"]


class Client:
    """The client's side: what a call does, and the worker's passes."""

    def __init__(self, folder: Path, url: str | None) -> None:
        self.folder = folder
        self.config = AgentConfig(
            client_id="vc-1", agent_name="a", livekit_url="ws://x", business_name="B",
            greeting="H", time_zone="Europe/Berlin", profession="dentist", caldav_url=url,
        )  # fmt: skip
        self.configure(url)
        self.settings = Settings(
            folder / "agent.json", folder / "data", folder, "127.0.0.1", 0, 60, 1
        )
        self.book = Bookings(self.settings.calendar, self.config)

    def configure(self, url: str | None) -> None:
        config = self.config.model_copy(update={"caldav_url": url})
        (self.folder / "agent.json").write_text(config.model_dump_json(by_alias=True))

    async def sync(self) -> None:
        await caldav.sync_once(self.settings, Store(self.settings.calendar))

    def booked(self, starts: datetime = TEN, name: str = "Ann Li") -> Appointment:
        return self.book.book(KIND, starts, name=name, phone="+4930123456", notes="tooth")


@pytest.fixture
def client(tmp_path: Path, radicale: Radicale, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setenv("CALDAV_USERNAME", radicale.username)
    monkeypatch.setenv("CALDAV_PASSWORD", radicale.password)
    return Client(tmp_path, radicale.url)


def starts_at(text: str | None, moment: datetime) -> bool:
    return text is not None and f"{moment.astimezone(ZoneInfo('UTC')):%Y%m%dT%H%M%SZ}" in text


async def test_bookings_moves_and_cancellations_get_there(
    client: Client, radicale: Radicale
) -> None:
    made = client.booked()
    await client.sync()
    there = radicale.read(made.uid)
    assert starts_at(there, TEN)
    assert there is not None
    assert "Ann Li" in there
    assert "+4930123456" in there
    client.book.move(made.uid, TEN + timedelta(hours=2))
    await client.sync()
    assert starts_at(radicale.read(made.uid), TEN + timedelta(hours=2))
    await client.sync()
    assert client.book.find(name="Ann Li", phone=None)
    client.book.cancel(made.uid)
    await client.sync()
    assert radicale.read(made.uid) is None
    await client.sync()
    assert client.book.find(name="Ann Li", phone=None) == []


async def test_what_others_put_there_takes_its_time_until_they_remove_it(
    client: Client, radicale: Radicale
) -> None:
    two = f"DTSTART;TZID=Europe/Berlin:{TEN.replace(hour=14):%Y%m%dT%H%M%S}"
    radicale.put("lunch", *AT_TEN)
    radicale.put("weekly", two, "DURATION:PT1H", "RRULE:FREQ=WEEKLY;COUNT=4")
    await client.sync()
    assert not client.book.is_free(KIND, TEN)
    assert client.book.is_free(KIND, TEN + timedelta(days=1))
    afternoons = [TEN.replace(hour=14) + timedelta(weeks=week) for week in range(5)]
    assert [client.book.is_free(KIND, at) for at in afternoons] == [False] * 4 + [True]
    radicale.request("DELETE", "lunch.ics")
    await client.sync()
    assert client.book.is_free(KIND, TEN)


async def test_a_persons_edit_and_removal_of_a_booking_are_taken(
    client: Client, radicale: Radicale
) -> None:
    made, other = client.booked(), client.booked(TEN + timedelta(days=1), "Bo Ek")
    await client.sync()
    text = radicale.read(made.uid)
    assert text is not None
    radicale.request(
        "PUT",
        f"{made.uid}.ics",
        text.replace(
            f"{TEN.astimezone(ZoneInfo('UTC')):%Y%m%dT}", f"{TEN + timedelta(days=2):%Y%m%dT}"
        ),
        **{"Content-Type": "text/calendar"},
    )
    radicale.request("DELETE", f"{other.uid}.ics")
    await client.sync()
    [found] = client.book.find(name=None, phone=None)
    assert (found.uid, found.starts.date()) == (made.uid, (TEN + timedelta(days=2)).date())
    assert found.name == "Ann Li"
    assert client.book.is_free(KIND, TEN + timedelta(days=1))


@pytest.mark.parametrize("act", ["move", "cancel"])
async def test_a_persons_edit_outranks_a_calls(
    client: Client, radicale: Radicale, act: str
) -> None:
    made = client.booked()
    await client.sync()
    radicale.put(made.uid, *AT_TEN, "LOCATION:Room 2")
    if act == "move":
        client.book.move(made.uid, TEN + timedelta(days=1))
    else:
        client.book.cancel(made.uid)
    await client.sync()
    there = radicale.read(made.uid)
    assert starts_at(there, TEN)
    assert "Room 2" in (there or "")
    assert not client.book.is_free(KIND, TEN)
    assert client.book.is_free(KIND, TEN + timedelta(days=1))


async def test_a_persons_removal_outranks_a_move(client: Client, radicale: Radicale) -> None:
    made = client.booked()
    await client.sync()
    radicale.request("DELETE", f"{made.uid}.ics")
    client.book.move(made.uid, TEN + timedelta(days=1))
    await client.sync()
    assert radicale.read(made.uid) is None
    assert client.book.find(name=None, phone=None) == []


async def test_an_edit_made_while_we_write_is_not_overwritten(
    client: Client, radicale: Radicale, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = client.booked()
    await client.sync()
    put = Collection.put

    async def late(self: Collection, href: str, data: bytes, etag: str | None) -> str | None:
        await asyncio.to_thread(radicale.put, made.uid, *AT_TEN, "LOCATION:Room 2")
        return await put(self, href, data, etag)

    client.book.move(made.uid, TEN + timedelta(days=1))
    with monkeypatch.context() as patch:
        patch.setattr(Collection, "put", late)
        await client.sync()
    await client.sync()
    assert "Room 2" in (radicale.read(made.uid) or "")
    assert not client.book.is_free(KIND, TEN)


@pytest.mark.parametrize("act", ["move", "cancel"])
async def test_after_a_lost_reply_our_own_writing_is_no_persons_edit(
    client: Client, radicale: Radicale, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    """The server took it, the answer never came; meanwhile the caller has changed her mind."""
    put = Collection.put

    async def lost(self: Collection, href: str, data: bytes, etag: str | None) -> str | None:
        await put(self, href, data, etag)
        raise Unavailable("lost")

    made = client.booked()
    for step in (1, 2):  # a new event, then a new version
        with monkeypatch.context() as patch:
            patch.setattr(Collection, "put", lost)
            with pytest.raises(Unavailable):
                await client.sync()
        assert starts_at(radicale.read(made.uid), TEN + timedelta(days=step - 1))
        client.book.move(made.uid, TEN + timedelta(days=step))
    await client.sync()
    assert starts_at(radicale.read(made.uid), TEN + timedelta(days=2))
    if act == "cancel":
        client.book.cancel(made.uid)
        await client.sync()
        assert radicale.read(made.uid) is None
    [*left] = client.book.find(name=None, phone=None)
    assert len(left) == (act == "move")


async def test_nothing_is_lost_or_doubled_without_its_memory(
    client: Client, radicale: Radicale
) -> None:
    made = client.booked()
    radicale.put("theirs", *[AT_TEN[0].replace("T0", "T1"), *AT_TEN[1:]])
    await client.sync()
    (client.settings.calendar / "sync.json").write_text("{")
    await client.sync()
    assert starts_at(radicale.read(made.uid), TEN)
    assert len(list((client.settings.calendar / "events").iterdir())) == 2


async def test_another_collection_gets_our_bookings_and_nobody_elses(
    client: Client, radicale: Radicale
) -> None:
    made = client.booked()
    radicale.put("theirs", f"DTSTART;VALUE=DATE:{TEN + timedelta(days=1):%Y%m%d}", "SUMMARY:away")
    await client.sync()
    assert not client.book.is_free(KIND, TEN + timedelta(days=1))
    first = radicale.url
    radicale.new_calendar()
    client.configure(radicale.url)
    await client.sync()
    assert client.book.is_free(KIND, TEN + timedelta(days=1))
    assert radicale.read(made.uid) is not None
    assert radicale.read("theirs") is None
    radicale.url = first
    assert radicale.read("theirs") is not None
    assert radicale.read(made.uid) is not None
    client.configure(None)
    await client.sync()
    assert client.book.find(name=None, phone=None) == [made]


async def test_a_wrong_password_or_address_changes_nothing(
    client: Client, radicale: Radicale, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = client.booked()
    await client.sync()
    client.configure(radicale.url + "none/")
    with pytest.raises(Unavailable):
        await client.sync()
    client.configure(radicale.url)
    monkeypatch.setenv("CALDAV_PASSWORD", "wrong")
    with pytest.raises(Unavailable, match="401"):
        await client.sync()
    assert client.book.find(name=None, phone=None) == [made]


async def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not await asyncio.to_thread(true):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_while_the_server_is_away_calls_book_and_it_catches_up(
    client: Client, radicale: Radicale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caldav, "POLL", 0.05)
    monkeypatch.setattr(caldav, "INTERVAL", 0.5)
    monkeypatch.setattr(caldav, "LONGEST_PAUSE", 0.5)
    working = asyncio.create_task(caldav.keep_synced(client.settings))
    try:
        first = client.booked()
        await until(lambda: radicale.read(first.uid) is not None)
        radicale.stop()
        begun = time.perf_counter()
        second = client.booked(TEN + timedelta(days=1))
        assert time.perf_counter() - begun < 5
        await asyncio.sleep(0.5)
        radicale.start()
        await until(lambda: radicale.read(second.uid) is not None)
        radicale.put("theirs", f"DTSTART;VALUE=DATE:{TEN + timedelta(days=2):%Y%m%d}", "SUMMARY:x")
        await until(lambda: not client.book.is_free(KIND, TEN + timedelta(days=2)))
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def test_a_state_file_holds_no_words(client: Client, radicale: Radicale) -> None:
    client.booked()
    await client.sync()
    state = (client.settings.calendar / "sync.json").read_text()
    assert set(json.loads(state)) == {"url", "known"}
    assert "Ann" not in state
