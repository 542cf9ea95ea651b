"""The estimate of a line's quality, and the words for what was wrong with a call."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from voicefleet_api.calls import CallQuality, CallRecord, ProviderUse, StageLatencies, StateChange
from voicefleet_api.quality import diagnose, mos

pytestmark = pytest.mark.unit

LINE = CallQuality(
    lost_percent=0, sent_lost_percent=0, concealed_percent=0.2, jitter_ms=4, round_trip_ms=2,
    mos=4.3,
)  # fmt: skip


def record(**changes: Any) -> CallRecord:
    whole: dict[str, Any] = {
        "call_id": "0" * 8 + "-0000-4000-8000-" + "0" * 12,
        "client_id": "vc-1",
        "started": datetime(2026, 11, 26, tzinfo=UTC),
        "duration_seconds": 60,
        "ended": "caller left",
        "outcome": "Answered",
        "success": True,
        "quality": LINE,
    }
    return CallRecord(**whole | changes)


@pytest.mark.parametrize(
    # R = 93.2 - Id - Ie,eff by G.107's formulas with these very parameters, worked by hand.
    ("missing", "late", "score"),
    [(0, 0, 4.41), (0, 150, 4.33), (0, 300, 3.71), (2, 100, 4.16), (5, 100, 3.82), (20, 200, 2.25)],
)
def test_the_score_falls_with_loss_and_delay(missing: float, late: float, score: float) -> None:
    assert mos(missing, late) == pytest.approx(score, abs=0.006)


def test_the_score_has_bounds() -> None:
    assert mos(100, 10_000) == 1
    assert all(1 <= mos(loss, late) <= 4.5 for loss in range(101) for late in (0, 100, 1000))


def test_a_good_call_has_no_diagnosis() -> None:
    assert diagnose(record()) == []
    assert diagnose(record(quality=None)) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ended": "agent ended", "success": False}, "process ended in the middle"),
        ({"ended": "nobody transcribes", "success": False}, "could not be transcribed"),
        ({"ended": "answers fail", "success": False}, "failed on our side: answers fail"),
        ({"ended": "maximum length"}, "callMinutes"),
        (
            {
                "outcome": "Failed",
                "success": False,
                "states": [StateChange(state="Transferring", at=3)],
            },
            "the carrier refused",
        ),
        (
            {
                "providers": [
                    ProviderUse(component="STT", provider="Local", requests=3, failures=2, amount=1)
                ]
            },
            "STT by Local failed 2 of 5 times",
        ),
        (
            {"latency": StageLatencies(end_of_turn=300, stt=200, llm=1800, tts=10, total=2300)},
            "2.3 s at the median; most of it was the language model (1.8 s)",
        ),
        (
            {"quality": LINE.model_copy(update={"lost_percent": 5.0})},
            "5.0 % of the caller's packets",
        ),
        ({"quality": LINE.model_copy(update={"sent_lost_percent": 5.0})}, "agent's packets"),
        (
            {"quality": LINE.model_copy(update={"concealed_percent": 8.0})},
            "came too late to be heard",
        ),
        ({"quality": LINE.model_copy(update={"jitter_ms": 45.0})}, "jitter 45 ms"),
        ({"quality": LINE.model_copy(update={"round_trip_ms": 400.0})}, "400 ms apart"),
    ],
)
def test_each_trouble_is_named(changes: dict[str, Any], words: str) -> None:
    (said,) = diagnose(record(**changes))
    assert words in said
