"""A new version of the agent: what is planned, and what is judged of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from support.clients import MARK, OVERFLOW, desired, settled, telephony
from voicefleet_api.voiceclient import Rollout, RolloutStatus
from voicefleet_operator.planning.desired import Desired
from voicefleet_operator.planning.health import answering, findings
from voicefleet_operator.planning.observed import (
    AgentHealth,
    AgentUnit,
    Candidate,
    Observed,
    Slot,
    Verdict,
    client_of,
    unit_id,
)
from voicefleet_operator.planning.plan import ActionKind, Plan
from voicefleet_operator.planning.planner import plan
from voicefleet_operator.planning.rollout import judge, live_slot, moved_seconds, verdict
from voicefleet_operator.planning.simulate import assume

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
BEFORE = settled(desired())


def newer(strategy: str = "Canary", **changes: Any) -> Desired:
    """The client with another image, rolled out so."""
    whole = desired()
    assert whole.unit is not None
    unit = replace(whole.unit, spec_hash="spec-2")
    return replace(whole, unit=unit, rollout=Rollout(strategy=strategy, **changes))


def kinds(todo: Plan) -> list[ActionKind]:
    return [action.kind for action in todo.actions]


def beside(observed: Observed, **changes: Any) -> Observed:
    """With the other agent changed."""
    return replace(observed, beside={"podman": replace(observed.beside["podman"], **changes)})


def on_canary(wanted: Desired) -> Observed:
    observed = BEFORE
    for _ in range(2):
        observed = assume(wanted, observed, plan(wanted, observed))
    assert observed.rules[0].candidate is not None
    return replace(observed, verdict=Verdict.OPEN)


def test_the_overflow_agent_is_told_throughout_a_rollout() -> None:
    line = telephony(overflow=OVERFLOW)
    observed = settled(desired(telephony=line))
    wanted = replace(newer(), telephony=line)
    for _ in range(6):
        assert [rule.overflow for rule in observed.rules] == [OVERFLOW]
        observed = assume(wanted, observed, plan(wanted, observed))
    assert observed.live == Slot.GREEN
    renamed = OVERFLOW.model_copy(update={"business_name": "Brighter"})
    wanted = replace(wanted, telephony=telephony(overflow=renamed))
    [told] = plan(wanted, observed).actions
    assert (told.kind, told.reason) == (
        ActionKind.REPLACE_RULE, "what the overflow agent is told changed",
    )  # fmt: skip
    assert plan(wanted, assume(wanted, observed, plan(wanted, observed))) == Plan()


def test_without_a_strategy_the_agent_is_replaced_where_it_is() -> None:
    wanted = newer("Recreate")
    todo = plan(wanted, BEFORE)
    assert kinds(todo) == [ActionKind.APPLY_UNIT]
    assert todo.actions[0].args["unit"].slot == Slot.BLUE
    after = assume(wanted, BEFORE, todo)
    assert (after.live, after.rules, after.beside) == (Slot.BLUE, BEFORE.rules, {})


def test_blue_green_switches_when_the_new_version_is_ready_and_not_before() -> None:
    wanted = newer("BlueGreen")
    started = assume(wanted, BEFORE, plan(wanted, BEFORE))
    assert started.units == BEFORE.units
    starting = beside(started, registered=False)
    todo = plan(wanted, starting)
    assert kinds(todo) == []
    assert [wait.reason for wait in todo.waits] == ["RollingOut"]
    assert answering(wanted, starting).status
    [switch] = plan(wanted, started).actions
    assert switch.kind == ActionKind.REPLACE_RULE
    assert switch.args["agent_name"] == f"voicefleet-green-{MARK.client_id}"
    after = assume(wanted, started, plan(wanted, started))
    assert after.live == Slot.GREEN
    assert answering(wanted, after).status
    end = assume(wanted, after, plan(wanted, after))
    assert (end.beside, plan(wanted, end)) == ({}, Plan())


def test_the_next_version_goes_back_to_the_first_place() -> None:
    observed = settled(newer("BlueGreen"), BEFORE)
    assert observed.live == Slot.GREEN
    third = newer("BlueGreen")
    assert third.unit is not None
    third = replace(third, unit=replace(third.unit, spec_hash="spec-3"))
    observed = settled(third, observed)
    assert (observed.live, observed.beside) == (Slot.BLUE, {})


def test_calls_under_way_end_on_the_version_before() -> None:
    wanted = newer("BlueGreen")
    observed = BEFORE
    for _ in range(2):
        observed = assume(wanted, observed, plan(wanted, observed))
    busy, silent = AgentHealth(True, active_calls=1), None
    for agent, seconds in ((busy, 1800), (silent, 1800), (AgentHealth(True), 9)):
        # Nine seconds after callers were moved one may still be ringing there.
        todo = plan(wanted, replace(beside(observed, health=agent), moved_seconds=seconds))
        assert kinds(todo) == []
        assert [wait.reason for wait in todo.waits] == ["Draining"]
    for agent, seconds in ((busy, 1811), (silent, 1811), (AgentHealth(True), 11)):
        ended = replace(beside(observed, health=agent), moved_seconds=seconds)
        assert kinds(plan(wanted, ended)) == [ActionKind.REMOVE_UNIT]
    gone = replace(beside(observed, running=False, health=None), moved_seconds=0)
    assert kinds(plan(wanted, gone)) == [ActionKind.REMOVE_UNIT]


def test_the_version_before_stays_until_the_new_one_answers() -> None:
    wanted = newer("BlueGreen")
    observed = BEFORE
    for _ in range(2):
        observed = assume(wanted, observed, plan(wanted, observed))
    away = replace(observed.units["podman"], registered=False)
    assert kinds(plan(wanted, replace(observed, units={"podman": away}))) == []


def test_a_canary_has_its_share_while_it_is_registered() -> None:
    wanted = newer(percent=25)
    observed = on_canary(wanted)
    share = Candidate(f"voicefleet-green-{MARK.client_id}", 25, "spec-2")
    assert observed.rules[0].candidate == share
    assert kinds(plan(wanted, observed)) == []
    lost = beside(observed, registered=False)
    [back] = plan(wanted, lost).actions
    assert (back.kind, back.args["candidate"]) == (ActionKind.REPLACE_RULE, None)
    good = replace(observed, verdict=Verdict.GOOD)
    [all_of_them] = plan(wanted, good).actions
    assert all_of_them.args["agent_name"] == share.agent_name
    assert all_of_them.args["candidate"] is None


def test_a_bad_version_loses_its_callers_and_then_goes() -> None:
    wanted = newer()
    bad = replace(on_canary(wanted), verdict=Verdict.BAD, verdict_message="3 of 9 calls failed")
    todo = plan(wanted, bad)
    assert kinds(todo) == [ActionKind.REPLACE_RULE]
    assert todo.actions[0].args["agent_name"] == f"voicefleet-{MARK.client_id}"
    after = replace(assume(wanted, bad, todo), verdict=Verdict.BAD)
    todo = plan(wanted, after)
    assert kinds(todo) == [ActionKind.REMOVE_UNIT]
    assert todo.actions[0].args["slot"] == Slot.GREEN
    end = replace(assume(wanted, after, todo), verdict=Verdict.BAD, verdict_message="why")
    todo = plan(wanted, end)
    assert kinds(todo) == []
    assert [(w.reason, w.message, w.stalled) for w in todo.waits] == [("RolledBack", "why", True)]
    told = {f.type: f for f in findings(wanted, end, todo, [])}
    assert (told["Stalled"].reason, told["Answering"].status) == ("RolledBack", True)
    # Nor does it come by another way, while the agent before is away.
    away = replace(end.units["podman"], registered=False)
    assert kinds(plan(wanted, replace(end, units={"podman": away}))) == []


def test_an_agent_that_answers_nobody_is_replaced_where_it_is() -> None:
    away = replace(BEFORE.units["podman"], registered=False)
    todo = plan(newer(), replace(BEFORE, units={"podman": away}))
    assert [a.args["unit"].slot for a in todo.actions] == [Slot.BLUE]


def test_a_stale_version_is_not_given_callers_and_not_replaced_in_a_call() -> None:
    wanted = newer()
    assert wanted.unit is not None
    latest = replace(wanted, unit=replace(wanted.unit, spec_hash="spec-3"))
    observed = on_canary(wanted)
    [back] = plan(latest, observed).actions
    assert (back.kind, back.args["candidate"]) == (ActionKind.REPLACE_RULE, None)
    observed = replace(assume(latest, observed, plan(latest, observed)), moved_seconds=60)
    busy = beside(observed, health=AgentHealth(True, active_calls=1))
    assert kinds(plan(latest, busy)) == []
    assert kinds(plan(latest, observed)) == [ActionKind.APPLY_UNIT]


@pytest.mark.parametrize(("words", "starts"), [("Reload", False), ("RollOut", True)])
def test_words_are_a_version_where_the_spec_says_so(words: str, starts: bool) -> None:
    whole = desired(rollout=Rollout(strategy="BlueGreen", words=words))
    assert whole.unit is not None
    config = whole.unit.config_json.replace("Hello", "Welcome")
    wanted = replace(whole, unit=replace(whole.unit, config_json=config, config_hash="config-2"))
    todo = plan(wanted, BEFORE)
    assert kinds(todo) == [ActionKind.APPLY_UNIT if starts else ActionKind.CONFIGURE_UNIT]
    observed = settled(wanted, BEFORE)
    assert observed.live == (Slot.GREEN if starts else Slot.BLUE)


def test_words_reach_both_versions() -> None:
    wanted = newer()
    assert wanted.unit is not None
    config = wanted.unit.config_json.replace("Hello", "Welcome")
    edited = replace(wanted, unit=replace(wanted.unit, config_json=config, config_hash="config-2"))
    todo = plan(edited, on_canary(wanted))
    slots = [(a.kind, a.args["unit"].slot) for a in todo.actions]
    assert slots == [
        (ActionKind.CONFIGURE_UNIT, Slot.BLUE),
        (ActionKind.CONFIGURE_UNIT, Slot.GREEN),
    ]


def test_a_client_that_goes_takes_both_along() -> None:
    gone = replace(desired(), telephony=None, billing=None, name=None, unit=None)
    todo = plan(gone, on_canary(newer()))
    removed = [a.args["slot"] for a in todo.actions if a.kind == ActionKind.REMOVE_UNIT]
    assert removed == [Slot.BLUE, Slot.GREEN]


def test_the_rule_says_which_place_is_live() -> None:
    [rule] = BEFORE.rules
    green = replace(rule, agent_name=f"voicefleet-green-{MARK.client_id}")
    foreign = replace(rule, agent_name="somebody")
    both, blue = {Slot.BLUE, Slot.GREEN}, {Slot.BLUE}
    assert live_slot(MARK.client_id, (rule,), {Slot.GREEN}) == Slot.BLUE
    assert live_slot(MARK.client_id, (green,), blue) == Slot.GREEN
    for rules in ((), (foreign,)):
        assert live_slot(MARK.client_id, rules, both) == Slot.BLUE
        assert live_slot(MARK.client_id, rules, {Slot.GREEN}) == Slot.GREEN
        assert live_slot(MARK.client_id, rules, set()) == Slot.BLUE


def test_a_unit_id_says_whose_and_where() -> None:
    for slot in Slot:
        assert client_of(unit_id(MARK.client_id, slot)) == (MARK.client_id, slot)


# --- the judgement ----------------------------------------------------------------------------


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def health(ended: int = 0, failed: int = 0, answer: float | None = None) -> AgentHealth:
    return AgentHealth(True, NOW.timestamp() - 60, 0, ended, failed, answer)


def on(phase: Any, revision: str = "spec-2") -> RolloutStatus:
    return RolloutStatus(phase=phase, revision=revision, since="2026-11-26T12:00:00Z")


def test_nothing_is_under_way_where_the_version_is_there() -> None:
    assert judge(desired(), BEFORE, None, NOW) is None
    assert judge(desired(), BEFORE, on("RolledBack"), NOW) is None


def test_a_version_that_is_not_ready_in_time_is_taken_back() -> None:
    wanted = newer("BlueGreen", ready_seconds=60)
    status = judge(wanted, BEFORE, None, NOW)
    assert status == on("Starting")
    assert judge(wanted, BEFORE, status, after(60)) == status
    started = assume(wanted, BEFORE, plan(wanted, BEFORE))
    assert judge(wanted, started, status, after(61)) == status
    late = judge(wanted, beside(started, registered=False, message="exited"), status, after(61))
    assert late is not None
    assert (late.phase, late.reason) == ("RolledBack", "NotReady")
    assert late.message == "The new version was taken back: not registered within 60 s: exited"
    assert verdict(wanted.rollout, late) == Verdict.BAD
    observed = replace(BEFORE, verdict=Verdict.BAD)
    assert judge(wanted, observed, late, after(999)) == late
    # Another version is another matter.
    other = judge(wanted, observed, late.model_copy(update={"revision": "spec-0"}), after(70))
    assert other is not None
    assert other.phase == "Starting"


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (health(9, 1), None),
        (health(9, 2), "TooManyFailures"),  # more than one of ten, whatever comes
        (health(2, 2), "TooManyFailures"),
        (health(30, 3), None),
        (health(30, 4), "TooManyFailures"),
        (health(9, 0, 9000.0), None),
        (health(10, 0, 1500.0), None),
        (health(10, 0, 1500.1), "AnswersTooLate"),
    ],
)
def test_a_canary_is_judged_by_its_calls(seen: AgentHealth, reason: str | None) -> None:
    wanted = newer()
    status = judge(wanted, beside(on_canary(wanted), health=seen), on("Canary"), after(5))
    assert status is not None
    assert status.reason == reason
    assert (status.calls, status.failed_calls) == (seen.ended_calls, seen.failed_calls)
    enough = Verdict.GOOD if seen.ended_calls >= 10 else Verdict.OPEN
    assert verdict(wanted.rollout, status) == (Verdict.BAD if reason else enough)


def test_a_canary_begins_when_it_has_its_share() -> None:
    wanted = newer()
    started = assume(wanted, BEFORE, plan(wanted, BEFORE))
    assert judge(wanted, started, on("Starting"), after(5)) == on("Starting")
    status = judge(wanted, on_canary(wanted), on("Starting"), NOW)
    assert status == on("Canary")


def test_a_canary_that_ends_is_taken_back() -> None:
    wanted = newer()
    observed = on_canary(wanted)
    restarted = replace(health(), started_at=NOW.timestamp() + 30)
    for broken in (
        beside(observed, spec_hash="", running=False, health=None),
        beside(observed, health=restarted),
        replace(observed, beside={}),
    ):
        status = judge(wanted, broken, on("Canary"), after(40))
        assert status is not None
        assert (status.phase, status.reason) == ("RolledBack", "AgentEnded")
    # One that does not answer for a moment has no callers meanwhile; it is not judged by it.
    silent = beside(observed, registered=False, health=None)
    assert judge(wanted, silent, on("Canary"), after(40)) == on("Canary")


def test_draining_begins_when_callers_have_moved() -> None:
    wanted = newer("BlueGreen")
    observed = BEFORE
    for _ in range(2):
        observed = assume(wanted, observed, plan(wanted, observed))
    status = judge(wanted, observed, on("Starting"), NOW)
    assert status == on("Draining")
    assert judge(wanted, observed, status, after(900)) == status
    assert moved_seconds(status, after(30)) == 30
    assert moved_seconds(on("RolledBack"), after(30)) == 30
    assert moved_seconds(on("Canary"), after(9999)) == 0


def test_a_version_has_its_time_from_when_it_can_start() -> None:
    """The place may be taken by another one, whose calls end first."""
    wanted = newer()
    assert wanted.unit is not None
    latest = replace(wanted, unit=replace(wanted.unit, spec_hash="spec-3"))
    status = judge(latest, on_canary(wanted), on("Canary"), NOW)
    assert status == on("Draining", "spec-3")
    assert judge(latest, on_canary(wanted), status, after(900)) == status
    free = replace(BEFORE, beside={})
    started = judge(latest, free, status, after(900))
    assert started is not None
    assert (started.phase, started.since) == ("Starting", "2026-11-26T12:15:00Z")


def test_agents_are_told_apart_by_their_class() -> None:
    """A client that changes its runtime as well has nothing to roll out from there."""
    wanted = newer()
    assert wanted.unit is not None
    moved = replace(wanted, unit=replace(wanted.unit, class_name="process"))
    assert kinds(plan(moved, BEFORE)) == [ActionKind.REMOVE_UNIT, ActionKind.APPLY_UNIT]
    unit = AgentUnit(MARK.client_id, "spec-2", "config-1", True, True)
    assert plan(moved, replace(BEFORE, units={"process": unit})) == Plan()
