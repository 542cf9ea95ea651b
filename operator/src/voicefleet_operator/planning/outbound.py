"""Planning of calls to a person whom a caller asks for: LiveKit's way out to the carrier (pure)."""

from __future__ import annotations

from dataclasses import replace

from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.meta import ConditionType
from voicefleet_operator.planning.desired import (
    Desired,
    WantedTelephony,
    WantedUnit,
    canonical_json,
    config_hash,
)
from voicefleet_operator.planning.observed import Observed
from voicefleet_operator.planning.plan import ActionKind, PlanBuilder

_POWER = ConditionType.TELEPHONY_READY


def with_way_out(
    unit: WantedUnit | None, desired: Desired, observed: Observed
) -> WantedUnit | None:
    """The agent that knows the trunk, once there is one."""
    if unit is None or not _wanted(desired.telephony) or not observed.outbound_trunks:
        return unit
    config = AgentConfig.model_validate_json(unit.config_json)
    config.outbound_trunk = observed.outbound_trunks[0].id
    text = canonical_json(config)
    return replace(unit, config_json=text, config_hash=config_hash(text))


def _wanted(telephony: WantedTelephony | None) -> bool:
    return telephony is not None and telephony.calls_out


def plan_outbound(
    builder: PlanBuilder,
    wanted: WantedTelephony,
    observed: Observed,
    numbers: frozenset[str],
    after: str | None,
) -> None:
    """Plan the trunk, with the right to call out over the carrier's, which `after` makes."""
    if not wanted.calls_out or not numbers:
        remove_outbound(builder, observed, "calls are not connected by us", ())
        return
    carrier = observed.carrier_trunk
    trunk, *extra = observed.outbound_trunks or (None,)
    if trunk is None:
        builder.add(
            ActionKind.CREATE_OUTBOUND_TRUNK,
            _POWER,
            "trunk",
            "callers are connected with a person by us",
            after=(after,),
            numbers=numbers,
            termination=wanted.termination,
            secure=wanted.secure,
        )
    elif carrier is not None and (
        not carrier.calls_out
        or (trunk.address, trunk.numbers, trunk.username, trunk.secure)
        != (
            wanted.termination or carrier.domain_name,
            numbers,
            observed.outbound_user,
            wanted.secure,
        )
    ):
        builder.add(
            ActionKind.UPDATE_OUTBOUND_TRUNK,
            _POWER,
            trunk.id,
            "numbers, the carrier's trunk, encryption or the right to call out over it changed",
            after=(after,),
            trunk_id=trunk.id,
            numbers=numbers,
            termination=wanted.termination,
            secure=wanted.secure,
        )
    for other in extra:
        if other is not None:
            builder.add(
                ActionKind.DELETE_OUTBOUND_TRUNK, _POWER, other.id, "one too many",
                trunk_id=other.id, close=False,
            )  # fmt: skip


def remove_outbound(
    builder: PlanBuilder, observed: Observed, reason: str, after: tuple[str, ...]
) -> tuple[str, ...]:
    """Plan the end of it."""
    return tuple(
        builder.add(
            ActionKind.DELETE_OUTBOUND_TRUNK,
            _POWER,
            trunk.id,
            reason,
            after=after,
            trunk_id=trunk.id,
            close=True,
        )
        for trunk in observed.outbound_trunks
    )
