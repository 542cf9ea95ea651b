"""When calls are too many: each reason by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from voicefleet_cli.load import Figures, percentile

pytestmark = pytest.mark.unit

ONE = Figures(
    calls=1, answered_after=[0.5], rate=2.0, refused={}, dropped=0, lost=0.0, late=0.0,
    jitter=0.001, broken=0.0, answers=[0.5, 0.6, 0.7], unanswered=0,
)  # fmt: skip


def test_the_same_with_more_calls_is_well() -> None:
    assert replace(ONE, calls=5, answers=[0.8]).complaints(ONE) == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"refused": {"486 Busy Here": 2}}, "2 refused: 486 Busy Here"),
        ({"dropped": 1}, "1 dropped"),
        ({"lost": 0.006, "late": 0.006}, "1.2% of packets lost or late"),
        ({"broken": 0.02}, "2.0% of the sound missing"),
        ({"unanswered": 3}, "3 questions not answered"),
        ({"answers": [0.7, 0.9, 2.0]}, "answers 0.30 s later"),
    ],
)
def test_each_reason_is_said(changes: dict[str, Any], complaint: str) -> None:
    assert replace(ONE, calls=5, **changes).complaints(ONE) == [complaint]


def test_speech_has_pauses_of_its_own() -> None:
    assert replace(ONE, broken=None).complaints(ONE) == []


@pytest.mark.parametrize(("percent", "value"), [(50, 5), (95, 10), (100, 10), (1, 1)])
def test_percentiles(percent: int, value: float) -> None:
    assert percentile([float(v) for v in range(10, 0, -1)], percent) == value
    assert percentile([], percent) is None
