"""Carrying out the phone line's actions: PhoneNumber objects, carrier, LiveKit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from voicefleet_api.meta import LocalRef
from voicefleet_api.names import (
    API_VERSION,
    FINALIZER,
    LABEL_CLIENT_ID,
    LABEL_FLEET_ID,
)
from voicefleet_api.phonenumber import ClaimRef, PhoneNumberSpec
from voicefleet_api.voiceclient import NumberClaim
from voicefleet_operator.drivers.errors import Gone
from voicefleet_operator.execution.context import ClientContext, trunk_friendly_name
from voicefleet_operator.kube import PHONENUMBERS, Conflict, Object
from voicefleet_operator.planning.desired import number_request
from voicefleet_operator.planning.ingress import Ingress
from voicefleet_operator.planning.plan import Action, ActionKind
from voicefleet_operator.store import key_of


def _claim_ref(ctx: ClientContext, claim: NumberClaim) -> ClaimRef:
    mark = ctx.mark
    return ClaimRef(
        namespace=mark.namespace, name=mark.name, client_id=mark.client_id, number=claim.name
    )


def _take(ctx: ClientContext, obj: Object) -> None:
    obj = {**obj, "kind": "PhoneNumber"}
    ctx.store.put(obj)
    ctx.enqueue(key_of(obj))


async def claim_number(ctx: ClientContext, action: Action) -> None:
    """Make the PhoneNumber object; its own reconciler buys the number.

    The name is derived from client and key, so that a repeat finds the object instead of a second.
    """
    claim: NumberClaim = action.args["claim"]
    name = f"{ctx.mark.client_id}-{claim.name}"
    spec = PhoneNumberSpec(
        fleet_ref=LocalRef(name=ctx.spec.fleet_ref.name),
        account=ctx.spec.accounts.telephony,
        source=claim.source,
        request=number_request(claim),
        e164=claim.e164,
        claim_ref=_claim_ref(ctx, claim),
        reclaim_policy=claim.reclaim_policy,
    )
    body: Object = {
        "apiVersion": API_VERSION,
        "kind": "PhoneNumber",
        "metadata": {
            "name": name,
            "finalizers": [FINALIZER],
            "labels": {LABEL_CLIENT_ID: ctx.mark.client_id, LABEL_FLEET_ID: ctx.mark.fleet_id},
        },
        "spec": spec.to_json(),
    }
    try:
        obj = await ctx.kube.create(PHONENUMBERS, body)
    except Conflict:
        obj = await ctx.kube.get(PHONENUMBERS, name)
    _take(ctx, obj)


async def _patch_number(ctx: ClientContext, name: str, spec: Object, version: str | None) -> None:
    meta = {"metadata": {"resourceVersion": version}} if version else {}
    _take(ctx, await ctx.kube.patch(PHONENUMBERS, name, {**meta, "spec": spec}))


async def bind_number(ctx: ClientContext, action: Action) -> None:
    """Take a free PhoneNumber; of two clients that want it, the resourceVersion lets one win."""
    claim: NumberClaim = action.args["claim"]
    obj = await ctx.kube.get(PHONENUMBERS, action.args["object_name"])
    if obj["spec"].get("claimRef"):
        return
    spec = {
        "claimRef": _claim_ref(ctx, claim).to_json(),
        "reclaimPolicy": claim.reclaim_policy,
    }
    await _patch_number(ctx, obj["metadata"]["name"], spec, obj["metadata"]["resourceVersion"])


async def set_reclaim_policy(ctx: ClientContext, action: Action) -> None:
    """Carry the claim's policy over to the PhoneNumber."""
    await _patch_number(
        ctx, action.args["object_name"], {"reclaimPolicy": action.args["policy"]}, None
    )


async def release_number(ctx: ClientContext, action: Action) -> None:
    """Give the number up; what then happens is its reclaim policy's business."""
    name = action.args["object_name"]
    if action.args["policy"] == "Retain":
        await _patch_number(ctx, name, {"claimRef": None, "reclaimPolicy": "Retain"}, None)
    else:
        if ctx.desired.rollback:
            await _patch_number(ctx, name, {"reclaimPolicy": "Release"}, None)
        await ctx.kube.delete(PHONENUMBERS, name)


