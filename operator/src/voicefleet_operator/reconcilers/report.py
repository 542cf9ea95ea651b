"""What a VoiceClient's status, timeline and events say of what was found."""

from __future__ import annotations

from datetime import UTC, datetime

from voicefleet_api.meta import ConditionType
from voicefleet_api.voiceclient import (
    BillingStatus,
    CostStatus,
    EndpointsStatus,
    NumberStatus,
    VoiceClientStatus,
    VoiceStatus,
)
from voicefleet_operator import metrics
from voicefleet_operator.execution.context import ClientContext
from voicefleet_operator.execution.events import emit
from voicefleet_operator.planning.health import Finding, Trouble
from voicefleet_operator.planning.observed import Observed, sample_mark
from voicefleet_operator.planning.telephony import bound
from voicefleet_operator.planning.voices import own_voice
from voicefleet_operator.reconcilers.onboarding import milestone

_ON_THE_WAY = ("Progressing", "NumberPending", "RollingOut", "Draining")

Truths = dict[str, tuple[str, str]]
"""Status and reason by the condition's type."""


def truths(status: VoiceClientStatus) -> Truths:
    """The conditions as they stand."""
    return {c.type: (str(c.status), c.reason) for c in status.conditions}


def fill_status(status: VoiceClientStatus, ctx: ClientContext, observed: Observed) -> None:
    """What the client has, from what was found."""
    desired = ctx.desired
    order = {claim.name: i for i, claim in enumerate(ctx.spec.telephony.numbers)}
    held = sorted(observed.numbers, key=lambda obj: order.get(obj.number, len(order)))
    status.numbers = [
        NumberStatus(name=obj.number, e164=obj.e164, phone_number_ref=obj.name) for obj in held
    ]
    mine = bound(observed, desired.telephony)
    status.primary_number = mine[0].e164 if mine else None
    subscription, checkout = observed.subscription, observed.checkout
    if observed.customer is not None or subscription is not None:
        status.billing = BillingStatus(
            customer_id=observed.customer.id if observed.customer else None,
            subscription_id=subscription.id if subscription else None,
            subscription_status=subscription.status if subscription else None,
            checkout_url=checkout.url if checkout else None,
        )
    dns = ctx.world.spec.dns
    name = next(iter(observed.names), None)
    status.endpoints = EndpointsStatus(
        url=f"https://{name.label}.{dns.zone}" if name and dns else None,
        agent_name=desired.agent_name(observed.live),
    )
    status.voice = _voice(status.voice, ctx, observed)
    cost = sum(obj.monthly_cost_minor for obj in observed.numbers)
    price = desired.billing.price_minor if desired.billing else 0
    currency = desired.billing.currency if desired.billing else "usd"
    status.cost = CostStatus(currency=currency, price_minor=price, monthly_minor=cost)
    status.monthly_cost = f"{cost / 100:.2f} {currency.upper()}"


def _voice(
    before: VoiceStatus | None, ctx: ClientContext, observed: Observed
) -> VoiceStatus | None:
    """The voice with the consent that it was made with, for as long as it is there."""
    wanted, voice = ctx.desired.voice, own_voice(ctx.desired, observed)
    if wanted and wanted.sample and voice and voice.sample == sample_mark(wanted.sample):
        if before is not None and before.voice_id == voice.id:
            return before
        return VoiceStatus(voice_id=voice.id, sample_sha256=wanted.sample, consent=wanted.consent)
    return before if observed.voices else None


def note_progress(ctx: ClientContext, observed: Observed, found: list[Finding]) -> None:
    """Milestones that were reached, and what was whole, if it is whole now."""
    status: VoiceClientStatus = ctx.writer.status
    billing, subscription = ctx.desired.billing, observed.subscription
    subscribed = subscription is not None and subscription.live
    if subscribed:
        milestone(status, "Subscribed")
    if (
        billing is None
        or (subscribed and subscription is not None and subscription.paid)
        or (billing.activation == "Immediately" and observed.numbers)
    ):
        milestone(status, "Activated")
    telephony = ctx.desired.telephony
    if telephony and len(bound(observed, telephony)) == len(telephony.numbers):
        milestone(status, "NumbersBound")
    true = {finding.type for finding in found if finding.status}
    if ConditionType.READY in true:
        if milestone(status, "Ready"):
            metrics.TIME_TO_READY.observe(_age(ctx))
        status.converged_hash = ctx.fingerprint
        trunk = observed.carrier_trunk
        status.carrier_trunk_sid = trunk.sid if trunk else None
    if ConditionType.ANSWERING in true and milestone(status, "Answering"):
        metrics.TIME_TO_ANSWERING.observe(_age(ctx))


def _age(ctx: ClientContext) -> float:
    created = datetime.fromisoformat(ctx.writer.obj["metadata"]["creationTimestamp"])
    return (datetime.now(UTC) - created).total_seconds()


async def tell(ctx: ClientContext, found: list[Finding], before: Truths) -> None:
    """Events for a person: readiness, answering, and new reasons for trouble."""
    for finding in found:
        if finding.type not in (ConditionType.READY, ConditionType.ANSWERING):
            continue
        was = before.get(finding.type, ("", ""))
        status = "True" if finding.status else "False"
        news = status != was[0] if finding.status else (status, finding.reason) != was
        if not news or (not finding.status and finding.reason in _ON_THE_WAY):
            continue
        if finding.status and finding.type == ConditionType.READY and _both(found, before):
            # One event for a client that answers says both.
            continue
        if finding.type == ConditionType.ANSWERING and not finding.status and was[0] != "True":
            continue
        reason = finding.type if finding.status else finding.reason
        message = finding.message
        if finding.status and finding.type == ConditionType.ANSWERING:
            message = f"Calls to {ctx.writer.status.primary_number} are answered"
        await emit(ctx.kube, ctx.writer.obj, reason, message, warning=not finding.status)


async def tell_voice(ctx: ClientContext, before: str | None) -> None:
    """An event with the consent, for every voice that was made."""
    voice = ctx.writer.status.voice
    if voice is None or voice.voice_id == before:
        return
    message = (
        f"Voice {voice.voice_id} was made of the recording sha256:{voice.sample_sha256} with the"
        f" consent of {voice.consent.given_by}, given at {voice.consent.given_at} (statement"
        f" sha256:{voice.consent.statement_sha256})"
    )
    await emit(ctx.kube, ctx.writer.obj, "VoiceCloned", message)


def _both(found: list[Finding], before: Truths) -> bool:
    """Whether Ready and Answering have become true in one pass."""
    pair = (ConditionType.READY, ConditionType.ANSWERING)
    return all(f.status and before.get(f.type, ("",))[0] != "True" for f in found if f.type in pair)


def complete(ctx: ClientContext, found: list[Finding]) -> bool:
    """Whether the client has all it was promised: it answers, where it is to answer."""
    true = {finding.type for finding in found if finding.status}
    answers = ctx.desired.telephony is not None and ctx.desired.unit is not None
    return ConditionType.READY in true and (not answers or ConditionType.ANSWERING in true)


def in_the_way(found: list[Finding]) -> Trouble | None:
    """What a late client lacks."""
    lacking = [f for f in found if f.type in (ConditionType.READY, ConditionType.ANSWERING)]
    return next(
        (Trouble(f.type, f.reason, f.message) for f in lacking if not f.status),
        None,
    )
