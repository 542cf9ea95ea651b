"""Picks out of the fleet's listings what belongs to one client."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from voicefleet_api.phonenumber import PhoneNumberSpec, PhoneNumberStatus
from voicefleet_api.voiceclient import NumberClaim
from voicefleet_operator.drivers.errors import VendorError
from voicefleet_operator.execution.context import ClientContext
from voicefleet_operator.kube import Object
from voicefleet_operator.planning.observed import (
    AgentUnit,
    BillingInventory,
    ClonedVoice,
    Mark,
    NumberObject,
    Observed,
    Slot,
    Subscription,
    sample_mark,
    unit_id,
)
from voicefleet_operator.planning.plan import ActionKind
from voicefleet_operator.planning.rollout import live_slot
from voicefleet_operator.reconcilers.common import paused
from voicefleet_operator.store import Store


async def observe(
    ctx: ClientContext, *, activated: bool, runtime_classes: set[str], trusted_trunk: str | None
) -> Observed:
    """Everything that exists for the client; lists what has not been listed yet.

    `runtime_classes`: where the client's agent is or may be. `trusted_trunk`: the carrier trunk
    whose origination URLs need not be read, if they are not in the listing.
    """
    observed = Observed(
        activated=activated, numbers=tuple(_numbers(ctx.store, ctx.mark)), spare=_spares(ctx)
    )
    fields: dict[str, Any] = {}
    mark = ctx.mark
    if ctx.spec.accounts.billing in ctx.world.billing:
        fields |= _billing(await ctx.billing.listing(), ctx)
    if ctx.spec.accounts.telephony in ctx.world.telephony:
        carrier = await ctx.telephony.listing()
        fields["carrier_numbers"] = {
            number.e164: number
            for obj in observed.numbers
            for number in carrier.numbers.by(obj.e164)
            if number.e164 == obj.e164
        }
        trunk = await ctx.carrier_trunk()
        if trunk is not None and trunk.origination is None and trunk.sid != trusted_trunk:
            urls = await ctx.telephony.driver.origination(trunk.sid)
            trunk = replace(trunk, origination=urls)
            carrier.trunks[trunk.sid] = trunk
        fields["carrier_trunk"] = trunk
        fields["outbound_user"] = carrier.outbound_user
        # Nothing is made at the carrier before the gate of billing.activation has opened; status
        # would say so too, unless the cluster was lost.
        fields["activated"] = activated or trunk is not None
    if ctx.world.routing is not None:
        routing = await ctx.routing.listing()
        fields["inbound_trunks"] = tuple(routing.trunks.by(mark.owner))
        fields["rules"] = tuple(routing.rules.by(mark.owner))
        # In one order: of two the same one stays, whatever order LiveKit lists them in.
        fields["outbound_trunks"] = tuple(
            sorted(routing.outbound.by(mark.owner), key=lambda t: t.id)
        )
    if ctx.world.names is not None:
        fields["names"] = tuple((await ctx.names.listing()).by(mark.owner))
    fields |= await _voices(ctx)
    by_slot = {slot: await _units(ctx, runtime_classes, slot) for slot in Slot}
    present = {slot for slot, units in by_slot.items() if units}
    live = live_slot(mark.client_id, fields.get("rules", ()), present)
    fields |= {"live": live, "units": by_slot[live], "beside": by_slot[live.other]}
    return replace(observed, **fields)


async def _voices(ctx: ClientContext) -> dict[str, Any]:
    """The client's own voices; nothing else waits for a vendor of voices that does not answer."""
    account, known = ctx.spec.accounts.voices, ctx.writer.status.voice
    if account in ctx.world.voices:
        try:
            return {"voices": tuple((await ctx.voices.listing()).by(ctx.mark.owner))}
        except VendorError as error:
            unseen = (error.reason, error.message)
    elif account in ctx.world.unusable:
        unseen = ("SecretNotUsable", ctx.world.unusable[account])
    elif known is not None or ctx.journal.open(ActionKind.CLONE_VOICE) is not None:
        unseen = (
            "AccountNotFound",
            f"Fleet spec.voices has no account {account!r} any more; put it back, so that the"
            " client's voice there can be looked after",
        )
    else:
        return {}
    sample = known and sample_mark(known.sample_sha256)
    return {
        "voices": (ClonedVoice(known.voice_id, sample, ctx.mark),) if known and sample else (),
        "voices_unseen": unseen,
    }