async def create_carrier_trunk(ctx: ClientContext, action: Action) -> None:
    """Make the trunk; its domain name is derived from the client, so there can be only one."""
    trunk = await ctx.telephony.driver.create_trunk(
        client_id=ctx.mark.client_id,
        friendly_name=trunk_friendly_name(ctx.mark),
        **action.args,
    )
    (await ctx.telephony.listing()).trunks[trunk.sid] = trunk


async def update_carrier_trunk(ctx: ClientContext, action: Action) -> None:
    """Change where the carrier sends calls when we are down, and whether they are encrypted."""
    trunk = await ctx.telephony.driver.update_trunk(action.target, **action.args)
    (await ctx.telephony.listing()).trunks[trunk.sid] = trunk


async def set_origination(ctx: ClientContext, action: Action) -> None:
    """Make the trunk's origination URLs exactly the fleet's."""
    trunk = await ctx.carrier_trunk()
    if trunk is None:
        raise Gone("TrunkMissing", "the carrier's trunk is gone")
    urls = await ctx.telephony.driver.set_origination(trunk.sid, action.args["urls"])
    (await ctx.telephony.listing()).trunks[trunk.sid] = replace(trunk, origination=urls)


async def delete_carrier_trunk(ctx: ClientContext, action: Action) -> None:
    """Remove the trunk with its origination URLs."""
    await ctx.telephony.driver.delete_trunk(action.args["trunk_sid"])
    (await ctx.telephony.listing()).trunks.pop(action.args["trunk_sid"], None)


async def route_number(ctx: ClientContext, action: Action) -> None:
    """Point the number at the client's trunk, or at the instructions that lead to us."""
    way: Ingress = action.args["way"]
    if way.trunk_sid is not None:
        # The plan may be older than the trunk.
        trunk = await ctx.carrier_trunk()
        if trunk is None:
            raise Gone("TrunkMissing", "the carrier's trunk is gone")
        way = replace(way, trunk_sid=trunk.sid)
    await _point(ctx, action.args["sid"], way)


async def forward_number(ctx: ClientContext, action: Action) -> None:
    """Point the number at instructions hosted by the carrier that ring the fallback phone."""
    await _point(ctx, action.args["sid"], action.args["way"])


async def _point(ctx: ClientContext, sid: str, way: Ingress) -> None:
    changed = await ctx.telephony.driver.update_number(
        sid,
        trunk_sid=way.trunk_sid or "",
        voice_url=way.voice_url or "",
        voice_fallback_url=way.voice_fallback_url or "",
    )
    (await ctx.telephony.listing()).numbers[sid] = changed


async def create_inbound_trunk(ctx: ClientContext, action: Action) -> None:
    """Tell LiveKit the client's numbers and who may call them in."""
    trunk = await ctx.routing.driver.create_trunk(mark=ctx.mark, **action.args)
    (await ctx.routing.listing()).trunks[trunk.id] = trunk


async def update_inbound_trunk(ctx: ClientContext, action: Action) -> None:
    """Change numbers, networks or limits of LiveKit's trunk."""
    trunk = await ctx.routing.driver.update_trunk(mark=ctx.mark, **action.args)
    (await ctx.routing.listing()).trunks[trunk.id] = trunk


async def delete_inbound_trunk(ctx: ClientContext, action: Action) -> None:
    """Remove LiveKit's trunk: its calls are refused from now on."""
    await ctx.routing.driver.delete_trunk(action.args["trunk_id"])
    (await ctx.routing.listing()).trunks.pop(action.args["trunk_id"], None)


async def create_outbound_trunk(ctx: ClientContext, action: Action) -> None:
    """Let LiveKit call out over the client's trunk at the carrier; the carrier is told first."""
    trunk = await ctx.routing.driver.create_outbound(mark=ctx.mark, **await _way_out(ctx, action))
    (await ctx.routing.listing()).outbound[trunk.id] = trunk


async def update_outbound_trunk(ctx: ClientContext, action: Action) -> None:
    """Set it right, on both sides."""
    trunk = await ctx.routing.driver.update_outbound(
        action.args["trunk_id"],
        mark=ctx.mark,
        **await _way_out(ctx, action),
    )
    (await ctx.routing.listing()).outbound[trunk.id] = trunk


