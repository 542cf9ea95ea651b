"""A vendor that is down is left alone, its clients say so, and they go on when it is back."""

from __future__ import annotations

import pytest

from support.stack import Stack, client, conditions, until

pytestmark = pytest.mark.integration


def test_a_vendor_that_is_down_is_said_and_left_alone(stack: Stack) -> None:
    stack.fault("error", vendor="twilio", status=503, times=None)
    names = [f"patient-{i}" for i in range(4)]
    stack.apply(*(client(name) for name in names))

    def said() -> bool:
        found = [c for name in names for c in conditions(stack.client(name)).values()]
        return any(
            c["reason"] == "VendorDown" and "twilio has not worked since" in c["message"]
            for c in found
        )

    until(said, "nobody says that the vendor is down")
    stack.clear_faults()
    for name in names:
        stack.wait(name, "Answering", seconds=120)
    bought = [e for e in stack.ledger(only_open=True) if e["kind"] == "number.purchased"]
    assert len(bought) == len(names)
