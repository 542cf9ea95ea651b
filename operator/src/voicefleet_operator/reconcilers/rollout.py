"""A client's rollout from pass to pass: what its status remembers, and what is said about it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from voicefleet_api.voiceclient import RolloutStatus, VoiceClientStatus
from voicefleet_operator.execution.context import ClientContext
from voicefleet_operator.execution.events import emit
from voicefleet_operator.planning.observed import Observed
from voicefleet_operator.planning.rollout import judge, moved_seconds, verdict

ROLLOUT_POLL = 5.0
"""Seconds between two looks at the calls of a new version."""
ROLLOUT_WAITS = ("RollingOut", "Draining")
"""What is waited for then."""
_UNTIL_ASKED = (
    "; it is tried again when the spec changes, or the annotation voicefleet.dev/reconcile-at"
)
_WORDS = {
    "Starting": "A new version of the agent starts beside the present one",
    "Canary": "A new version of the agent answers its share of the callers",
    "Draining": "Calls under way end on an agent that gets no new ones",
}


async def follow(ctx: ClientContext, observed: Observed) -> Observed:
    """Judge the new version by what was observed; the plan goes by it. Raises `Conflict`.

    What is found is written before it is acted on: a version that was taken back once stays so.
    """
    status, rollout, now = ctx.writer.status, ctx.desired.rollout, datetime.now(UTC)
    before = status.rollout
    observed = replace(observed, verdict=verdict(rollout, before))
    status.rollout = judge(ctx.desired, observed, before, now)
    if _phase(before) != _phase(status.rollout):
        await ctx.writer.save()
        await _tell(ctx, status.rollout)
    return replace(
        observed,
        verdict=verdict(rollout, status.rollout),
        verdict_message=(status.rollout and status.rollout.message) or "",
        moved_seconds=moved_seconds(status.rollout, now),
    )


def retry_rollout(status: VoiceClientStatus) -> None:
    """Somebody asks for another try of a version that was taken back."""
    if status.rollout is not None and status.rollout.phase == "RolledBack":
        status.rollout = None


def _phase(status: RolloutStatus | None) -> tuple[str, str] | None:
    return (status.phase, status.revision) if status is not None else None


async def _tell(ctx: ClientContext, status: RolloutStatus | None) -> None:
    if ctx.desired.unit is None:
        return
    if status is None:
        reason, words = "RolloutEnded", "One version of the agent answers all callers"
    elif status.phase == "RolledBack":
        reason, words = "RolledBack", f"{status.message}{_UNTIL_ASKED}"
    else:
        reason, words = f"Rollout{status.phase}", _WORDS[status.phase]
    await emit(ctx.kube, ctx.writer.obj, reason, words, warning=reason == "RolledBack")
