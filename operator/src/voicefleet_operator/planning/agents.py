"""Planning of the client's agent, and of the one beside it during a rollout (pure)."""

from __future__ import annotations

from voicefleet_api.meta import ConditionType
from voicefleet_operator.planning.desired import Desired, WantedUnit
from voicefleet_operator.planning.observed import AgentUnit, Observed, Slot, Verdict
from voicefleet_operator.planning.plan import ActionKind, PlanBuilder
from voicefleet_operator.planning.rollout import complete, in_slot, is_free, is_version, rolling

_POWER = ConditionType.RUNTIME_READY


def plan_agent(
    builder: PlanBuilder,
    desired: Desired,
    observed: Observed,
    gate_open: bool,
    after: str | None,
    removed: tuple[str, ...],
) -> None:
    """Plan the agent as `desired.unit` wants it; its start follows the step `after`."""
    wanted = complete(desired, observed)
    for slot, units in ((observed.live, observed.units), (observed.live.other, observed.beside)):
        for class_name in units:
            if wanted is None or class_name != wanted.class_name:
                builder.add(
                    ActionKind.REMOVE_UNIT,
                    _POWER,
                    _title(class_name, slot),
                    "it is not wanted (there) any more",
                    after=removed,
                    class_name=class_name,
                    slot=slot,
                )
    if wanted is None or not gate_open:
        return
    new = rolling(desired, observed)
    here = in_slot(wanted, observed.live)
    unit = observed.units.get(wanted.class_name)
    beside = observed.beside.get(wanted.class_name)
    if new is None:
        _agent(builder, here, unit, after)
    elif unit is not None and desired.rollout.words == "Reload":
        _words(builder, here, unit)
    if new is not None and observed.verdict != Verdict.BAD:
        _new_version(builder, desired, observed, new, beside)
        return
    if new is not None:
        builder.wait(_POWER, "RolledBack", observed.verdict_message, stalled=True)
    if beside is not None:
        _end(builder, desired, observed, wanted, beside)


def _title(class_name: str, slot: Slot) -> str:
    return class_name if slot == Slot.BLUE else f"{class_name} ({slot})"


def _agent(
    builder: PlanBuilder, wanted: WantedUnit, unit: AgentUnit | None, after: str | None
) -> None:
    if unit is None or unit.spec_hash != wanted.spec_hash:
        builder.add(
            ActionKind.APPLY_UNIT,
            _POWER,
            _title(wanted.class_name, wanted.slot),
            "it is not there" if unit is None else "image, limits or addresses changed",
            after=(after,),
            unit=wanted,
        )
        return
    _words(builder, wanted, unit)
    if not unit.running and unit.config_hash == wanted.config_hash:
        builder.wait(_POWER, "AgentNotRunning", unit.message or "The agent is not running")


def _words(builder: PlanBuilder, wanted: WantedUnit, unit: AgentUnit) -> None:
    if unit.config_hash != wanted.config_hash:
        builder.add(
            ActionKind.CONFIGURE_UNIT,
            _POWER,
            _title(wanted.class_name, wanted.slot),
            "what the receptionist says, or how it sounds, changed",
            unit=wanted,
        )


def _new_version(
    builder: PlanBuilder,
    desired: Desired,
    observed: Observed,
    new: WantedUnit,
    beside: AgentUnit | None,
) -> None:
    there = beside is not None and is_version(beside, new, desired.rollout)
    if beside is not None and there:
        _words(builder, new, beside)
    elif beside is None or is_free(desired, observed, beside):
        builder.add(
            ActionKind.APPLY_UNIT,
            _POWER,
            _title(new.class_name, new.slot),
            "a new version starts beside the present one",
            unit=new,
        )
    builder.wait(_POWER, "RollingOut", _progress(desired, beside if there else None))


def _progress(desired: Desired, version: AgentUnit | None) -> str:
    if version is None or not version.registered:
        return "The new version is starting; callers reach the present one"
    rollout, health = desired.rollout, version.health
    ended, failed = (health.ended_calls, health.failed_calls) if health else (0, 0)
    return (
        f"The new version answers {rollout.percent} % of the callers; it has ended {ended} of"
        f" {rollout.minimum_calls} calls, {failed} failed"
    )


def _end(
    builder: PlanBuilder,
    desired: Desired,
    observed: Observed,
    wanted: WantedUnit,
    beside: AgentUnit,
) -> None:
    """The agent that callers no longer reach goes once its calls have ended."""
    unit, slot = observed.units.get(wanted.class_name), observed.live.other
    if unit is not None and unit.registered and is_free(desired, observed, beside):
        builder.add(
            ActionKind.REMOVE_UNIT,
            _POWER,
            _title(wanted.class_name, slot),
            "callers reach the other version",
            class_name=wanted.class_name,
            slot=slot,
        )
        return
    calls = beside.health.active_calls if beside.health else "some"
    builder.wait(_POWER, "Draining", f"{calls} call(s) under way end on the {slot} agent")
