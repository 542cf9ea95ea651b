"""Planning of the phone line: numbers, the carrier's trunk, LiveKit's trunk and rule (pure).

Order: LiveKit's rule and the trunk's origination URLs stand before a number points at them, and a
number leaves LiveKit before it is given back, so that no call ever reaches a half-made route.
"""

from __future__ import annotations

from dataclasses import replace

from voicefleet_api.meta import ConditionType
from voicefleet_operator.planning.desired import Desired, WantedTelephony
from voicefleet_operator.planning.ingress import forward_url, ingress, is_hosted
from voicefleet_operator.planning.observed import DispatchRule, NumberObject, Observed
from voicefleet_operator.planning.outbound import plan_outbound, remove_outbound
from voicefleet_operator.planning.plan import ActionKind, PlanBuilder
from voicefleet_operator.planning.rollout import Course, course

_POWER = ConditionType.TELEPHONY_READY


def bound(observed: Observed, wanted: WantedTelephony | None) -> tuple[NumberObject, ...]:
    """The client's numbers that it wants and has, in the order of the spec."""
    held = {obj.number: obj for obj in _by_worth(observed) if _is_bound(obj)}
    return (
        tuple(held[claim.name] for claim in wanted.numbers if claim.name in held) if wanted else ()
    )


def _is_bound(obj: NumberObject) -> bool:
    return obj.phase == "Bound" and obj.e164 is not None


def _by_worth(observed: Observed) -> list[NumberObject]:
    """The client's numbers, those that callers reach already last.

    An old leader's last request can claim a second number for one entry of the spec.
    """
    routed = {e164 for trunk in observed.inbound_trunks for e164 in trunk.numbers}
    return sorted(observed.numbers, key=lambda obj: (_is_bound(obj), obj.e164 in routed, obj.name))


def plan_telephony(
    builder: PlanBuilder, desired: Desired, observed: Observed, after: str | None
) -> None:
    """Plan the line as `desired.telephony` wants it; purchases follow the step `after`."""
    wanted = desired.telephony
    if wanted is None:
        raise ValueError("telephony is not wanted")
    _claims(builder, wanted, observed, after)
    trunk_step = _carrier_trunk(builder, wanted, observed, after)
    rule_step = _routing(builder, desired, wanted, observed)
    plan_outbound(builder, wanted, observed, _numbers(wanted, observed), trunk_step)
    for obj in bound(observed, wanted):
        _number(builder, desired, wanted, observed, obj, (trunk_step, rule_step))


def _claims(
    builder: PlanBuilder, wanted: WantedTelephony, observed: Observed, after: str | None
) -> None:
    numbers = _by_worth(observed)
    claimed = {obj.number: obj for obj in numbers}
    for number in numbers:
        if number is not claimed[number.number]:
            # Only what was free is ever claimed twice, and free it is again.
            free = replace(number, reclaim_policy="Retain")
            reason = f"the client's {number.number} is another one already"
            _release(builder, free, reason, _stop_step(observed, number))
    for claim in wanted.numbers:
        obj = claimed.pop(claim.name, None)
        if obj is None:
            spare = observed.spare.get(claim.name)
            if spare is not None:
                builder.add(
                    ActionKind.BIND_NUMBER,
                    _POWER,
                    claim.name,
                    f"{spare} is free and fits",
                    after=(after,),
                    object_name=spare,
                    claim=claim,
                )
                continue
            buys = claim.source == "Purchase"
            what = claim.e164 or (
                f"{claim.request.country} {claim.request.area_code or ''}".strip()
                if claim.request
                else "any"
            )
            builder.add(
                ActionKind.CLAIM_NUMBER,
                _POWER,
                f"{claim.name} ({what})",
                "the client has no such number" if buys else "the account has it already",
                after=(after,),
                reversible=not buys,
                cost_minor=wanted.number_cost_minor if buys else 0,
                claim=claim,
            )
        elif obj.paused and obj.phase != "Bound":
            _wait_for_pause(builder, obj)
        elif obj.reason == "NumberMissing" and wanted.replace_lost:
            _release(builder, obj, "the carrier has it no longer; another is bought", ())
        elif obj.phase != "Bound":
            builder.wait(
                _POWER,
                obj.reason or "NumberPending",
                obj.message or f"Number {claim.name} is not there yet",
                stalled=obj.stalled,
            )
        elif obj.reclaim_policy != claim.reclaim_policy:
            builder.add(
                ActionKind.SET_RECLAIM_POLICY,
                _POWER,
                claim.name,
                "reclaimPolicy changed",
                object_name=obj.name,
                policy=claim.reclaim_policy,
            )
    # Numbers that the spec no longer has leave LiveKit first (the trunk's update below).
    for obj in claimed.values():
        _release(builder, obj, "the spec no longer has it", _stop_step(observed, obj))


def _stop_step(observed: Observed, obj: NumberObject) -> tuple[str, ...]:
    if any(obj.e164 in trunk.numbers for trunk in observed.inbound_trunks):
        return (f"{ActionKind.UPDATE_INBOUND_TRUNK} {observed.inbound_trunks[0].id}",)
    return ()


