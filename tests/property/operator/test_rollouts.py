"""Rollouts under whatever happens: somebody always answers, and nothing is done twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.clients import MARK, desired, settled
from voicefleet_api.voiceclient import Rollout
from voicefleet_operator.planning.desired import Desired, config_hash
from voicefleet_operator.planning.observed import AgentHealth, AgentUnit, Observed, Slot, Verdict
from voicefleet_operator.planning.plan import ActionKind, Plan
from voicefleet_operator.planning.planner import plan
from voicefleet_operator.planning.rollout import revision
from voicefleet_operator.planning.simulate import assume

pytestmark = pytest.mark.property

_ROUTING = (ActionKind.CREATE_RULE, ActionKind.REPLACE_RULE)
STRATEGIES = ("Recreate", "BlueGreen", "Canary")


@st.composite
def wishes(draw: st.DrawFn) -> Desired:
    """The client with some version, words and way of rolling out."""
    whole = desired()
    assert whole.unit is not None
    words = draw(st.sampled_from(["Hello", "Welcome"]))
    config = whole.unit.config_json.replace("Hello", words)
    unit = replace(
        whole.unit,
        spec_hash=draw(st.sampled_from(["spec-1", "spec-2", "spec-3"])),
        config_json=config,
        config_hash=config_hash(config),
    )
    rollout = Rollout(
        strategy=draw(st.sampled_from(STRATEGIES)),
        words=draw(st.sampled_from(["Reload", "RollOut"])),
        percent=draw(st.sampled_from([1, 10, 99])),
    )
    return replace(whole, unit=unit, rollout=rollout)


units = st.builds(
    lambda registered, calls: {
        "registered": registered,
        "health": None if calls is None else AgentHealth(registered, active_calls=calls),
    },
    st.booleans(),
    st.sampled_from([0, 1, None]),
)


def disturbed(observed: Observed, data: st.DataObject) -> Observed:
    """Agents come and go, calls begin and end, and the new version does well or badly."""

    def disturb(agents: Any) -> dict[str, AgentUnit]:
        return {name: replace(unit, **data.draw(units)) for name, unit in agents.items()}

    return replace(
        observed,
        units=disturb(observed.units),
        beside=disturb(observed.beside),
        verdict=data.draw(st.sampled_from(list(Verdict))),
        moved_seconds=data.draw(st.sampled_from([0.0, 60.0, 9999.0])),
    )


def reached(client: Desired, observed: Observed) -> list[AgentUnit]:
    """Agents that a caller's call is offered to."""
    names = {}
    for slot, agents in ((observed.live, observed.units), (observed.live.other, observed.beside)):
        names |= {client.agent_name(slot): unit for unit in agents.values()}
    [rule] = observed.rules
    told = [rule.agent_name, rule.candidate.agent_name if rule.candidate else None]
    return [names[name] for name in told if name in names]


@given(st.lists(wishes(), min_size=1, max_size=4), st.data())
def test_callers_always_reach_an_agent(edits: list[Desired], data: st.DataObject) -> None:
    observed = settled(desired())
    for client in edits:
        for _ in range(data.draw(st.integers(1, 4))):
            observed = disturbed(observed, data)
            todo = plan(client, observed)
            assert sum(action.kind in _ROUTING for action in todo.actions) <= 1
            for action in todo.actions:
                _check(client, observed, action.kind, action.args)
            # Killed after any of the steps, or after none.
            cut = data.draw(st.integers(0, len(todo.actions)))
            part = replace(todo, actions=todo.actions[:cut])
            after = assume(client, observed, part)
            assert len(after.rules) == 1
            assert reached(client, after), "callers are led to nobody"
            observed = after
    # Left alone it comes to rest, with one agent of the newest version, or none but the present.
    client = edits[-1]
    observed = replace(observed, units=_well(observed.units), beside=_well(observed.beside))
    observed = settled(client, replace(observed, verdict=Verdict.OPEN), rounds=12)
    assert plan(client, observed) == Plan()
    assert client.unit is not None
    assert observed.beside == {}
    assert observed.rules[0].candidate is None
    assert observed.units["podman"].spec_hash == client.unit.spec_hash


def _check(client: Desired, observed: Observed, kind: ActionKind, args: Any) -> None:
    [rule] = observed.rules
    told = {rule.agent_name, rule.candidate.agent_name if rule.candidate else None}
    if kind in _ROUTING and args["agent_name"] != rule.agent_name:
        # All callers move: to one that answers.
        assert [unit.registered for unit in observed.beside.values()] == [True]
    if kind in _ROUTING and args["candidate"] is not None:
        assert [unit.registered for unit in observed.beside.values()] == [True]
        assert client.unit is not None
        assert args["candidate"].revision == revision(client.rollout, client.unit)
    if kind == ActionKind.REMOVE_UNIT:
        assert client.agent_name(args["slot"]) not in told
        _check_idle(observed, args["slot"])
    if kind == ActionKind.APPLY_UNIT:
        slot = args["unit"].slot
        if slot != observed.live:
            assert client.agent_name(slot) not in told
            _check_idle(observed, slot)
        elif client.rollout.strategy != "Recreate":
            # In place only where nobody is answered there.
            assert not any(unit.registered for unit in observed.units.values())


def _check_idle(observed: Observed, slot: Slot) -> None:
    assert slot != observed.live
    for unit in observed.beside.values():
        idle = unit.health is not None and unit.health.active_calls == 0
        moved = observed.moved_seconds
        assert not unit.running or (idle and moved > 8) or moved > 1800


def _well(agents: Any) -> dict[str, AgentUnit]:
    return {
        name: replace(unit, registered=True, health=AgentHealth(True))
        for name, unit in agents.items()
    }


@given(wishes(), wishes())
def test_each_step_moves_callers_once(first: Desired, second: Desired) -> None:
    """Undisturbed: a share, all, and that is it."""
    observed = settled(first)
    changed = 0
    for _ in range(12):
        todo = plan(second, observed)
        changed += sum(action.kind in _ROUTING for action in todo.actions)
        observed = assume(second, observed, todo)
    assert changed <= {"Recreate": 0, "BlueGreen": 1, "Canary": 2}[second.rollout.strategy]
    assert observed.rules[0].mark == MARK
