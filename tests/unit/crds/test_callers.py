"""Two agents that share a client's callers: each caller has exactly one of them."""

from __future__ import annotations

import pytest

from voicefleet_api.callers import GROUPS, Callers

pytestmark = pytest.mark.unit

NUMBERS = [f"+1415555{number:04}" for number in range(10_000)]


@pytest.mark.parametrize("percent", [1, 10, 50, 99])
def test_a_share_is_that_share_of_the_callers_and_the_rest_has_the_other(percent: int) -> None:
    new = Callers(first=0, end=percent, salt="a")
    old = Callers(first=percent, end=GROUPS, salt="a")
    taken = [new.include(number) for number in NUMBERS]
    assert [old.include(number) for number in NUMBERS] == [not ours for ours in taken]
    assert abs(sum(taken) / len(NUMBERS) - percent / GROUPS) < 0.015


def test_each_rollout_has_other_callers() -> None:
    first, second = (
        {number for number in NUMBERS if Callers(first=0, end=10, salt=salt).include(number)}
        for salt in ("a", "b")
    )
    assert len(first & second) < len(first) / 5
