from __future__ import annotations

import errno
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from voicefleet_api import professions
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_dialogue.booking import DEFAULT_RULES, Bookings
from voicefleet_dialogue.calendar import Taken

pytestmark = pytest.mark.unit

NEW_YORK = ZoneInfo("America/New_York")
NOW = datetime(2026, 11, 23, 12, tzinfo=NEW_YORK)  # a Monday
DENTIST = professions.load("dentist").booking  # buffer 10 min, lead 2 h, 180 days, same day
CLEANING, URGENT = DENTIST.appointments[:2]  # 60 and 30 minutes


def make(folder: Path, now: datetime = NOW, **changes: Any) -> Bookings:
    values = {
        "client_id": "vc-1",
        "agent_name": "a",
        "livekit_url": "ws://x",
        "business_name": "Bright Smile",
        "greeting": "Hello",
        "time_zone": "America/New_York",
        "profession": "dentist",
        **changes,
    }
    return Bookings(folder, AgentConfig.model_validate(values), clock=lambda: now)


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=NEW_YORK)


def put(folder: Path, name: str, *lines: str) -> None:
    text = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:x", "BEGIN:VEVENT", f"UID:{name}", *lines]
    text += ["END:VEVENT", "END:VCALENDAR", ""]
    (folder / "events").mkdir(parents=True, exist_ok=True)
    (folder / "events" / f"{name}.ics").write_bytes("\r\n".join(text).encode())


def day_of(book: Bookings, day: int, limit: int = 99) -> list[str]:
    return [
        f"{start:%H:%M}" for start in book.free(CLEANING, at(day, 0), at(day, 23, 59), limit=limit)
    ]


def test_a_business_without_hours_is_open_on_workdays_nine_to_five(tmp_path: Path) -> None:
    book = make(tmp_path)
    tuesday = day_of(book, 24)
    assert tuesday[0] == "09:00"
    assert tuesday[-1] == "16:00"
    assert len(tuesday) == 15
    assert day_of(book, 28) == []  # Saturday
    assert not book.is_free(CLEANING, at(24, 16, 30))
    assert book.is_free(URGENT, at(24, 16, 30))


def test_lead_time_same_day_and_horizon(tmp_path: Path) -> None:
    book = make(tmp_path)
    assert day_of(book, 23) == ["14:00", "14:30", "15:00", "15:30", "16:00"]
    assert book.is_free(CLEANING, at(23, 14))
    assert not book.is_free(CLEANING, at(23, 13, 59))
    assert not book.is_free(CLEANING, at(20, 10))
    last = datetime(2027, 5, 22, 10, tzinfo=NEW_YORK)  # 180 days on, a Saturday
    always = [{"day": day, "opens": "09:00", "closes": "17:00"} for day in ("Saturday", "Sunday")]
    weekend = make(tmp_path, hours=always)
    assert weekend.is_free(CLEANING, last)
    assert not weekend.is_free(CLEANING, last + timedelta(days=1))


def test_today_is_not_offered_where_the_rules_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = DEFAULT_RULES.model_copy(update={"same_day": False})
    monkeypatch.setattr("voicefleet_dialogue.booking.bookings.DEFAULT_RULES", rules)
    book = make(tmp_path, profession=None, now=at(23, 0))
    assert book.free(CLEANING, at(23, 0), at(30, 0), limit=1) == [at(24, 9)]


