"""Carrying out what concerns a client's own voice."""

from __future__ import annotations

from voicefleet_api.meta import Operation
from voicefleet_operator.drivers.elevenlabs import CLONE_SECONDS
from voicefleet_operator.drivers.errors import Ambiguous, Throttled, Unavailable
from voicefleet_operator.execution.context import ClientContext
from voicefleet_operator.execution.status import now, settled
from voicefleet_operator.kube import RECEPTIONISTS, Conflict, NotFound
from voicefleet_operator.planning.observed import ClonedVoice, sample_mark
from voicefleet_operator.planning.plan import Action, ActionKind


def _ensure_settled(operation: Operation) -> None:
    """Raise `Ambiguous` while a request that nobody waits for any more may still arrive."""
    if not settled(operation, CLONE_SECONDS):
        raise Ambiguous("Unsettled", "A voice was asked for and may still be made; waiting")


async def _confirm_receptionist(ctx: ClientContext) -> None:
    """Raise `Conflict` unless the plan was made of the newest; what is gone wants nothing."""
    if ctx.receptionist is None:
        return
    planned_by = ctx.receptionist["metadata"]
    try:
        newest = await ctx.kube.get(RECEPTIONISTS, planned_by["name"], planned_by["namespace"])
    except NotFound:
        return
    # Not the cache's: it may have come to know another one since.
    if planned_by["resourceVersion"] != newest["metadata"]["resourceVersion"]:
        raise Conflict(409, "the Receptionist has been modified")


async def clone_voice(ctx: ClientContext, action: Action) -> None:
    """Make the voice, once; the vendor would take the same request for another voice."""
    wanted = ctx.desired.voice
    if wanted is None or wanted.sample is None:
        raise ValueError("no voice is wanted")
    await _confirm_receptionist(ctx)
    sample = wanted.sample
    begun = ctx.journal.open(action.kind)
    if begun is not None and begun.request["sample"] != sample:
        # The recording has been replaced: what came of the former one is seen, and planned away.
        ctx.voices.forget()
        _ensure_settled(begun)
        ctx.journal.retire(begun)

    async def find(op: Operation) -> ClonedVoice | None:
        ctx.voices.forget()
        found = (await ctx.voices.listing()).by(ctx.mark.owner)
        made = [voice for voice in found if voice.sample == sample_mark(op.request["sample"])]
        if not made:
            _ensure_settled(op)
            # It is sent again, and is waited for again: from now on.
            op.started_at = now()
            await ctx.writer.save()
        return next(iter(made), None)

    async def do(op: Operation) -> ClonedVoice:
        try:
            return await ctx.voices.driver.clone(
                mark=ctx.mark, sample=op.request["sample"], recording=ctx.recording
            )
        except (Throttled, Unavailable):
            # Nothing was done, and nothing need be waited for.
            ctx.journal.retire(op)
            raise

    voice = await ctx.journal.once(action.kind, action.target, {"sample": sample}, find=find, do=do)
    (await ctx.voices.listing())[voice.id] = voice


async def delete_voice(ctx: ClientContext, action: Action) -> None:
    """Delete a voice; never by an older spec, and it is the Receptionist's that wants one."""
    await ctx.writer.confirm()
    await _confirm_receptionist(ctx)
    await ctx.voices.driver.delete(action.target)
    (await ctx.voices.listing()).pop(action.target, None)


HANDLERS = {
    ActionKind.CLONE_VOICE: clone_voice,
    ActionKind.DELETE_VOICE: delete_voice,
}