async def _units(ctx: ClientContext, classes: set[str], slot: Slot) -> dict[str, AgentUnit]:
    units = {}
    for class_name in sorted(classes):
        listing = await ctx.runtime(class_name).listing()
        unit = listing.get(unit_id(ctx.mark.client_id, slot))
        if unit is not None:
            units[class_name] = unit
    return units


def _billing(listing: BillingInventory, ctx: ClientContext) -> dict[str, Any]:
    owner = ctx.mark.owner
    checkouts = (c for c in listing.checkouts.by(owner) if c.status == "open")
    return {
        "customer": next(iter(listing.customers.by(owner)), None),
        "subscription": _best(listing.subscriptions.by(owner)),
        "checkout": next(checkouts, None),
    }


def _best(subscriptions: list[Subscription]) -> Subscription | None:
    """The living one, else one that a person has cancelled; what never began does not count."""
    counted = [s for s in subscriptions if s.status != "incomplete_expired"]
    return min(counted, key=lambda s: not s.live, default=None)


def _numbers(store: Store, mark: Mark) -> list[NumberObject]:
    return [
        _number_object(obj, obj["spec"]["claimRef"]["number"])
        for obj in store.numbers_of(mark.client_id)
    ]


def _number_object(obj: Object, number: str) -> NumberObject:
    status = PhoneNumberStatus.model_validate(obj.get("status") or {})
    ready = next((c for c in status.conditions if c.type == "Ready"), None)
    stalled = any(c.type == "Stalled" and c.status == "True" for c in status.conditions)
    deleting = "deletionTimestamp" in obj["metadata"]
    return NumberObject(
        name=obj["metadata"]["name"],
        number=number,
        phase="Released" if deleting else status.phase,
        e164=status.e164,
        sid=status.sid,
        reclaim_policy=obj["spec"].get("reclaimPolicy", "Release"),
        monthly_cost_minor=status.monthly_cost_minor or 0,
        reason=ready.reason if ready and not deleting else "",
        message=ready.message if ready and not deleting else "",
        stalled=stalled,
        paused=paused(obj),
    )


def _spares(ctx: ClientContext) -> dict[str, str]:
    """Free numbers of the fleet that this client may have instead of buying another."""
    telephony = ctx.desired.telephony
    spares: dict[str, str] = {}
    if telephony is None:
        return spares
    held = {number.number for number in _numbers(ctx.store, ctx.mark)}
    # Who wants exactly this number comes before who is content with any.
    missing = sorted(
        (claim for claim in telephony.numbers if claim.name not in held),
        key=lambda claim: claim.e164 is None,
    )
    for obj in ctx.store.numbers_of(None):
        spec = PhoneNumberSpec.model_validate(obj["spec"])
        if (
            spec.account == telephony.account
            and spec.fleet_ref.name == ctx.spec.fleet_ref.name
            and "deletionTimestamp" not in obj["metadata"]
        ):
            status = PhoneNumberStatus.model_validate(obj.get("status") or {})
            for claim in missing:
                if claim.name not in spares and _fits(claim, spec, status, ctx.mark):
                    spares[claim.name] = obj["metadata"]["name"]
                    break
    return spares


def _fits(claim: NumberClaim, spec: PhoneNumberSpec, status: PhoneNumberStatus, mark: Mark) -> bool:
    """A number in quarantine goes back only to the client it came from (by namespace and name)."""
    if status.e164 is None or status.phase not in ("Available", "Quarantined"):
        return False
    before = status.previous_claim
    if before is not None and (before.namespace, before.name) != (mark.namespace, mark.name):
        until = datetime.fromisoformat(before.quarantined_until)
        if until > datetime.now(UTC):
            return False
    if claim.e164 is not None:
        return claim.e164 == status.e164
    return spec.request is not None and spec.request == claim.request
