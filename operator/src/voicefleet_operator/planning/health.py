"""Conditions from plan and observation (pure).

`Ready`: what the spec asks for is there. `Answering`: a call placed now would be answered. Status
follows kstatus: `Reconciling` and `Stalled` stand only while they are true.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from voicefleet_api.meta import ConditionType
from voicefleet_operator.planning.desired import Desired
from voicefleet_operator.planning.ingress import leads_to_us
from voicefleet_operator.planning.observed import Observed
from voicefleet_operator.planning.plan import Plan
from voicefleet_operator.planning.telephony import bound


@dataclass(frozen=True, slots=True)
class Finding:
    """One condition to be: type, status, reason and message."""

    type: ConditionType
    status: bool
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a power is not as it should be."""

    power: ConditionType
    reason: str
    message: str
    stalled: bool = False


_POWERS = (
    ConditionType.BILLING_READY,
    ConditionType.TELEPHONY_READY,
    ConditionType.RUNTIME_READY,
    ConditionType.DNS_READY,
    ConditionType.VOICE_READY,
)


def findings(
    desired: Desired, observed: Observed, plan: Plan, failures: Iterable[Trouble]
) -> list[Finding]:
    """All conditions of one client; `plan` is what is still to be done, `failures` what failed."""
    troubles = [
        *failures,
        *(Trouble(w.power, w.reason, w.message, w.stalled) for w in plan.waits),
        *(
            Trouble(a.power, "Progressing", f"{a.kind} {a.target}: {a.reason}")
            for a in plan.actions
        ),
    ]
    if observed.subscription is not None and observed.subscription.status in (
        "past_due",
        "unpaid",
    ):
        troubles.append(
            Trouble(
                ConditionType.BILLING_READY,
                "PaymentOverdue",
                f"Stripe says that subscription {observed.subscription.id} is"
                f" {observed.subscription.status}; service goes on",
            )
        )
    wanted = {
        ConditionType.BILLING_READY: desired.billing is not None,
        ConditionType.TELEPHONY_READY: desired.telephony is not None,
        ConditionType.RUNTIME_READY: desired.unit is not None,
        ConditionType.DNS_READY: desired.name is not None,
        ConditionType.VOICE_READY: desired.voice is not None,
    }
    found: list[Finding] = []
    for power in _POWERS:
        mine = _worst([t for t in troubles if t.power == power])
        if mine is not None:
            found.append(Finding(power, False, mine.reason, mine.message))
        elif not wanted[power]:
            found.append(Finding(power, True, "NotRequested", "The spec does not ask for it"))
        elif not plan.gate_open and power != ConditionType.BILLING_READY:
            found.append(Finding(power, False, "AwaitingBilling", "Billing comes first"))
        else:
            words = _barred(desired) if power == ConditionType.TELEPHONY_READY else ""
            found.append(Finding(power, True, "Provisioned", words))
    worst = _worst(troubles)
    if worst is None:
        reason = "Suspended" if desired.suspended else "Provisioned"
        found.append(
            Finding(ConditionType.READY, True, reason, "All that the spec asks for is there")
        )
    else:
        found.append(Finding(ConditionType.READY, False, worst.reason, worst.message))
        kind = ConditionType.STALLED if worst.stalled else ConditionType.RECONCILING
        found.append(Finding(kind, True, worst.reason, worst.message))
    found.append(answering(desired, observed))
    return found


def _barred(desired: Desired) -> str:
    """What is as the spec says, and may yet surprise whoever wrote the Receptionist."""
    names = desired.telephony.barred if desired.telephony else ()
    if not names:
        return ""
    return (
        f"Callers are not connected with {', '.join(names)}: spec.telephony.limits.transferTo does"
        " not have their numbers"
    )


def _worst(troubles: list[Trouble]) -> Trouble | None:
    """What a person should read first: what only they can mend, then failures and waits."""
    if not troubles:
        return None
    return min(troubles, key=lambda t: (not t.stalled, t.reason == "Progressing"))


def answering(desired: Desired, observed: Observed) -> Finding:
    """Whether a call placed now would be answered: number, trunk, rule and worker agree."""

    def no(reason: str, message: str) -> Finding:
        return Finding(ConditionType.ANSWERING, False, reason, message)

    if desired.telephony is None:
        return no("NoTelephony", "The client has no phone line")
    if desired.suspended:
        return no("Suspended", "Calls go to the fallback phone")
    numbers = bound(observed, desired.telephony)
    if not numbers or len(numbers) < len(desired.telephony.numbers):
        return no("NumberPending", "Not all numbers are there yet")
    for obj in numbers:
        carrier = observed.carrier_numbers.get(obj.e164 or "")
        if carrier is None or not leads_to_us(carrier, observed.carrier_trunk):
            return no("NotRouted", f"The carrier does not send calls for {obj.e164} to us")
        if not any(obj.e164 in inbound.numbers for inbound in observed.inbound_trunks):
            return no("NotRouted", f"LiveKit does not know {obj.e164}")
    inbound_ids = {inbound.id for inbound in observed.inbound_trunks}
    if not any(
        rule.agent_name == desired.agent_name(observed.live)
        and rule.trunk_ids
        and rule.trunk_ids <= inbound_ids
        for rule in observed.rules
    ):
        return no("NotRouted", "No dispatch rule leads to the agent")
    if desired.unit is None:
        return no("NoRuntime", "The fleet has no LiveKit server for the agent")
    unit = observed.units.get(desired.unit.class_name)
    if unit is None or not unit.registered:
        return no(
            "AgentNotRegistered", (unit.message if unit else "") or "The agent is not registered"
        )
    return Finding(
        ConditionType.ANSWERING, True, "Answering", "A call placed now would be answered"
    )