def test_a_full_disk_books_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = make(tmp_path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            book.book(CLEANING, at(24, 10), name="Ann", phone=None, notes="")
    assert book.find(name="Ann", phone=None) == []
    book.book(CLEANING, at(24, 10), name="Ann", phone=None, notes="")
    assert len(list((tmp_path / "events").iterdir())) == 1


def test_the_given_window_is_kept(tmp_path: Path) -> None:
    book = make(tmp_path)
    assert book.free(CLEANING, at(24, 10), at(24, 11), limit=9) == [at(24, 10), at(24, 10, 30)]
    assert day_of(book, 24, limit=2) == ["09:00", "09:30"]


def test_holidays_are_closed(tmp_path: Path) -> None:
    book = make(tmp_path, holidays=["2026-11-24"])
    assert day_of(book, 24) == []
    assert book.free(CLEANING, at(24, 0), at(30, 0), limit=1) == [at(25, 9)]


def test_what_is_booked_and_its_buffer_is_not_offered(tmp_path: Path) -> None:
    book = make(tmp_path)
    made = book.book(CLEANING, at(24, 10), name="Ann Li", phone="+12125550100", notes="sore")
    assert (made.starts, made.ends) == (at(24, 10), at(24, 11))
    assert day_of(book, 24)[:3] == ["11:30", "12:00", "12:30"]
    assert not book.is_free(CLEANING, at(24, 11, 9))
    assert book.is_free(CLEANING, at(24, 11, 10))
    assert not book.is_free(URGENT, at(24, 9, 21))
    assert book.is_free(URGENT, at(24, 9, 20))
    with pytest.raises(Taken):
        book.book(URGENT, at(24, 10, 30), name="Bo", phone=None, notes="")


def test_another_process_sees_it_at_once(tmp_path: Path) -> None:
    one, two = make(tmp_path), make(tmp_path)
    assert two.is_free(CLEANING, at(24, 10))
    made = one.book(CLEANING, at(24, 10), name="Ann", phone=None, notes="")
    assert not two.is_free(CLEANING, at(24, 10))
    assert two.cancel(made.uid) == made
    assert one.is_free(CLEANING, at(24, 10))


def test_an_appointment_is_moved_found_and_cancelled(tmp_path: Path) -> None:
    book = make(tmp_path)
    made = book.book(CLEANING, at(24, 10), name="Ann; Li, jr", phone="+12125550100", notes="a\nb")
    moved = book.move(made.uid, at(24, 10, 30))  # over its own old time
    assert (moved.starts, moved.ends, moved.uid) == (at(24, 10, 30), at(24, 11, 30), made.uid)
    fresh = make(tmp_path)
    assert fresh.find(name="ann li", phone="212 555 0100") == [moved]
    assert fresh.find(name=None, phone="555 0101") == []
    assert fresh.find(name="Ann Lee", phone=None) == []
    with pytest.raises(Taken):
        book.move(made.uid, at(24, 22))
    assert book.cancel(made.uid) == moved
    for act in (lambda: book.cancel(made.uid), lambda: book.move(made.uid, at(24, 10))):
        with pytest.raises(KeyError):
            act()
    assert fresh.find(name="ann", phone=None) == []


def test_accents_make_no_other_name_and_what_is_past_is_not_found(tmp_path: Path) -> None:
    make(tmp_path).book(CLEANING, at(24, 10), name="José Núñez", phone=None, notes="")
    assert [a.name for a in make(tmp_path).find(name="jose nunez", phone=None)] == ["José Núñez"]
    assert make(tmp_path, now=at(24, 12)).find(name="jose", phone=None) == []


@pytest.mark.parametrize(
    ("lines", "first_free"),
    [
        (["DTSTART:20261124T140000Z", "DTEND:20261124T150000Z"], "10:30"),  # 9 to 10 there
        (["DTSTART;TZID=Europe/Berlin:20261124T150000", "DURATION:PT1H"], "10:30"),
        (["DTSTART:20261124T090000", "DTEND:20261124T100000"], "10:30"),  # floating
        (["DTSTART:20261123T090000", "DTEND:20261123T100000", "RRULE:FREQ=DAILY"], "10:30"),
        (["DTSTART;VALUE=DATE:20261124"], None),
        (["DTSTART;VALUE=DATE:20261124", "TRANSP:TRANSPARENT"], "09:00"),
        (["DTSTART:20261124T090000", "DTEND:20261124T100000", "STATUS:CANCELLED"], "09:00"),
        (["nonsense"], "09:00"),
    ],
)
def test_what_others_put_there_takes_its_time(
    tmp_path: Path, lines: list[str], first_free: str | None
) -> None:
    put(tmp_path, "theirs", *lines)
    assert (day_of(make(tmp_path), 24, limit=1) or [None]) == [first_free]
    assert make(tmp_path).find(name=None, phone=None) == []


def test_a_series_goes_on_and_its_exceptions_count(tmp_path: Path) -> None:
    put(
        tmp_path,
        "weekly",
        "DTSTART;TZID=America/New_York:20240102T090000",  # a Tuesday
        "DTEND;TZID=America/New_York:20240102T170000",
        "RRULE:FREQ=WEEKLY",
        "EXDATE;TZID=America/New_York:20261201T090000",
    )
    book = make(tmp_path)
    tuesday = datetime(2027, 4, 6, 10, tzinfo=NEW_YORK)  # summer time
    assert not book.is_free(CLEANING, tuesday)
    assert book.is_free(CLEANING, tuesday + timedelta(days=1))
    assert book.is_free(CLEANING, datetime(2026, 12, 1, 10, tzinfo=NEW_YORK))
    assert not book.is_free(CLEANING, datetime(2026, 12, 8, 10, tzinfo=NEW_YORK))
    later = make(tmp_path, now=datetime(2028, 6, 5, 9, tzinfo=NEW_YORK))
    assert not later.is_free(CLEANING, datetime(2028, 11, 28, 10, tzinfo=NEW_YORK))


def test_capacity_lets_several_in_but_not_past_a_day_off(tmp_path: Path) -> None:
    book = make(tmp_path, capacity=2)
    for name in ("Ann", "Bo"):
        book.book(CLEANING, at(24, 10), name=name, phone=None, notes="")
    with pytest.raises(Taken):
        book.book(CLEANING, at(24, 10), name="Cy", phone=None, notes="")
    book.book(CLEANING, at(24, 11, 10), name="Cy", phone=None, notes="")
    put(tmp_path, "away", "DTSTART;VALUE=DATE:20261125")
    assert day_of(book, 25) == []


def test_opening_follows_the_clocks(tmp_path: Path) -> None:
    """Nine o'clock in New York is 13:00 UTC in summer, 14:00 in winter; 2027-03-14 has 23 hours."""
    hours = [{"day": "Sunday", "opens": "00:00", "closes": "23:59"}]
    book = make(tmp_path, hours=hours)
    spring = datetime(2027, 3, 14, tzinfo=NEW_YORK)
    offered = book.free(URGENT, spring, spring + timedelta(days=1), limit=99)
    assert len(offered) == 46
    assert len({start.astimezone(UTC) for start in offered}) == 46
    assert "02" not in {f"{start:%H}" for start in offered}
    summer = make(tmp_path).free(URGENT, spring, spring + timedelta(days=3), limit=1)
    assert summer[0].astimezone(UTC) == datetime(2027, 3, 15, 13, tzinfo=UTC)


def test_hours_past_midnight_are_one_span(tmp_path: Path) -> None:
    hours = [
        {"day": "Friday", "opens": "20:00", "closes": "23:59"},
        {"day": "Saturday", "opens": "00:00", "closes": "02:00"},
    ]
    book = make(tmp_path, hours=hours)
    assert book.is_free(CLEANING, at(27, 23, 30))
    assert book.is_free(CLEANING, at(28, 1))
    assert not book.is_free(CLEANING, at(28, 1, 30))
    offered = book.free(CLEANING, at(27, 0), at(29, 0), limit=99)
    assert offered == sorted(set(offered))
    assert len(offered) == 11


def test_new_hours_count_from_the_next_question(tmp_path: Path) -> None:
    book = make(tmp_path)
    config = AgentConfig(
        client_id="vc-1", agent_name="a", livekit_url="ws://x", business_name="B", greeting="H",
        time_zone="America/New_York", holidays=["2026-11-24"],
    )  # fmt: skip
    book.reload(config)
    assert day_of(book, 24) == []
    assert day_of(book, 25)[0] == "09:00"


def fastest(act: Callable[[], object]) -> float:
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        act()
        times.append(time.perf_counter() - begun)
    return min(times)


def test_a_full_year_is_searched_in_milliseconds(tmp_path: Path) -> None:
    """2,000 events, one after the other: every free time is beyond them."""
    start = datetime(2026, 11, 23, tzinfo=UTC)
    for number in range(2000):
        begins = start + timedelta(hours=2 * number)
        put(
            tmp_path,
            f"n{number}",
            f"DTSTART:{begins:%Y%m%dT%H%M%SZ}",
            f"DTEND:{begins + timedelta(hours=2):%Y%m%dT%H%M%SZ}",
        )
    book = make(tmp_path)
    first = book.free(CLEANING, NOW, NOW + timedelta(days=400), limit=1)[0]
    assert (first.month, first.day) == (5, 10)
    assert fastest(lambda: book.free(CLEANING, NOW, NOW + timedelta(days=400), limit=3)) < 0.005
    assert fastest(lambda: book.is_free(CLEANING, at(24, 10))) < 0.005
    # A new process reads the index and not 2,000 files.
    assert fastest(lambda: make(tmp_path).is_free(CLEANING, at(24, 10))) < 0.1
