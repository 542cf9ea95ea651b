"""`voicefleet import`: manifests that take over what an agency has in Stripe and Twilio already.

Only reads. A customer and a number belong together where the user says so, or where the customer's
phone or metadata in Stripe names the number; what is not certain is left, with the reason.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from voicefleet_api.fleet import Plan
from voicefleet_api.names import API_VERSION, E164_PATTERN
from voicefleet_api.professions import names as professions
from voicefleet_cli.console import Exit, Output, err, fail, print_json, table
from voicefleet_cli.export import as_yaml, write
from voicefleet_cli.orphans import fleet_world
from voicefleet_operator.kube import PHONENUMBERS, VOICECLIENTS, Kube, Object
from voicefleet_operator.planning.observed import CarrierNumber, Customer, Subscription
from voicefleet_operator.world import World

_LABEL = 63


@dataclass(frozen=True)
class Held:
    """What the accounts hold that no fleet has marked; each with the name of its account."""

    customers: Sequence[tuple[str, Customer]] = ()
    subscriptions: Sequence[Subscription] = ()
    numbers: Sequence[tuple[str, CarrierNumber]] = ()


@dataclass(frozen=True)
class Takeover:
    """One client to be: a customer with its one subscription and its numbers."""

    name: str
    plan: str
    customer: Customer
    subscription: Subscription
    numbers: tuple[str, ...]
    accounts: Mapping[str, str]


@dataclass
class Found:
    """What can be taken over, and what is left: (thing, reason with a remedy)."""

    clients: list[Takeover] = field(default_factory=list)
    left: list[tuple[str, str]] = field(default_factory=list)


def propose(
    held: Held, plans: Iterable[Plan], given: Mapping[str, str], taken: Iterable[str]
) -> Found:
    """Pair customers with numbers; pure.

    `given`: number (E.164) -> customer id, as the user says. `taken`: names of clients that exist.
    """
    found, names = Found(), set(taken)
    by_price = {(plan.monthly_price_minor, plan.currency): plan for plan in reversed([*plans])}
    subscriptions: defaultdict[str, list[Subscription]] = defaultdict(list)
    for subscription in held.subscriptions:
        subscriptions[subscription.customer_id].append(subscription)
    paying = [(a, customer) for a, customer in held.customers if subscriptions[customer.id]]
    numbers = _paired(found, held.numbers, [customer for _, customer in paying], given)
    absent = sorted(given.keys() - {number.e164 for _, number in held.numbers})
    found.left += [
        (e164, "--map names it, but it is not there to be taken over") for e164 in absent
    ]
    for account, customer in paying:
        mine, subscribed = numbers[customer.id], subscriptions[customer.id]
        what = f"{customer.id} ({customer.name or customer.email})"
        if not mine:
            found.left.append((what, f"no number is named by it; --map NUMBER={customer.id}"))
        elif (reason := _unfit(mine, subscribed, by_price)) is not None:
            found.left.append((what, reason))
        else:
            name = _free_name(customer, names)
            names.add(name)
            plan = by_price[(subscribed[0].price_minor, subscribed[0].currency)]
            accounts = {"billing": account, "telephony": mine[0][0]}
            e164s = tuple(number.e164 for _, number in mine)
            found.clients.append(
                Takeover(name, plan.name, customer, subscribed[0], e164s, accounts)
            )
    return found


def _paired(
    found: Found,
    numbers: Iterable[tuple[str, CarrierNumber]],
    customers: list[Customer],
    given: Mapping[str, str],
) -> defaultdict[str, list[tuple[str, CarrierNumber]]]:
    """Numbers by customer id; those that are no one's, or more than one's, are left."""
    paired: defaultdict[str, list[tuple[str, CarrierNumber]]] = defaultdict(list)
    ids = {customer.id for customer in customers}
    for account, number in numbers:
        said = given.get(number.e164)
        named = [said] if said else [c.id for c in customers if number.e164 in c.numbers]
        if len(named) == 1 and named[0] in ids:
            paired[named[0]].append((account, number))
            continue
        remedy = f"; --map {number.e164}=cus_…"
        reason = "no customer with a live subscription names it" + remedy
        if said:
            reason = f"{said}, which --map names, is no customer that can be taken over"
        elif named:
            reason = f"{', '.join(named)} all name it{remedy}"
        found.left.append((number.e164, reason))
    return paired


def _unfit(
    numbers: list[tuple[str, CarrierNumber]],
    subscriptions: list[Subscription],
    by_price: Mapping[tuple[int, str], Plan],
) -> str | None:
    """Why this cannot be one client, if it cannot."""
    if len(subscriptions) > 1:
        ids = ", ".join(subscription.id for subscription in subscriptions)
        return f"it has {len(subscriptions)} live subscriptions ({ids}); a client has one"
    if len({account for account, _ in numbers}) > 1:
        return "its numbers are in different telephony accounts; a client has one"
    [subscription] = subscriptions
    price = subscription.price
    plan = by_price.get(price) if price else None
    if plan is None:
        remedy = "only one item at a monthly price can be taken over"
        if price is not None:
            remedy = (
                "add one to spec.plans of the Fleet:"
                f" {{name: …, monthlyPriceMinor: {price[0]}, currency: {price[1]}}}"
            )
        words = subscription.price_words
        return f"{subscription.id} is charged {words}, which is no plan's price; {remedy}"
    if plan.max_numbers is not None and len(numbers) > plan.max_numbers:
        return f"plan {plan.name} includes {plan.max_numbers} number(s), it has {len(numbers)}"
    return None


def _free_name(customer: Customer, taken: set[str]) -> str:
    """A DNS label made of the customer's name, with a number where it is taken."""
    words = re.sub(r"[^a-z0-9]+", "-", (customer.name or customer.id).lower())[: _LABEL - 5]
    stem = name = words.strip("-") or customer.id.lower().replace("_", "-")
    again = 1
    while name in taken:
        again += 1
        name = f"{stem}-{again}"
    return name