def _release(
    builder: PlanBuilder, obj: NumberObject, reason: str, after: tuple[str, ...]
) -> tuple[str, ...]:
    """Give a number up, and wait for the end of it; the steps that this takes."""
    builder.wait(
        _POWER,
        "ReleasingNumbers",
        f"{obj.e164 or obj.name} is being handed back by its reclaim policy",
    )
    if obj.phase == "Released":
        return ()
    given_back = obj.reclaim_policy == "Release"
    step = builder.add(
        ActionKind.RELEASE_NUMBER,
        _POWER,
        obj.e164 or obj.name,
        reason,
        after=after,
        cost_minor=-obj.monthly_cost_minor if given_back else 0,
        reversible=not given_back,
        object_name=obj.name,
        policy=obj.reclaim_policy,
    )
    return (step,)


def _unretained(desired: Desired, obj: NumberObject) -> NumberObject:
    """In a rollback a number that was bought for this client goes back whatever its policy.

    One that was taken from the fleet's free ones has another client's name, and stays.
    """
    bought = obj.name.startswith(f"{desired.mark.client_id}-")
    return replace(obj, reclaim_policy="Release") if desired.rollback and bought else obj


def _carrier_trunk(
    builder: PlanBuilder, wanted: WantedTelephony, observed: Observed, after: str | None
) -> str | None:
    trunk = observed.carrier_trunk
    recovery = forward_url(wanted.forward_to) if wanted.forward_to else None
    origination = ", ".join(wanted.origination)
    step = None
    if trunk is None:
        step = builder.add(
            ActionKind.CREATE_CARRIER_TRUNK,
            _POWER,
            "trunk",
            "the client has none",
            after=(after,),
            disaster_recovery_url=recovery,
            secure=wanted.secure,
        )
    elif (trunk.disaster_recovery_url, trunk.transfers, trunk.secure) != (
        recovery,
        True,
        wanted.secure,
    ):
        # Encryption begins with the URLs and ends with LiveKit's trunk, or the other way round: so
        # each takes what the one before it sends, at any moment.
        update = builder.add(
            ActionKind.UPDATE_CARRIER_TRUNK,
            _POWER,
            trunk.sid,
            "the fallback phone, encryption, or the right to transfer calls changed",
            after=(f"{ActionKind.SET_ORIGINATION} {origination}",)
            if wanted.secure
            else tuple(
                f"{ActionKind.UPDATE_INBOUND_TRUNK} {t.id}" for t in observed.inbound_trunks
            ),
            disaster_recovery_url=recovery,
            secure=wanted.secure,
        )
        step = None if wanted.secure else update
    # What was not read was right when it was last seen, or the reader would have asked.
    read = trunk.origination if trunk else ()
    if read is not None and list(wanted.origination) != [
        url.sip_url for url in sorted(read, key=lambda url: url.priority) if url.enabled
    ]:
        step = builder.add(
            ActionKind.SET_ORIGINATION,
            _POWER,
            origination,
            "calls must reach our SIP bridges",
            after=(step,),
            urls=wanted.origination,
        )
    return step


def _numbers(wanted: WantedTelephony, observed: Observed) -> frozenset[str]:
    return frozenset(obj.e164 for obj in bound(observed, wanted) if obj.e164)


def _routing(
    builder: PlanBuilder, desired: Desired, wanted: WantedTelephony, observed: Observed
) -> str | None:
    """LiveKit's trunk and rule; a trunk without numbers would be a wildcard and is never made."""
    numbers = _numbers(wanted, observed)
    if not numbers:
        remove_routing(builder, observed, "no number is left", ())
        return None
    trunk, *extra = observed.inbound_trunks or (None,)
    step = None
    if trunk is None:
        step = builder.add(
            ActionKind.CREATE_INBOUND_TRUNK,
            _POWER,
            ", ".join(sorted(numbers)),
            "LiveKit does not know the numbers",
            numbers=numbers,
            allowed_addresses=wanted.carrier_networks,
            max_call_seconds=wanted.max_call_seconds,
            secure=wanted.secure,
        )
    elif (trunk.numbers, trunk.allowed_addresses, trunk.max_call_seconds, trunk.secure) != (
        numbers,
        wanted.carrier_networks,
        wanted.max_call_seconds,
        wanted.secure,
    ):
        carrier = observed.carrier_trunk
        step = builder.add(
            ActionKind.UPDATE_INBOUND_TRUNK,
            _POWER,
            trunk.id,
            "numbers, networks, limits or encryption changed",
            after=(f"{ActionKind.UPDATE_CARRIER_TRUNK} {carrier.sid}",)
            if wanted.secure and carrier
            else (),
            trunk_id=trunk.id,
            numbers=numbers,
            allowed_addresses=wanted.carrier_networks,
            max_call_seconds=wanted.max_call_seconds,
            secure=wanted.secure,
        )
    for other in extra:
        if other is not None:
            builder.add(
                ActionKind.DELETE_INBOUND_TRUNK, _POWER, other.id, "one too many", trunk_id=other.id
            )
    rule, *extra_rules = observed.rules or (None,)
    to = course(desired, observed)
    agent_name = desired.agent_name(to.live)
    if rule is None:
        step = builder.add(
            ActionKind.CREATE_RULE,
            _POWER,
            agent_name,
            "calls must reach the agent",
            after=(step,),
            agent_name=agent_name,
            candidate=to.candidate,
            overflow=wanted.overflow,
        )
    elif trunk is None or (rule.trunk_ids, rule.agent_name, rule.candidate, rule.overflow) != (
        frozenset({trunk.id}),
        agent_name,
        to.candidate,
        wanted.overflow,
    ):
        step = builder.add(
            ActionKind.REPLACE_RULE,
            _POWER,
            rule.id,
            _why(desired, observed, rule, to),
            after=(step,),
            rule_id=rule.id,
            agent_name=agent_name,
            candidate=to.candidate,
            overflow=wanted.overflow,
        )
    for extra_rule in extra_rules:
        if extra_rule is not None:
            builder.add(
                ActionKind.DELETE_RULE, _POWER, extra_rule.id, "one too many", rule_id=extra_rule.id
            )
    return step


