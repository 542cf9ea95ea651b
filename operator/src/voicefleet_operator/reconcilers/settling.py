"""How earlier operations have ended, and which listings are old: asked before anything is done."""

from __future__ import annotations

from typing import Any

from voicefleet_api.meta import Operation
from voicefleet_api.voiceclient import BillingStatus
from voicefleet_operator.drivers.elevenlabs import CLONE_SECONDS
from voicefleet_operator.drivers.errors import Ambiguous
from voicefleet_operator.execution.context import ClientContext
from voicefleet_operator.execution.executor import IN_BILLING
from voicefleet_operator.execution.status import settled
from voicefleet_operator.planning.observed import Observed, sample_mark
from voicefleet_operator.planning.plan import ActionKind, Plan
from voicefleet_operator.world import Listed


async def settle(ctx: ClientContext, observed: Observed, todo: Plan) -> None:
    """Operations that the plan does not repeat: they were done, or are wanted no more.

    The latter may still arrive at the vendor; until that can be excluded the listing is made
    anew, so that what does arrive is seen and undone. Raises `Ambiguous` meanwhile.
    """
    planned = {str(action.kind) for action in todo.actions}
    for operation in list(ctx.writer.status.operations):
        if operation.action in planned:
            continue
        if await _ended(ctx, observed, operation):
            ctx.journal.retire(operation)
        elif operation.action == ActionKind.CLONE_VOICE and ctx.desired.voice is not None:
            # It is looked for before a voice is made; nothing else waits for that. What still
            # arrives is in no listing that there is.
            if observed.voices_unseen is None:
                ctx.voices.forget()
        else:
            forget_all(ctx)
            raise Ambiguous(
                "Unsettled", f"{operation.action} was begun and may still arrive; waiting"
            )


async def _ended(ctx: ClientContext, observed: Observed, operation: Operation) -> bool:
    """Whether what was asked for is there, or never will be."""
    if operation.action == ActionKind.CLONE_VOICE:
        sample = sample_mark(operation.request["sample"])
        if any(voice.sample == sample for voice in observed.voices):
            return True
        if observed.voices_unseen is not None:
            return False
        # It was settled when the voices were listed, not only since.
        return settled(operation, CLONE_SECONDS + ctx.voices.age)
    if operation.action in IN_BILLING and ctx.spec.accounts.billing in ctx.world.billing:
        listing = await ctx.billing.listing()
        if getattr(listing, IN_BILLING[operation.action]).by(ctx.mark.owner):
            return True
    return settled(operation)


def forget_all(ctx: ClientContext) -> None:
    """Every vendor is listed anew."""
    for listed in ctx.world.all_listed():
        listed.forget()


def outdated(ctx: ClientContext, observed: Observed) -> list[Listed[Any, Any]]:
    """Listings that lack what the status knows of: another controller has made it since."""
    status, accounts = ctx.writer.status, ctx.spec.accounts
    known, voice = status.billing or BillingStatus(), status.voice
    found: list[Listed[Any, Any]] = []
    if accounts.billing in ctx.world.billing and (
        (known.customer_id and observed.customer is None)
        or (known.subscription_id and observed.subscription is None)
        or (known.checkout_url and not observed.checkout and not observed.subscription)
    ):
        found.append(ctx.billing)
    if accounts.voices in ctx.world.voices and (
        voice and all(made.id != voice.voice_id for made in observed.voices)
    ):
        found.append(ctx.voices)
    return found
