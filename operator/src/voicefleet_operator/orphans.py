"""`voicefleet orphans`, and what the sweep counts: finding orphans and giving them back."""

from __future__ import annotations

from collections.abc import Iterable

from voicefleet_operator.kube import Object
from voicefleet_operator.planning.orphans import (
    Living,
    Orphan,
    in_billing,
    in_names,
    in_routing,
    in_telephony,
    in_voices,
)
from voicefleet_operator.reconcilers.common import fleet_name
from voicefleet_operator.world import World


async def list_vendors(world: World) -> None:
    """Have every vendor listed; the owners are to be listed afterwards."""
    for listed in world.all_listed():
        await listed.listing()


def living(
    fleet_id: str, fleet: str, clients: Iterable[Object], numbers: Iterable[Object]
) -> Living:
    """Owners among VoiceClients and PhoneNumbers, those that are being deleted included."""
    ours = [n for n in numbers if fleet_name(n) == fleet]
    return Living(
        fleet_id=fleet_id,
        client_ids=frozenset(
            (client.get("status") or {}).get("clientID", "")
            for client in clients
            if fleet_name(client) == fleet
        ),
        number_names=frozenset(n["metadata"]["name"] for n in ours),
        number_sids=frozenset((n.get("status") or {}).get("sid", "") for n in ours),
    )


async def find(world: World, owners: Living) -> list[Orphan]:
    """All orphans of one fleet, in the order in which they can be given back."""
    found: list[Orphan] = []
    if world.routing is not None:
        found += in_routing(owners, await world.routing.listing())
    for name, billing in world.billing.items():
        found += in_billing(owners, name, await billing.listing())
    accounts = world.spec.telephony.accounts if world.spec.telephony else []
    for account in accounts:
        numbers = await world.telephony[account.name].listing()
        cost = account.monthly_number_cost_minor
        found += in_telephony(owners, account.name, numbers, cost)
    for name, voices in world.voices.items():
        found += in_voices(owners, name, await voices.listing())
    if world.names is not None:
        found += in_names(owners, await world.names.listing())
    return found


async def give_back(world: World, orphan: Orphan) -> None:
    """Give one thing back; fine where it is gone already. Raises `VendorError`."""
    match orphan.kind:
        case "Subscription":
            driver = world.billing[orphan.account].driver
            await driver.cancel_subscription(orphan.id, when="Now")
        case "Checkout":
            await world.billing[orphan.account].driver.expire_checkout(orphan.id)
        case "Number":
            await world.telephony[orphan.account].driver.release_number(orphan.id)
        case "CarrierTrunk":
            await world.telephony[orphan.account].driver.delete_trunk(orphan.id)
        case "DispatchRule" if world.routing is not None:
            await world.routing.driver.delete_rule(orphan.id)
        case "InboundTrunk" | "OutboundTrunk" if world.routing is not None:
            await world.routing.driver.delete_trunk(orphan.id)
        case "Voice":
            await world.voices[orphan.account].driver.delete(orphan.id)
        case "DNSName" if world.names is not None:
            await world.names.driver.delete(orphan.id, mark=orphan.mark)
        case _:
            raise ValueError(f"{orphan.kind} {orphan.id}")
