"""How a new version of the agent takes over the calls (pure).

A client has two places for an agent. A new version starts in the free one; the dispatch rule moves
callers to it, a share or all of them, with one update each; the version before ends its calls and
goes. Which place is the live one is said by the rule alone, so that any pass can go on with it.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.voiceclient import Rollout, RolloutStatus
from voicefleet_operator.planning.desired import Desired, WantedUnit, canonical_json, config_hash
from voicefleet_operator.planning.observed import (
    AgentUnit,
    Candidate,
    DispatchRule,
    Observed,
    Slot,
    Verdict,
    agent_name,
)
from voicefleet_operator.planning.outbound import with_way_out
from voicefleet_operator.planning.voices import voiced

_RINGING = 10.0
"""Seconds for which a call may ring that was dispatched before callers were led elsewhere."""
_SECOND = 1.0
"""What a time in the status may be before the moment that it stands for."""


@dataclass(frozen=True, slots=True)
class Course:
    """Whom the rule is to lead callers to."""

    live: Slot
    candidate: Candidate | None = None


def live_slot(client_id: str, rules: tuple[DispatchRule, ...], present: Container[Slot]) -> Slot:
    """Where the agent is whom callers reach; without a rule, where there is one."""
    for rule in rules[:1]:
        for slot in Slot:
            if rule.agent_name == agent_name(client_id, slot):
                return slot
    return Slot.GREEN if Slot.GREEN in present and Slot.BLUE not in present else Slot.BLUE


def complete(desired: Desired, observed: Observed) -> WantedUnit | None:
    """The agent with what others have made for it: its voice, and its way out."""
    return with_way_out(voiced(desired, observed), desired, observed)


def in_slot(unit: WantedUnit, slot: Slot) -> WantedUnit:
    """The agent under the name of that place."""
    if slot == unit.slot:
        return unit
    config = AgentConfig.model_validate_json(unit.config_json)
    config.agent_name = agent_name(config.client_id, slot)
    text = canonical_json(config)
    return replace(unit, slot=slot, config_json=text, config_hash=config_hash(text))


def is_version(unit: AgentUnit, wanted: WantedUnit, rollout: Rollout) -> bool:
    """Whether an agent is the version that is wanted in its place."""
    same = unit.spec_hash == wanted.spec_hash
    return same and (rollout.words == "Reload" or unit.config_hash == wanted.config_hash)


def rolling(desired: Desired, observed: Observed) -> WantedUnit | None:
    """The new version, in the other place, where one is to take over from an agent that answers.

    An agent that callers do not reach, or that does not answer them, is replaced where it is, but
    not by a version that was taken back.
    """
    wanted = complete(desired, observed)
    if wanted is None or desired.telephony is None or desired.rollout.strategy == "Recreate":
        return None
    unit, beside = (units.get(wanted.class_name) for units in (observed.units, observed.beside))
    if unit is None or not unit.spec_hash:
        return None
    if is_version(unit, in_slot(wanted, observed.live), desired.rollout):
        return None
    begun = beside is not None or observed.verdict == Verdict.BAD
    if not begun and not (observed.rules and unit.registered):
        return None
    return in_slot(wanted, observed.live.other)


def course(desired: Desired, observed: Observed) -> Course:
    """Whom callers are to reach now: never an agent that is not registered, if there is another."""
    new, stay = rolling(desired, observed), Course(observed.live)
    if new is None or observed.verdict == Verdict.BAD:
        return stay
    beside = observed.beside.get(new.class_name)
    if beside is None or not beside.registered or not is_version(beside, new, desired.rollout):
        return stay
    if desired.rollout.strategy == "BlueGreen" or observed.verdict == Verdict.GOOD:
        return Course(new.slot)
    share = Candidate(
        desired.agent_name(new.slot), desired.rollout.percent, revision(desired.rollout, new)
    )
    return Course(observed.live, share)


def revision(rollout: Rollout, wanted: WantedUnit) -> str:
    """Names a version, whatever its place."""
    if rollout.words == "Reload":
        return wanted.spec_hash
    return f"{wanted.spec_hash}.{in_slot(wanted, Slot.BLUE).config_hash}"


def is_free(desired: Desired, observed: Observed, beside: AgentUnit) -> bool:
    """Whether the agent in the other place can be stopped: nobody reaches it, no call is on it."""
    name = desired.agent_name(observed.live.other)
    if any(
        rule.agent_name == name or (rule.candidate and rule.candidate.agent_name == name)
        for rule in observed.rules
    ):
        return False
    longest = desired.telephony.max_call_seconds if desired.telephony else 0
    idle = beside.health is not None and beside.health.active_calls == 0
    moved = observed.moved_seconds
    return not beside.running or (idle and moved > _RINGING) or moved > longest + _RINGING


def judge(
    desired: Desired, observed: Observed, before: RolloutStatus | None, now: datetime
) -> RolloutStatus | None:
    """How far the new version is, by what was observed; None where nothing is under way."""
    new, rollout = rolling(desired, observed), desired.rollout
    wanted = complete(desired, observed)
    if wanted is None:
        return None
    wanted_revision = revision(rollout, wanted)

    def begin(phase: Literal["Starting", "Canary", "Draining"]) -> RolloutStatus:
        return RolloutStatus(phase=phase, revision=wanted_revision, since=_written(now))

    if new is None:
        if wanted.class_name not in observed.beside:
            return None
        return before if before and before.phase == "Draining" else begin("Draining")
    same = before is not None and before.revision == wanted_revision
    beside = observed.beside.get(new.class_name)
    version = beside if beside and is_version(beside, new, rollout) else None
    if version is None and beside and beside.spec_hash:
        # Another one is in the place, and may have calls.
        return before if before and same and before.phase == "Draining" else begin("Draining")
    if before is None or not same or before.phase == "Draining":
        before = begin("Starting")
    if before.phase == "RolledBack":
        return before
    shared = any(rule.candidate is not None for rule in observed.rules)
    if before.phase == "Starting" and version and version.registered:
        return begin("Canary") if shared else before
    if before.phase == "Starting":
        if _age(before, now) <= rollout.ready_seconds:
            return before
        words = (beside.message if beside else "") or "It did not start"
        return _back(
            before, now, "NotReady", f"not registered within {rollout.ready_seconds} s: {words}"
        )
    return _judge_calls(rollout, before, version, now)


def _judge_calls(
    rollout: Rollout, before: RolloutStatus, version: AgentUnit | None, now: datetime
) -> RolloutStatus:
    health = version.health if version else None
    if version is None or (health and health.started_at > _time(before.since) + _SECOND):
        return _back(before, now, "AgentEnded", "it ended while it answered callers")
    if health is None:
        return before
    seen = before.model_copy(
        update={"calls": health.ended_calls, "failed_calls": health.failed_calls}
    )
    counted = max(seen.calls, rollout.minimum_calls)
    if seen.failed_calls * 100 > rollout.maximum_error_percent * counted:
        words = f"{seen.failed_calls} of {seen.calls} calls failed"
        return _back(seen, now, "TooManyFailures", words)
    answer = health.answer_ms
    late = answer is not None and answer > rollout.maximum_answer_milliseconds
    if seen.calls >= rollout.minimum_calls and late:
        words = f"callers waited {answer:.0f} ms for an answer (median)"
        return _back(seen, now, "AnswersTooLate", words)
    return seen


def verdict(rollout: Rollout, status: RolloutStatus | None) -> Verdict:
    """What follows from it."""
    if status is not None and status.phase == "RolledBack":
        return Verdict.BAD
    if status is not None and status.phase == "Canary" and status.calls >= rollout.minimum_calls:
        return Verdict.GOOD
    return Verdict.OPEN


def moved_seconds(status: RolloutStatus | None, now: datetime) -> float:
    """For how long callers have been led away from the agent in the other place."""
    moved = status is not None and status.phase in ("Draining", "RolledBack")
    return _age(status, now) if status is not None and moved else 0.0


def _back(status: RolloutStatus, now: datetime, reason: str, words: str) -> RolloutStatus:
    return status.model_copy(
        update={
            "phase": "RolledBack",
            "since": _written(now),
            "reason": reason,
            "message": f"The new version was taken back: {words}",
        }
    )


def _age(status: RolloutStatus, now: datetime) -> float:
    return now.timestamp() - _time(status.since)


def _time(written: str) -> float:
    return datetime.fromisoformat(written).timestamp()


def _written(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
