"""Several calls at once, each a process, over one calendar."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import icalendar
import pytest

from voicefleet_api import professions
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_dialogue.booking import Bookings

pytestmark = pytest.mark.integration

ZONE = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 23, 8, tzinfo=ZONE)
KIND = professions.load("dentist").booking.appointments[0]
CONFIG = AgentConfig(
    client_id="vc-1", agent_name="a", livekit_url="ws://x", business_name="B", greeting="H",
    time_zone="Europe/Berlin", profession="dentist",
)  # fmt: skip

PREAMBLE = f"""
import sys
from datetime import datetime
from pathlib import Path
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api import professions
from voicefleet_dialogue.booking import Bookings
from voicefleet_dialogue.calendar import Taken
now = datetime.fromisoformat({NOW.isoformat()!r})
config = AgentConfig.model_validate_json({CONFIG.model_dump_json(by_alias=True)!r})
kind = professions.load("dentist").booking.appointments[0]
book = Bookings(Path(sys.argv[1]), config, clock=lambda: now)
def grab(start):
    try:
        return book.book(kind, start, name=sys.argv[2], phone=None, notes="")
    except Taken:
        return None
"""


def caller(folder: Path, name: str, program: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + program, str(folder), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def test_one_of_many_callers_gets_each_time(tmp_path: Path) -> None:
    """Six processes ask for the same times in the same order, at the same moment."""
    program = """
starts = book.free(kind, now, now.replace(day=28), limit=60)
print("ready", flush=True)
sys.stdin.read()
print(sum(grab(start) is not None for start in starts))
"""
    callers = [caller(tmp_path, f"caller {number}", program) for number in range(6)]
    for each in callers:
        assert each.stdout is not None
        assert each.stdout.readline() == b"ready\n"
    for each in callers:
        assert each.stdin is not None
        each.stdin.close()
        each.stdin = None
    won = [int(each.communicate(timeout=60)[0]) for each in callers]
    book = Bookings(tmp_path, CONFIG, clock=lambda: NOW)
    made = book.find(name=None, phone=None)
    assert sum(won) == len(made) > 20
    for one, two in pairwise(made):
        assert one.ends + timedelta(minutes=10) <= two.starts


def test_a_killed_call_leaves_a_whole_calendar(tmp_path: Path) -> None:
    """Killed at any moment: every file is whole, what was told to the caller stands."""
    program = """
starts = book.free(kind, now, now.replace(day=28), limit=60)
while True:
    for start in starts:
        made = grab(start)
        if made:
            print("made", made.uid, flush=True)
            print("gone", made.uid, flush=True)
            book.cancel(made.uid)
"""
    for attempt in range(5):
        busy = caller(tmp_path, "Ann", program)
        assert busy.stdout is not None
        busy.stdout.readline()
        time.sleep(0.02 * attempt)
        busy.kill()
        said = busy.communicate(timeout=60)[0].decode().split("\n")
        files = list((tmp_path / "events").iterdir())
        for file in files:
            assert icalendar.Calendar.from_ical(file.read_bytes()).events
        whole = [line.split() for line in said[:-1]]
        if whole and whole[-1][0] == "made":  # nobody began to cancel it
            assert f"{whole[-1][1]}.ics" in os.listdir(tmp_path / "events")  # noqa: PTH208
    book = Bookings(tmp_path, CONFIG, clock=lambda: NOW)
    start = book.free(KIND, NOW, NOW.replace(day=28), limit=1)[0]
    book.book(KIND, start, name="Bo", phone=None, notes="")


def test_a_lock_that_is_never_given_up_is_an_error_and_no_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voicefleet_dialogue.booking.store.LOCK_SECONDS", 0.1)
    holder = caller(
        tmp_path,
        "Ann",
        """
with book._store.locked():
    print("held", flush=True)
    sys.stdin.read()
""",
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    book = Bookings(tmp_path, CONFIG, clock=lambda: NOW)
    try:
        with pytest.raises(TimeoutError):
            book.cancel("any")
        assert book.is_free(KIND, NOW.replace(day=24, hour=10))  # looking needs no lock
    finally:
        holder.communicate(timeout=60)
