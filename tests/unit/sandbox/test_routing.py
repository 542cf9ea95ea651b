"""In which order the carrier tries a trunk's URLs."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from voicefleet_sandbox.carrier.routing import attempts

pytestmark = pytest.mark.unit

NUMBER, OWNER = "+14155550100", "+14155550199"


def found(
    *urls: tuple[str, int, int], forward: str | None = None, secure: bool = False
) -> dict[str, Any]:
    shown = [{"sipUrl": url, "priority": p, "weight": w} for url, p, w in urls]
    return {
        "number": NUMBER, "trunkSid": "TK1", "secure": secure, "originationUrls": shown,
        "voiceUrl": None, "forwardTo": forward,
    }  # fmt: skip


def test_a_number_on_no_trunk_goes_to_the_switch() -> None:
    own = {**found(), "trunkSid": None, "voiceUrl": "https://voice.example/"}
    assert attempts(own, random.Random(1)) == [f"sip:{NUMBER}@voice.invalid"]
    assert attempts({**own, "voiceUrl": None}, random.Random(1)) == []
    # It has precedence, and may have no URL that is enabled.
    assert attempts({**own, "trunkSid": "TK1"}, random.Random(1)) == []


def test_by_priority_then_the_owners_phone() -> None:
    tried = attempts(
        found(("sip:b:5060", 20, 1), ("sip:a:5061;transport=tcp", 10, 1), forward=OWNER),
        random.Random(1),
    )
    assert tried == [
        f"sip:{NUMBER}@a:5061;transport=tcp",
        f"sip:{NUMBER}@b:5060",
        f"sip:{OWNER}@phones.invalid",
    ]


def test_equal_priorities_by_weight() -> None:
    dice = random.Random(1)
    trunk = found(("sip:a", 1, 60), ("sip:b", 1, 30), ("sip:c", 1, 10), ("sip:d", 2, 65535))
    orders = [attempts(trunk, dice) for _ in range(5000)]
    first = Counter(order[0][-1] for order in orders)
    assert {url: round(count / 5000, 1) for url, count in first.items()} == {
        "a": 0.6, "b": 0.3, "c": 0.1,
    }  # fmt: skip
    assert {order[3][-1] for order in orders} == {"d"}
    # Each is tried once, whatever comes first.
    assert all(len(set(order)) == 4 for order in orders)


def test_a_secure_trunk_passes_over_what_is_not_encrypted() -> None:
    urls = [("sip:a", 1, 1), ("sip:b;transport=TLS", 2, 1), ("sips:c", 3, 1), ("sip:d;lr", 4, 1)]
    tried = attempts(found(*urls, forward=OWNER, secure=True), random.Random(1))
    assert tried == [
        f"sip:{NUMBER}@b;transport=TLS", f"sips:{NUMBER}@c", f"sip:{OWNER}@phones.invalid",
    ]  # fmt: skip
