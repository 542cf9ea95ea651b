"""The planner: `plan(desired, observed) -> Plan`; pure, total, and empty when all is well.

Every run may be the first, the last or a repeat: nothing is remembered between runs. The order of
removals is the design's: routing, billing, numbers, runtime, DNS, and the client's own voice.
"""

from __future__ import annotations

from voicefleet_api.meta import ConditionType
from voicefleet_operator.planning.agents import plan_agent
from voicefleet_operator.planning.billing import plan_billing, plan_no_billing
from voicefleet_operator.planning.desired import Desired
from voicefleet_operator.planning.observed import Observed
from voicefleet_operator.planning.plan import ActionKind, Plan, PlanBuilder
from voicefleet_operator.planning.telephony import (
    plan_no_numbers,
    plan_telephony,
    remove_routing,
)
from voicefleet_operator.planning.voices import plan_voice


def plan(desired: Desired, observed: Observed) -> Plan:
    """The smallest set of actions that takes one client from `observed` to `desired`."""
    builder = PlanBuilder()
    step, gate_open = None, True
    if desired.billing is not None:
        step, gate_open = plan_billing(builder, desired.billing, observed)
    # Each removal follows the ones before it.
    removed: tuple[str, ...] = ()
    if desired.telephony is None:
        removed = remove_routing(builder, observed, "the client no longer has a line", removed)
    if desired.billing is None:
        removed = plan_no_billing(builder, desired, observed, removed)
    if desired.telephony is None:
        removed = plan_no_numbers(builder, desired, observed, removed)
    elif gate_open:
        plan_telephony(builder, desired, observed, step)
    plan_agent(builder, desired, observed, gate_open, step, removed)
    _name(builder, desired, observed, gate_open, step, removed)
    plan_voice(builder, desired, observed, gate_open=gate_open)
    return builder.build(gate_open=gate_open)


def _name(
    builder: PlanBuilder,
    desired: Desired,
    observed: Observed,
    gate_open: bool,
    after: str | None,
    removed: tuple[str, ...],
) -> None:
    power = ConditionType.DNS_READY
    wanted = desired.name
    have = {name.label: name for name in observed.names}
    if wanted is not None and gate_open:
        name = have.pop(wanted.label, None)
        if name is None:
            removed = (
                builder.add(
                    ActionKind.CREATE_NAME, power, wanted.label, "it does not exist", after=(after,)
                ),
            )
        elif (name.value, name.ttl) != (wanted.target, wanted.ttl):
            builder.add(ActionKind.UPDATE_NAME, power, wanted.label, "target or TTL changed")
    for label in have:
        builder.add(
            ActionKind.DELETE_NAME,
            power,
            label,
            "it is not wanted any more",
            after=removed,
            label=label,
        )
