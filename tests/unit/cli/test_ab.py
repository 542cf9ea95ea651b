"""Two ways of saying it are compared by callers, and only once there are enough."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from voicefleet_api.calls import BookedAppointment, CallRecord
from voicefleet_cli.ab import Tally, count, fisher, verdict

pytestmark = pytest.mark.unit

BEGUN = datetime(2026, 11, 26, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("a", "b", "chance"),
    [
        # Fisher's lady tasting tea; the examples of SciPy's fisher_exact and of Wikipedia.
        ((4, 3), (4, 1), 0.4857),
        ((10, 8), (6, 1), 0.0350),
        ((10, 1), (14, 11), 0.0028),
        ((7, 0), (9, 0), 1.0),
        ((5, 5), (5, 0), 0.0079),
    ],
)
def test_the_test_is_fishers(a: Any, b: Any, chance: float) -> None:
    assert fisher(Tally(*a), Tally(*b)) == pytest.approx(chance, abs=5e-5)
    assert fisher(Tally(*b), Tally(*a)) == pytest.approx(chance, abs=5e-5)


def record(minute: int, caller: str | None, variant: Any, booked: bool = False) -> CallRecord:
    started = BEGUN + timedelta(minutes=minute)
    made = BookedAppointment(
        uid="u", action="Booked", title="cleaning", starts=started, ends=started
    )
    return CallRecord(
        call_id=str(uuid.uuid4()), client_id="vc-1", caller=caller, started=started,
        duration_seconds=1, ended="caller left", outcome="Booked" if booked else "HungUp",
        success=True, appointments=[made] if booked else [], experiment="e", variant=variant,
    )  # fmt: skip


def test_callers_are_counted_and_not_calls() -> None:
    found = [
        record(5, "+1", "A", booked=True),  # who calls again and books has booked
        record(1, "+1", "A"),
        record(7, "+1", "A"),
        record(2, "+2", "A"),
        record(3, "+3", "A", booked=True),  # one too many
        record(4, None, "A", booked=True),  # could be anybody
        record(4, "+4", None, booked=True),
        record(9, "+5", "B"),
    ]
    assert count(found, 2) == {"A": Tally(2, 1), "B": Tally(1, 0)}


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (Tally(99, 0), Tally(100, 60), "Not enough callers yet: A has 99 and B has 100 of 100"),
        (Tally(100, 18), Tally(100, 31), "More callers book with B than with A (p = 0.048"),
        (Tally(100, 31), Tally(100, 18), "More callers book with A than with B"),
        (Tally(100, 20), Tally(100, 24), "one of about 16 percentage points would mostly be seen"),
        (Tally(100, 0), Tally(100, 0), "No difference can be shown (p = 1.00"),
    ],
)
def test_the_verdict_is_plain(a: Tally, b: Tally, words: str) -> None:
    assert words in verdict(a, b, 100)
