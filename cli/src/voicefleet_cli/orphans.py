"""`voicefleet orphans` and `voicefleet cost`: what costs money, and who it is for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from voicefleet_api.fleet import FleetSpec, FleetStatus
from voicefleet_cli.console import Exit, Output, err, fail, out, print_json, table
from voicefleet_operator.drivers.errors import VendorError
from voicefleet_operator.kube import FLEETS, PHONENUMBERS, VOICECLIENTS, Kube, Object
from voicefleet_operator.orphans import find, give_back, list_vendors, living
from voicefleet_operator.planning.orphans import Orphan
from voicefleet_operator.reconcilers.common import fleet_name, read_secret
from voicefleet_operator.world import World, build_world


@asynccontextmanager
async def fleet_world(kube: Kube, fleet: str) -> AsyncIterator[World]:
    """The fleet's vendors, by the Secrets that it names."""
    obj = await kube.get(FLEETS, fleet)
    status = FleetStatus.model_validate(obj.get("status") or {})
    if status.fleet_id is None:
        fail(f"Fleet {fleet} is not ready yet; see: kubectl describe fleet {fleet}")
    world = await build_world(
        status.fleet_id,
        FleetSpec.model_validate(obj["spec"]),
        lambda namespace, name: read_secret(kube, namespace, name),
    )
    for words in world.unusable.values():
        err.print(f"not looked at: {words}", soft_wrap=True)
    try:
        yield world
    finally:
        await world.close()


async def _found(kube: Kube, world: World, fleet: str) -> list[Orphan]:
    await list_vendors(world)
    clients, numbers = await kube.list(VOICECLIENTS), await kube.list(PHONENUMBERS)
    return await find(world, living(world.fleet_id, fleet, clients, numbers))


async def orphans(kube: Kube, fleet: str, output: Output, *, release: bool, yes: bool) -> Exit:
    """Show orphans; with `release` give them back. `Exit.CHANGES` where some remain."""
    async with fleet_world(kube, fleet) as world:
        found = await _found(kube, world, fleet)
        if output is Output.JSON:
            print_json([_plain(orphan) for orphan in found])
        elif found:
            _show(found)
        else:
            out.print("no orphans")
        if not found or not release:
            return Exit.CHANGES if found else Exit.OK
        if not yes and err.input(f"Give these {len(found)} back, for good? [y/N] ") != "y":
            return Exit.CHANGES
        failed = 0
        for orphan in found:
            try:
                await give_back(world, orphan)
                err.print(f"[green]✓[/green] {orphan.kind} {orphan.id}")
            except VendorError as error:
                failed += 1
                err.print(f"[red]error:[/red] {orphan.kind} {orphan.id}: {error.message}")
        return Exit.FAILED if failed else Exit.OK


def _plain(orphan: Orphan) -> dict[str, Any]:
    return {
        "kind": orphan.kind,
        "id": orphan.id,
        "account": orphan.account,
        "owner": orphan.owner,
        "monthlyCostMinor": orphan.cost_minor,
        "monthlyChargeMinor": orphan.charge_minor,
    }


def _show(found: list[Orphan]) -> None:
    rows = table("Kind", "Id", "Account", "Was of", "Costs a month", "Charged a month")
    for orphan in found:
        money = (_money(orphan.cost_minor), _money(orphan.charge_minor))
        rows.add_row(orphan.kind, orphan.id, orphan.account, orphan.owner, *money)
    out.print(rows)
    total, charged = sum(o.cost_minor for o in found), sum(o.charge_minor for o in found)
    out.print(f"{_money(total) or '0.00'} a month for nobody; {_money(charged) or '0.00'} charged")


def _money(minor: int) -> str:
    return f"{minor / 100:.2f}" if minor else ""


async def cost(kube: Kube, fleet: str, output: Output) -> Exit:
    """What each client brings in and costs, and what is paid for nobody."""
    async with fleet_world(kube, fleet) as world:
        lost = await _found(kube, world, fleet)
    clients = [c for c in await kube.list(VOICECLIENTS) if fleet_name(c) == fleet]
    numbers = [n for n in await kube.list(PHONENUMBERS) if fleet_name(n) == fleet]
    retained = sum(
        (n.get("status") or {}).get("monthlyCostMinor", 0)
        for n in numbers
        if not n["spec"].get("claimRef")
    )
    lines = [_line(client) for client in clients]
    income, spent = sum(line["priceMinor"] for line in lines), sum(li["costMinor"] for li in lines)
    unowned = sum(orphan.cost_minor for orphan in lost)
    sums = {
        "priceMinor": income,
        "clientsCostMinor": spent,
        "retainedNumbersCostMinor": retained,
        "orphansCostMinor": unowned,
        "marginMinor": income - spent - retained - unowned,
    }
    if output is Output.JSON:
        print_json({"clients": lines, **sums})
        return Exit.OK
    rows = table("Client", "Plan", "Price", "Vendors", "Margin")
    for line in lines:
        amounts = (line["priceMinor"], line["costMinor"], line["priceMinor"] - line["costMinor"])
        rows.add_row(line["client"], line["plan"], *(f"{minor / 100:.2f}" for minor in amounts))
    out.print(rows)
    out.print(
        f"a month: {income / 100:.2f} from clients, {spent / 100:.2f} to vendors for them,"
        f" {retained / 100:.2f} for retained numbers, {unowned / 100:.2f} for orphans;"
        f" margin {sums['marginMinor'] / 100:.2f}"
    )
    return Exit.OK


def _line(client: Object) -> dict[str, Any]:
    meta, known = client["metadata"], (client.get("status") or {}).get("cost") or {}
    return {
        "client": f"{meta['namespace']}/{meta['name']}",
        "plan": client["spec"]["plan"],
        "priceMinor": known.get("priceMinor", 0),
        "costMinor": known.get("monthlyMinor", 0),
    }
