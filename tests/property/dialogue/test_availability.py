"""What is offered, against the rules read word by word, minute by minute, in local time."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicefleet_api import professions
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.professions import AppointmentType
from voicefleet_api.receptionist import DAYS, OpeningHours
from voicefleet_dialogue.booking import Bookings
from voicefleet_dialogue.calendar import Taken

pytestmark = pytest.mark.property

# The days before and after both changes of the clocks, north and south, by an hour and by half.
ZONES = ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]
DATES = ["2026-03-07", "2026-03-28", "2026-10-03", "2026-10-24", "2026-10-31", "2026-06-10"]
RULES = professions.load("dentist").booking

# No business opens or closes at a time that a change of the clocks leaves out or repeats.
quarters = st.integers(0, 3) | st.integers(14, 95)
clocks = quarters.map(lambda quarter: f"{quarter // 4:02}:{quarter % 4 * 15:02}")
hours = st.builds(
    lambda day, one, two: OpeningHours(day=day, opens=min(one, two), closes=max(one, two)),
    st.sampled_from(DAYS),
    clocks,
    clocks | st.just("23:59"),
)


def is_open(config: AgentConfig, zone: ZoneInfo, start: datetime, minutes: int) -> bool:
    """Whether the business is open in each minute, by the clock on its wall."""
    for minute in range(minutes):
        wall = (start.astimezone(UTC) + timedelta(minutes=minute)).astimezone(zone)
        clock = f"{wall:%H:%M}"
        day = DAYS[wall.weekday()]
        if wall.date().isoformat() in config.holidays or not any(
            h.day == day and h.opens <= clock and (clock < h.closes or h.closes == "23:59")
            for h in config.hours
        ):
            return False
    return True


@settings(max_examples=60, deadline=None)
@given(
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    date=st.sampled_from(DATES),
    spans=st.lists(hours.filter(lambda h: h.opens < h.closes), min_size=4, max_size=14),
    shut=st.integers(0, 3),
    kind=st.sampled_from(RULES.appointments),
    wishes=st.lists(st.integers(0, 71), max_size=8),
)
def test_what_is_offered_keeps_every_rule(
    zone: ZoneInfo,
    date: str,
    spans: list[OpeningHours],
    shut: int,
    kind: AppointmentType,
    wishes: list[int],
) -> None:
    now = datetime.fromisoformat(date).replace(hour=8, tzinfo=zone)
    config = AgentConfig(
        client_id="vc-1",
        agent_name="a",
        livekit_url="ws://x",
        business_name="B",
        greeting="H",
        time_zone=zone.key,
        profession="dentist",
        hours=spans,
        holidays=[(now.date() + timedelta(days=shut)).isoformat()],
    )
    with tempfile.TemporaryDirectory() as folder:
        book = Bookings(Path(folder), config, clock=lambda: now)
        made = []
        for wish in wishes:
            start = (now.astimezone(UTC) + timedelta(hours=wish)).astimezone(zone)
            try:
                made.append(book.book(kind, start, name="Ann", phone=None, notes=""))
            except Taken:
                assert not book.is_free(kind, start)
        # In UTC before they go into a set: in one zone both halves of a repeated hour are equal.
        listed = book.free(kind, now, now + timedelta(days=4), limit=10_000)
        offered = {start.astimezone(UTC) for start in listed}
        buffer = timedelta(minutes=RULES.buffer_minutes)
        length = timedelta(minutes=kind.minutes)
        begin = now.astimezone(UTC)
        for quarter in range(4 * 24 * 3):
            start = begin + timedelta(minutes=15 * quarter)
            lawful = (
                start >= begin + timedelta(hours=RULES.lead_time_hours)
                and is_open(config, zone, start, kind.minutes)
                and all(
                    start + length + buffer <= other.starts.astimezone(UTC)
                    or start >= other.ends.astimezone(UTC) + buffer
                    for other in made
                )
            )
            assert book.is_free(kind, start) == lawful, start.astimezone(zone)
            round_time = start.astimezone(zone).minute % (30 if kind.minutes >= 30 else 15) == 0
            assert (start in offered) == (lawful and round_time)
