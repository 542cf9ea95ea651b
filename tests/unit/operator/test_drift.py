"""What is drift, what is held back, and that a wish has one fingerprint."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from support.clients import billing, desired, settled, telephony
from voicefleet_api.voiceclient import Drift
from voicefleet_operator.planning.drift import drifted, fingerprint, hold_back
from voicefleet_operator.planning.plan import ActionKind
from voicefleet_operator.planning.planner import plan

pytestmark = pytest.mark.unit


def test_a_wish_has_the_same_fingerprint_in_every_process() -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests');"
        "from support.clients import desired, telephony;"
        "from voicefleet_operator.planning.drift import fingerprint;"
        "nets = frozenset({'192.0.2.0/24', '198.51.100.0/24', '203.0.113.0/24'});"
        "print(fingerprint(desired(telephony=telephony(carrier_networks=nets))))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True,
            text=True, check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }  # fmt: skip
    assert len(said) == 1


def test_another_wish_has_another_fingerprint() -> None:
    assert fingerprint(desired()) == fingerprint(desired())
    assert fingerprint(desired()) != fingerprint(desired(suspended=True))
    other = desired(telephony=telephony(forward_to="+14155550100"))
    assert fingerprint(desired()) != fingerprint(other)


def test_an_agent_that_has_ended_is_no_drift() -> None:
    todo = plan(desired(), replace(settled(desired()), units={}))
    assert [a.kind for a in todo.actions] == [ActionKind.APPLY_UNIT]
    assert drifted(todo.actions) == ()
    assert hold_back(todo, Drift(free="Report", paid="Report")) == todo


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        (Drift(), {ActionKind.CREATE_NAME}),
        (Drift(paid="Repair"), {ActionKind.CREATE_NAME, ActionKind.CHANGE_PRICE}),
        (Drift(free="Report"), set()),
        (Drift(free="Report", paid="Repair"), {ActionKind.CHANGE_PRICE}),
    ],
)
def test_each_kind_of_repair_has_its_policy(policy: Drift, kept: set[ActionKind]) -> None:
    observed = replace(settled(desired(billing=billing(price_id="price_solo"))), names=())
    todo = hold_back(plan(desired(), observed), policy)
    assert {a.kind for a in todo.actions} == kept
    held = {ActionKind.CREATE_NAME, ActionKind.CHANGE_PRICE} - kept
    assert len(todo.waits) == len(held)
    assert all(wait.reason == "Drifted" and wait.stalled for wait in todo.waits)
