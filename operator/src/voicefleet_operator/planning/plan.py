"""What a plan is: actions with reason, money and order, and what must be waited for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from voicefleet_api.meta import ConditionType


class ActionKind(StrEnum):
    """Everything that the controller can do to the outside world for a client."""

    ADOPT_CUSTOMER = "AdoptCustomer"
    CREATE_CUSTOMER = "CreateCustomer"
    UPDATE_CUSTOMER = "UpdateCustomer"
    ADOPT_SUBSCRIPTION = "AdoptSubscription"
    CREATE_SUBSCRIPTION = "CreateSubscription"
    CREATE_CHECKOUT = "CreateCheckout"
    EXPIRE_CHECKOUT = "ExpireCheckout"
    CHANGE_PRICE = "ChangePrice"
    CANCEL_SUBSCRIPTION = "CancelSubscription"
    VOID_INVOICE = "VoidInvoice"
    REFUND_INVOICE = "RefundInvoice"
    FORGET_SUBSCRIPTION = "ForgetSubscription"

    CLAIM_NUMBER = "ClaimNumber"
    BIND_NUMBER = "BindNumber"
    SET_RECLAIM_POLICY = "SetReclaimPolicy"
    RELEASE_NUMBER = "ReleaseNumber"
    CREATE_CARRIER_TRUNK = "CreateCarrierTrunk"
    UPDATE_CARRIER_TRUNK = "UpdateCarrierTrunk"
    SET_ORIGINATION = "SetOrigination"
    DELETE_CARRIER_TRUNK = "DeleteCarrierTrunk"
    ROUTE_NUMBER = "RouteNumber"
    FORWARD_NUMBER = "ForwardNumber"

    CREATE_INBOUND_TRUNK = "CreateInboundTrunk"
    UPDATE_INBOUND_TRUNK = "UpdateInboundTrunk"
    DELETE_INBOUND_TRUNK = "DeleteInboundTrunk"
    CREATE_OUTBOUND_TRUNK = "CreateOutboundTrunk"
    UPDATE_OUTBOUND_TRUNK = "UpdateOutboundTrunk"
    DELETE_OUTBOUND_TRUNK = "DeleteOutboundTrunk"
    CREATE_RULE = "CreateDispatchRule"
    REPLACE_RULE = "ReplaceDispatchRule"
    DELETE_RULE = "DeleteDispatchRule"

    CLONE_VOICE = "CloneVoice"
    DELETE_VOICE = "DeleteVoice"

    APPLY_UNIT = "StartAgent"
    CONFIGURE_UNIT = "ReconfigureAgent"
    REMOVE_UNIT = "RemoveAgent"

    CREATE_NAME = "CreateDNSName"
    UPDATE_NAME = "UpdateDNSName"
    DELETE_NAME = "DeleteDNSName"


@dataclass(frozen=True, slots=True)
class Action:
    """One step. `cost_minor` and `revenue_minor` are changes a month, in cents."""

    kind: ActionKind
    power: ConditionType
    target: str
    reason: str
    cost_minor: int = 0
    revenue_minor: int = 0
    reversible: bool = True
    after: tuple[str, ...] = ()
    args: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Unique within a plan."""
        return f"{self.kind} {self.target}"


@dataclass(frozen=True, slots=True)
class Wait:
    """Something that is not there yet and that no action of ours brings about now.

    `stalled`: only an edit of the spec will help.
    """

    power: ConditionType
    reason: str
    message: str
    stalled: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """A DAG of actions (`after` names ids) and what is waited for."""

    actions: tuple[Action, ...] = ()
    waits: tuple[Wait, ...] = ()
    gate_open: bool = True
    """Whether anything but billing may be made yet (`billing.activation`)."""

    @property
    def cost_minor(self) -> int:
        """Change of the vendors' bill a month, in cents."""
        return sum(action.cost_minor for action in self.actions)

    @property
    def revenue_minor(self) -> int:
        """Change of what the client pays a month, in cents."""
        return sum(action.revenue_minor for action in self.actions)


class PlanBuilder:
    """Collects actions; dependencies on actions that were not needed are dropped."""

    def __init__(self) -> None:
        self._actions: dict[str, Action] = {}
        self._waits: list[Wait] = []

    def add(
        self,
        kind: ActionKind,
        power: ConditionType,
        target: str,
        reason: str,
        *,
        after: tuple[str | None, ...] = (),
        cost_minor: int = 0,
        revenue_minor: int = 0,
        reversible: bool = True,
        **args: Any,
    ) -> str:
        """Add an action; its id, for the `after` of others."""
        action = Action(
            kind,
            power,
            target,
            reason,
            cost_minor=cost_minor,
            revenue_minor=revenue_minor,
            reversible=reversible,
            after=tuple(step for step in after if step),
            args=args,
        )
        self._actions[action.id] = action
        return action.id

    def wait(
        self, power: ConditionType, reason: str, message: str, *, stalled: bool = False
    ) -> None:
        """Add something to wait for."""
        self._waits.append(Wait(power, reason, message, stalled))

    @property
    def has_actions(self) -> bool:
        """Whether there is anything to do so far."""
        return bool(self._actions)

    def build(self, *, gate_open: bool) -> Plan:
        """The plan, in the order of the additions."""
        return Plan(tuple(self._actions.values()), tuple(self._waits), gate_open)
