"""What the world would be after a plan went well (pure).

`voicefleet plan` uses it to show later steps, which depend on what earlier ones make; the property
tests use it to show that planning comes to rest.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from voicefleet_api.voiceclient import NumberClaim
from voicefleet_operator.planning.desired import Desired
from voicefleet_operator.planning.ingress import Ingress
from voicefleet_operator.planning.observed import (
    AgentHealth,
    AgentUnit,
    CarrierNumber,
    CarrierTrunk,
    ClonedVoice,
    Customer,
    DispatchRule,
    DNSName,
    InboundTrunk,
    Invoice,
    NumberObject,
    Observed,
    OriginationURL,
    OutboundTrunk,
    Subscription,
    Verdict,
    sample_mark,
)
from voicefleet_operator.planning.plan import Action, ActionKind, Plan

_NEW = "(new)"


def assume(desired: Desired, observed: Observed, plan: Plan) -> Observed:
    """`observed` after every action of the plan has succeeded; what is new is called "(new)".

    Payments are assumed to be made: a Checkout session becomes a paid subscription.
    """
    for action in plan.actions:
        observed = replace(observed, **_effect(desired, observed, action))
    tried = any(rule.candidate is not None for rule in observed.rules)
    verdict = Verdict.GOOD if tried else Verdict.OPEN
    return replace(observed, activated=True, verdict=verdict, moved_seconds=math.inf)


def _effect(desired: Desired, observed: Observed, action: Action) -> dict[str, Any]:
    for effects in (_billing, _carrier, _livekit, _placement):
        changes = effects(desired, observed, action)
        if changes is not None:
            return changes
    raise NotImplementedError(action.kind)


def _billing(desired: Desired, observed: Observed, action: Action) -> dict[str, Any] | None:
    wanted, kind = desired.billing, action.kind
    price = wanted.price_id or "" if wanted else ""
    match kind:
        case (
            ActionKind.CREATE_CUSTOMER | ActionKind.ADOPT_CUSTOMER | ActionKind.UPDATE_CUSTOMER
        ) if wanted:
            customer = Customer(
                wanted.existing_customer_id or _NEW,
                wanted.customer_name,
                wanted.email,
                desired.mark,
            )
            return {"customer": customer}
        case (
            ActionKind.CREATE_SUBSCRIPTION
            | ActionKind.ADOPT_SUBSCRIPTION
            | ActionKind.CREATE_CHECKOUT
            | ActionKind.CHANGE_PRICE
        ):
            subscription = Subscription(
                _NEW, _NEW, "active", _NEW, price, False, True, desired.mark,
                price_minor=wanted.price_minor if wanted else 0,
            )  # fmt: skip
            return {"subscription": subscription, "checkout": None}
        case ActionKind.EXPIRE_CHECKOUT:
            return {"checkout": None}
        case ActionKind.CANCEL_SUBSCRIPTION if observed.subscription:
            now = action.args["when"] != "AtPeriodEnd"
            return {
                "subscription": replace(
                    observed.subscription,
                    status="canceled" if now else observed.subscription.status,
                    cancel_at_period_end=True,
                )
            }
        case ActionKind.VOID_INVOICE | ActionKind.REFUND_INVOICE if observed.subscription:
            settled = Invoice(action.target, "void", 0)
            return {"subscription": replace(observed.subscription, invoice=settled)}
        case ActionKind.FORGET_SUBSCRIPTION:
            return {"subscription": None}
        case _:
            return None


def _carrier(desired: Desired, observed: Observed, action: Action) -> dict[str, Any] | None:
    match action.kind:
        case ActionKind.CLAIM_NUMBER | ActionKind.BIND_NUMBER:
            return _claimed(desired, observed, action.args["claim"])
        case ActionKind.SET_RECLAIM_POLICY:
            numbers = tuple(
                replace(n, reclaim_policy=action.args["policy"])
                if n.name == action.args["object_name"]
                else n
                for n in observed.numbers
            )
            return {"numbers": numbers}
        case ActionKind.RELEASE_NUMBER:
            kept = tuple(n for n in observed.numbers if n.name != action.args["object_name"])
            return {"numbers": kept}
        case ActionKind.CREATE_CARRIER_TRUNK | ActionKind.UPDATE_CARRIER_TRUNK:
            trunk = observed.carrier_trunk or CarrierTrunk(_NEW, "", "", None, ())
            url = action.args["disaster_recovery_url"]
            trunk = replace(
                trunk, disaster_recovery_url=url, transfers=True, secure=action.args["secure"]
            )
            return {"carrier_trunk": trunk}
        case ActionKind.SET_ORIGINATION if observed.carrier_trunk:
            urls = tuple(
                OriginationURL(_NEW, url, 10 * i, 10, True)
                for i, url in enumerate(action.args["urls"], start=1)
            )
            return {"carrier_trunk": replace(observed.carrier_trunk, origination=urls)}
        case ActionKind.DELETE_CARRIER_TRUNK:
            return {"carrier_trunk": None}
        case ActionKind.ROUTE_NUMBER | ActionKind.FORWARD_NUMBER:
            way: Ingress = action.args["way"]
            number = replace(
                observed.carrier_numbers[action.target],
                trunk_sid=way.trunk_sid,
                voice_url=way.voice_url,
                voice_fallback_url=way.voice_fallback_url,
            )
            return {"carrier_numbers": {**observed.carrier_numbers, action.target: number}}
        case _:
            return None


def _claimed(desired: Desired, observed: Observed, claim: NumberClaim) -> dict[str, Any]:
    e164 = claim.e164 or f"{_NEW} {claim.name}"
    cost = desired.telephony.number_cost_minor if desired.telephony else 0
    number = NumberObject(_NEW + claim.name, claim.name, "Bound", e164, _NEW, "", cost)
    number = replace(number, reclaim_policy=claim.reclaim_policy)
    carrier = CarrierNumber(_NEW, e164, "", None, None)
    return {
        "numbers": (*observed.numbers, number),
        "carrier_numbers": {**observed.carrier_numbers, e164: carrier},
    }


def _livekit(desired: Desired, observed: Observed, action: Action) -> dict[str, Any] | None:
    args = action.args
    match action.kind:
        case ActionKind.CREATE_INBOUND_TRUNK | ActionKind.UPDATE_INBOUND_TRUNK:
            trunk = InboundTrunk(
                args.get("trunk_id", _NEW),
                args["numbers"],
                args["allowed_addresses"],
                args["max_call_seconds"],
                desired.mark,
                args["secure"],
            )
            others = tuple(t for t in observed.inbound_trunks if t.id != trunk.id)
            return {"inbound_trunks": (trunk, *others)}
        case ActionKind.DELETE_INBOUND_TRUNK:
            kept = tuple(t for t in observed.inbound_trunks if t.id != args["trunk_id"])
            return {"inbound_trunks": kept}
        case ActionKind.CREATE_OUTBOUND_TRUNK | ActionKind.UPDATE_OUTBOUND_TRUNK:
            carrier = observed.carrier_trunk or CarrierTrunk(_NEW, "", "", None, ())
            out = OutboundTrunk(
                args.get("trunk_id", _NEW),
                args["termination"] or carrier.domain_name,
                args["numbers"],
                _NEW,
                desired.mark,
                args["secure"],
            )
            rest = tuple(t for t in observed.outbound_trunks if t.id != out.id)
            return {
                "outbound_trunks": (out, *rest),
                "carrier_trunk": replace(carrier, calls_out=True),
                "outbound_user": _NEW,
            }
        case ActionKind.DELETE_OUTBOUND_TRUNK:
            rest = tuple(t for t in observed.outbound_trunks if t.id != args["trunk_id"])
            return {"outbound_trunks": rest}
        case ActionKind.CREATE_RULE | ActionKind.REPLACE_RULE:
            ids = frozenset({observed.inbound_trunks[0].id})
            rule = DispatchRule(
                args.get("rule_id", _NEW),
                ids,
                args["agent_name"],
                desired.mark,
                args["candidate"],
                args["overflow"],
            )
            rules = (rule, *(r for r in observed.rules if r.id != rule.id))
            if args["agent_name"] == desired.agent_name(observed.live):
                return {"rules": rules}
            return {
                "rules": rules,
                "live": observed.live.other,
                "units": observed.beside,
                "beside": observed.units,
            }
        case ActionKind.DELETE_RULE:
            return {"rules": tuple(r for r in observed.rules if r.id != args["rule_id"])}
        case _:
            return None


def _placement(desired: Desired, observed: Observed, action: Action) -> dict[str, Any] | None:
    names = {name.label: name for name in observed.names}
    units = {observed.live: dict(observed.units), observed.live.other: dict(observed.beside)}
    match action.kind:
        case ActionKind.APPLY_UNIT | ActionKind.CONFIGURE_UNIT:
            unit = action.args["unit"]
            units[unit.slot][unit.class_name] = AgentUnit(
                desired.mark.client_id,
                unit.spec_hash,
                unit.config_hash,
                True,
                True,
                health=AgentHealth(registered=True),
            )
        case ActionKind.CLONE_VOICE if desired.voice and desired.voice.sample:
            sample = sample_mark(desired.voice.sample)
            made = ClonedVoice(f"{_NEW} of {sample}", sample, desired.mark)
            return {"voices": (*observed.voices, made)}
        case ActionKind.DELETE_VOICE:
            return {"voices": tuple(v for v in observed.voices if v.id != action.target)}
        case ActionKind.REMOVE_UNIT:
            del units[action.args["slot"]][action.args["class_name"]]
        case ActionKind.CREATE_NAME | ActionKind.UPDATE_NAME if desired.name:
            wanted = desired.name
            names[wanted.label] = DNSName(wanted.label, "", wanted.target, wanted.ttl, desired.mark)
        case ActionKind.DELETE_NAME:
            del names[action.args["label"]]
        case _:
            return None
    return {
        "units": units[observed.live],
        "beside": units[observed.live.other],
        "names": tuple(names.values()),
    }