def manifest(client: Takeover, fleet: str, namespace: str, profession: str) -> Object:
    """The VoiceClient that takes it over."""
    customer, subscription = client.customer, client.subscription
    business: dict[str, Any] = {"name": (customer.name or customer.email or customer.id)[:128]}
    if customer.email:
        business["email"] = customer.email
    return {
        "apiVersion": API_VERSION,
        "kind": "VoiceClient",
        "metadata": {"name": client.name, "namespace": namespace},
        "spec": {
            "fleetRef": {"name": fleet},
            "accounts": dict(client.accounts),
            "business": business,
            "profession": profession,
            "plan": client.plan,
            "billing": {
                "collection": "Card" if subscription.charges_card else "Invoice",
                # The service runs already: no payment is waited for.
                "activation": "Immediately",
                "existing": {"customerID": customer.id, "subscriptionID": subscription.id},
            },
            "telephony": {
                "numbers": [
                    {
                        "name": "main" if index == 1 else f"line-{index}",
                        "source": "Existing",
                        "e164": e164,
                        "reclaimPolicy": "Retain",
                    }
                    for index, e164 in enumerate(client.numbers, start=1)
                ]
            },
        },
    }


async def adopt(
    kube: Kube,
    fleet: str,
    namespace: str,
    folder: Path | None,
    output: Output,
    mapping: Sequence[str],
    profession: str,
) -> Exit:
    """Write the manifests, and say what they take over; `Exit.CHANGES` where something is left."""
    given = _given(mapping)
    if profession not in professions():
        fail(f"--profession {profession}: one of {', '.join(professions())}")
    clients, objects = await kube.list(VOICECLIENTS), await kube.list(PHONENUMBERS)
    async with fleet_world(kube, fleet) as world:
        held, plans = _unclaimed(await _held(world), clients, objects), world.spec.plans
    names = [c["metadata"]["name"] for c in clients if c["metadata"]["namespace"] == namespace]
    found = propose(held, plans, given, names)
    manifests = [manifest(client, fleet, namespace, profession) for client in found.clients]
    if folder is not None:
        written = write(manifests, folder)
        err.print(f"{len(written)} manifests written below {folder}")
    if output is Output.JSON:
        left = [{"what": what, "why": why} for what, why in found.left]
        print_json({"manifests": manifests, "left": left})
    else:
        _show(found)
        if folder is None:
            print(as_yaml(manifests), end="")
    return Exit.CHANGES if found.left else Exit.OK


def _given(mapping: Sequence[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for pair in mapping:
        number, _, customer = pair.partition("=")
        if not re.match(E164_PATTERN, number) or not customer.startswith("cus_"):
            fail(f"--map {pair}: write it as +14155550100=cus_…")
        if number in given:
            fail(f"--map {pair}: {number} is mapped to {given[number]} already")
        given[number] = customer
    return given


async def _held(world: World) -> Held:
    customers: list[tuple[str, Customer]] = []
    subscriptions: list[Subscription] = []
    for account, billing in world.billing.items():
        found, live = await billing.driver.unowned()
        customers += [(account, customer) for customer in found]
        subscriptions += live
    numbers = [
        (account, number)
        for account, telephony in world.telephony.items()
        for number in (await telephony.listing()).numbers.values()
        if not number.friendly_name.startswith("voicefleet/")
    ]
    return Held(customers, subscriptions, numbers)


def _unclaimed(held: Held, clients: Iterable[Object], numbers: Iterable[Object]) -> Held:
    """Without what a manifest in the cluster names already, though its mark may not be on yet."""
    existing = [(c["spec"].get("billing") or {}).get("existing") or {} for c in clients]
    customers = {one.get("customerID") for one in existing}
    claims = [n for c in clients for n in (c["spec"].get("telephony") or {}).get("numbers", [])]
    e164s = {claim.get("e164") for claim in claims} | {n["spec"].get("e164") for n in numbers}
    return replace(
        held,
        customers=[(a, customer) for a, customer in held.customers if customer.id not in customers],
        numbers=[(a, number) for a, number in held.numbers if number.e164 not in e164s],
    )


def _show(found: Found) -> None:
    """On stderr: stdout is for the manifests."""
    if found.clients:
        rows = table("Client", "Numbers", "Customer", "Subscription", "Plan", "A month")
        for client in found.clients:
            subscription = client.subscription
            rows.add_row(
                client.name, ", ".join(client.numbers), client.customer.id, subscription.id,
                client.plan, subscription.price_words.removesuffix(" a month"),
            )  # fmt: skip
        err.print(rows)
    for what, why in found.left:
        err.print(f"left: {what}: {why}", soft_wrap=True, markup=False)
    if not found.clients and not found.left:
        err.print("nothing to take over")
