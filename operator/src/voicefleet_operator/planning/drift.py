"""Changes that somebody made by hand at a vendor: told from edits, repaired or reported (pure).

What is wanted is hashed whenever all of it is there. If a plan is not empty while the same is
wanted as then, the world has changed, and `spec.drift` says what is done about it. An agent that
has ended is no drift: it is started again, as every workload is.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, is_dataclass, replace
from typing import Any

from voicefleet_api.base import ApiModel
from voicefleet_api.meta import ConditionType
from voicefleet_api.voiceclient import Drift
from voicefleet_operator.planning.desired import Desired
from voicefleet_operator.planning.plan import Action, ActionKind, Plan, Wait

_PAID = frozenset(
    {
        ActionKind.CREATE_SUBSCRIPTION,
        ActionKind.CREATE_CHECKOUT,
        ActionKind.CHANGE_PRICE,
        ActionKind.CLAIM_NUMBER,
    }
)


def fingerprint(desired: Desired) -> str:
    """The same wish has the same fingerprint, in every process."""
    text = json.dumps(desired, default=_plain, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    if isinstance(value, ApiModel):
        return value.to_json()
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, frozenset):
        return sorted(value)
    raise TypeError(type(value).__name__)


def drifted(actions: tuple[Action, ...]) -> tuple[Action, ...]:
    """Those that undo what somebody has done at a vendor."""
    return tuple(a for a in actions if a.power != ConditionType.RUNTIME_READY)


def hold_back(plan: Plan, policy: Drift) -> Plan:
    """The plan without what is only to be reported."""
    held: dict[str, Wait] = {}
    for action in drifted(plan.actions):
        field = "paid" if action.kind in _PAID else "free"
        if (policy.paid if field == "paid" else policy.free) == "Report":
            held[action.id] = Wait(
                action.power,
                "Drifted",
                f"Changed at the vendor: {action.reason}; {action.kind} {action.target} is not done"
                f" while spec.drift.{field} is Report",
                stalled=True,
            )
    kept = tuple(action for action in plan.actions if action.id not in held)
    return replace(plan, actions=kept, waits=(*plan.waits, *held.values()))