async def delete_outbound_trunk(ctx: ClientContext, action: Action) -> None:
    """Take the way out away; at the carrier (`close`) first, since by LiveKit's it is found."""
    trunk = await ctx.carrier_trunk() if action.args["close"] else None
    if trunk is not None:
        await ctx.telephony.driver.termination.close(trunk.sid)
        (await ctx.telephony.listing()).trunks[trunk.sid] = replace(trunk, calls_out=False)
    await ctx.routing.driver.delete_trunk(action.args["trunk_id"])
    (await ctx.routing.listing()).outbound.pop(action.args["trunk_id"], None)


async def _way_out(ctx: ClientContext, action: Action) -> dict[str, Any]:
    """What LiveKit's trunk says; the carrier knows user and password when this returns."""
    trunk = await ctx.carrier_trunk()
    if trunk is None:
        raise Gone("TrunkMissing", "the carrier's trunk is gone")
    credential = await ctx.telephony.driver.termination.open(trunk.sid)
    listing = await ctx.telephony.listing()
    listing.trunks[trunk.sid] = replace(trunk, calls_out=True)
    listing.outbound_user = credential.username
    return {
        "address": action.args["termination"] or trunk.domain_name,
        "username": credential.username,
        "password": credential.password,
        "numbers": action.args["numbers"],
        "secure": action.args["secure"],
    }


async def _inbound_trunk_id(ctx: ClientContext) -> str:
    for trunk in (await ctx.routing.listing()).trunks.by(ctx.mark.owner):
        return trunk.id
    raise Gone("TrunkMissing", "LiveKit's trunk is gone")


async def create_rule(ctx: ClientContext, action: Action) -> None:
    """Lead the trunk's calls to the client's agent, and no other trunk's."""
    rule = await ctx.routing.driver.create_rule(
        mark=ctx.mark,
        trunk_id=await _inbound_trunk_id(ctx),
        agent_name=action.args["agent_name"],
        candidate=action.args["candidate"],
        overflow=action.args["overflow"],
    )
    (await ctx.routing.listing()).rules[rule.id] = rule


async def replace_rule(ctx: ClientContext, action: Action) -> None:
    """Set the rule right in one step, so that no call falls between."""
    rule = await ctx.routing.driver.replace_rule(
        action.args["rule_id"],
        mark=ctx.mark,
        trunk_id=await _inbound_trunk_id(ctx),
        agent_name=action.args["agent_name"],
        candidate=action.args["candidate"],
        overflow=action.args["overflow"],
    )
    (await ctx.routing.listing()).rules[rule.id] = rule


async def delete_rule(ctx: ClientContext, action: Action) -> None:
    """Remove the rule: no new call reaches the agent."""
    await ctx.routing.driver.delete_rule(action.args["rule_id"])
    (await ctx.routing.listing()).rules.pop(action.args["rule_id"], None)


HANDLERS = {
    ActionKind.CLAIM_NUMBER: claim_number,
    ActionKind.BIND_NUMBER: bind_number,
    ActionKind.SET_RECLAIM_POLICY: set_reclaim_policy,
    ActionKind.RELEASE_NUMBER: release_number,
    ActionKind.CREATE_CARRIER_TRUNK: create_carrier_trunk,
    ActionKind.UPDATE_CARRIER_TRUNK: update_carrier_trunk,
    ActionKind.SET_ORIGINATION: set_origination,
    ActionKind.DELETE_CARRIER_TRUNK: delete_carrier_trunk,
    ActionKind.ROUTE_NUMBER: route_number,
    ActionKind.FORWARD_NUMBER: forward_number,
    ActionKind.CREATE_INBOUND_TRUNK: create_inbound_trunk,
    ActionKind.UPDATE_INBOUND_TRUNK: update_inbound_trunk,
    ActionKind.DELETE_INBOUND_TRUNK: delete_inbound_trunk,
    ActionKind.CREATE_OUTBOUND_TRUNK: create_outbound_trunk,
    ActionKind.UPDATE_OUTBOUND_TRUNK: update_outbound_trunk,
    ActionKind.DELETE_OUTBOUND_TRUNK: delete_outbound_trunk,
    ActionKind.CREATE_RULE: create_rule,
    ActionKind.REPLACE_RULE: replace_rule,
    ActionKind.DELETE_RULE: delete_rule,
}