def _why(desired: Desired, observed: Observed, rule: DispatchRule, to: Course) -> str:
    same = (rule.agent_name, rule.candidate) == (desired.agent_name(to.live), to.candidate)
    if same and desired.telephony and rule.overflow != desired.telephony.overflow:
        return "what the overflow agent is told changed"
    if to.candidate is not None:
        return f"{to.candidate.percent} % of the callers go to the new version"
    if to.live != observed.live:
        return "all callers go to the new version"
    if rule.agent_name == desired.agent_name(to.live) and rule.candidate is not None:
        return "all callers go to the version before"
    return "it leads elsewhere"


def _number(
    builder: PlanBuilder,
    desired: Desired,
    wanted: WantedTelephony,
    observed: Observed,
    obj: NumberObject,
    after: tuple[str | None, ...],
) -> None:
    carrier = observed.carrier_numbers.get(obj.e164 or "")
    if carrier is None:
        # Buying it again would spend: somebody has to say so.
        builder.wait(
            _POWER,
            "NumberMissing",
            f"{obj.e164} is no longer in the carrier account; set spec.drift.paid to Repair, or"
            f" remove {obj.number!r} from spec.telephony.numbers and add another",
            stalled=True,
        )
        return
    way = ingress(desired, wanted, observed.carrier_trunk, carrier.e164)
    if way.held_by(carrier):
        return
    rings_elsewhere = not is_hosted(carrier.voice_url) and (
        carrier.trunk_sid is not None or carrier.voice_url is not None
    )
    unit = observed.units.get(desired.unit.class_name) if desired.unit else None
    if obj.paused:
        _wait_for_pause(builder, obj)
    elif desired.suspended:
        builder.add(
            ActionKind.FORWARD_NUMBER,
            _POWER,
            carrier.e164,
            "the client is suspended",
            sid=carrier.sid,
            way=way,
            number=obj.number,
        )
    elif rings_elsewhere and desired.unit and not (unit and unit.registered):
        # A number that is served now (taken over, or suspended) is switched last.
        builder.wait(
            _POWER,
            "AgentNotRegistered",
            f"Calls for {obj.e164} go where they went until the agent is registered",
        )
    else:
        builder.add(
            ActionKind.ROUTE_NUMBER,
            _POWER,
            carrier.e164,
            f"its calls must come by {'the trunk' if way.trunk_sid else 'our instructions'}",
            after=after,
            sid=carrier.sid,
            way=way,
            number=obj.number,
        )


def _wait_for_pause(builder: PlanBuilder, obj: NumberObject) -> None:
    builder.wait(_POWER, "Paused", f"Nothing is done about PhoneNumber {obj.name}: it is paused")


def remove_routing(
    builder: PlanBuilder, observed: Observed, reason: str, after: tuple[str, ...]
) -> tuple[str, ...]:
    """Plan the end of LiveKit's part; rules go before the trunks that they name."""
    remove_outbound(builder, observed, reason, after)
    rules = tuple(
        builder.add(ActionKind.DELETE_RULE, _POWER, rule.id, reason, after=after, rule_id=rule.id)
        for rule in observed.rules
    )
    trunks = tuple(
        builder.add(
            ActionKind.DELETE_INBOUND_TRUNK,
            _POWER,
            trunk.id,
            reason,
            after=rules or after,
            trunk_id=trunk.id,
        )
        for trunk in observed.inbound_trunks
    )
    return trunks or rules or after


def plan_no_numbers(
    builder: PlanBuilder, desired: Desired, observed: Observed, after: tuple[str, ...]
) -> tuple[str, ...]:
    """Plan the end of the numbers and the carrier's trunk."""
    released = tuple(
        step
        for obj in observed.numbers
        for step in _release(
            builder, _unretained(desired, obj), "the client no longer has a line", after
        )
    )
    trunk = observed.carrier_trunk
    if trunk is None:
        return released or after
    return (
        builder.add(
            ActionKind.DELETE_CARRIER_TRUNK,
            _POWER,
            trunk.sid,
            "the client no longer has a line",
            after=released or after,
            trunk_sid=trunk.sid,
        ),
    )
