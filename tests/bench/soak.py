"""Clients come, change, meet faults and go, again and again, and nothing is left of it.

    python tests/bench/soak.py --minutes 60

On a real API server, LiveKit, DNS and the sandbox, with stub agents and the real operator process.
At the end the operator must not have restarted or logged an error, its queue be empty, its memory,
descriptors, tasks and sockets within a tenth of what they were after a sixth of the time, and
every vendor hold exactly what the remaining clients own. If not: exit code 1, and what differs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.stack import Object, Stack, client, conditions
from voicefleet_api.fleet import FleetSpec
from voicefleet_operator.kube import FLEETS, PHONENUMBERS, VOICECLIENTS, Kube
from voicefleet_operator.reconcilers.common import read_secret
from voicefleet_operator.shell.watch import connection
from voicefleet_operator.world import build_world

AREAS = [str(code) for code in range(201, 221)]
RESIDENTS = 10
VISITORS = 20
SETTLE = 30
"""Seconds after which connections that are kept for reuse are closed."""
TOLERANCE = 0.1
TROUBLE = 5
"""Seconds that vendors are in trouble at a time."""
_PATIENCE = 180
FAULTS: list[Object] = [
    {"kind": "delay", "seconds": 1.0, "times": 10},
    {"kind": "throttle", "retryAfter": 1, "times": 20},
    {"kind": "error", "status": 500, "times": 10},
    {"kind": "error", "status": 503, "done": True, "times": 5},
    {"kind": "drop", "times": 5},
    {"kind": "reset", "times": 10},
]


def numbers(client_name: str, *names: str) -> Object:
    """Claims in the client's area code, which does not change: numbers are bought by it."""
    request = {"country": "US", "areaCode": AREAS[int(client_name[-2:])]}
    return {"numbers": [{"name": name, "request": request} for name in names]}


def edit(name: str, rng: random.Random) -> Object:
    """A change of the client's spec."""
    return rng.choice(
        [
            {"plan": "Solo", "telephony": numbers(name, "main")},
            {"plan": "Pro", "telephony": numbers(name, "main", "second")},
            {"business": {"name": f"Renamed {rng.randrange(1000)}"}},
            {"telephony": {"fallback": {"forwardTo": f"+1312555{rng.randrange(10000):04d}"}}},
            {"suspend": rng.random() < 0.5},
        ]
    )


class Stuck(Exception):
    """Clients do not become what they should; the text names them, and what they say."""


class Soak:
    """One platform with an operator, and the clients that come and go."""

    def __init__(self, stack: Stack, kube: Kube, seed: int) -> None:
        self.stack = stack
        self.kube = kube
        self.rng = random.Random(seed)
        self.done: Counter[str] = Counter()

    async def create(self, names: list[str]) -> None:
        """Clients with a number, a subscription and a name each."""
        for name in names:
            fallback = {"fallback": {"forwardTo": "+13125550100"}}
            telephony = {**numbers(name, "main"), **fallback}
            body = client(name, plan="Pro", telephony=telephony)
            await self.kube.create(VOICECLIENTS, body, "default")
            self.done["created"] += 1

    async def edit(self, names: list[str]) -> None:
        """One random change each."""
        for name in names:
            await self.kube.patch(VOICECLIENTS, name, {"spec": edit(name, self.rng)}, "default")
            self.done["edited"] += 1

    async def delete(self, names: list[str]) -> None:
        """Until they are gone; raises `Stuck`."""
        for name in names:
            await self.kube.delete(VOICECLIENTS, name, "default")
            self.done["deleted"] += 1
        await self._none(lambda vc: vc["metadata"]["name"] in names, "not gone")

    async def converged(self) -> None:
        """Until every client is Ready in its newest generation; raises `Stuck`."""
        await self._none(lambda vc: not _ready(vc), "not Ready")

    async def _none(self, late: Callable[[Object], bool], what: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        while found := [vc for vc in await self.kube.list(VOICECLIENTS) if late(vc)]:
            if time.monotonic() > deadline:
                words = "; ".join(map(_described, found))
                raise Stuck(f"{what} after {_PATIENCE} s: {words}")
            await asyncio.sleep(0.5)

    async def _trouble_ends(self) -> None:
        """After a while: a client that backs off would take minutes to meet the last of it."""
        await asyncio.sleep(TROUBLE)
        self.stack.clear_faults()

    def fault(self) -> None:
        """Two kinds of trouble at the vendors, each a few times."""
        for rule in self.rng.sample(FAULTS, 2):
            vendor = self.rng.choice(["stripe", "twilio"])
            self.stack.fault(**rule, vendor=vendor, skip=self.rng.randrange(30))
            self.done["faults"] += rule["times"]

    async def round(self, index: int, residents: list[str]) -> None:
        """Visitors come, everybody changes, visitors go; vendors are in trouble all the while."""
        visitors = [f"soak-{index:05d}-{i:02d}" for i in range(VISITORS)]
        self.fault()
        await self.create(visitors)
        await self._trouble_ends()
        await self.converged()
        self.fault()
        await self.edit(visitors + residents)
        await self._trouble_ends()
        await self.converged()
        # Some are deleted while they are still being changed.
        await self.edit(visitors[::2])
        await self.delete(visitors)
        self.stack.clear_faults()
        await self.converged()
        self.done["rounds"] += 1

    async def rounds(self, residents: list[str], *, until: float) -> None:
        """As many as there is time for, and then a rest."""
        while time.monotonic() < until:
            await self.round(self.done["rounds"], residents)
            if self.done["rounds"] % 5 == 0:
                print(f"  round {self.done['rounds']}: {self.sizes()}", file=sys.stderr)
        await asyncio.sleep(SETTLE)

    # --- what is measured ---------------------------------------------------------------------

    def sizes(self) -> dict[str, float]:
        """What must not grow."""
        metrics = self.metrics()
        if self.stack.operator is None:
            raise RuntimeError("no operator runs")
        return {
            "memory, MiB": round(metrics["process_resident_memory_bytes"] / 2**20, 1),
            "descriptors": metrics["process_open_fds"],
            "tasks": metrics["voicefleet_asyncio_tasks"],
            "sockets": float(len(psutil.Process(self.stack.operator.pid).net_connections("all"))),
        }

    def metrics(self) -> dict[str, float]:
        """The operator's metrics without labels."""
        port = self.stack.platform.port("metrics")
        text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
        families = text_string_to_metric_families(text)
        return {s.name: s.value for family in families for s in family.samples if not s.labels}

    def errors(self) -> list[str]:
        """What the operator has logged as an error that is not retried, and what is no log line."""
        found = []
        for line in self.stack.log().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                found.append(line)
                continue
            # kopf's own first watch may come before the API server has stored the new kinds.
            retried = "; will retry" in entry["message"]
            if entry["level"] in ("ERROR", "CRITICAL") and not retried:
                found.append(f"{entry.get('object', '')} {entry['message']}".strip())
        return found

    async def differences_at_vendors(self) -> list[str]:
        """Where a vendor holds anything but one of everything that the living clients own."""
        clients = await self.kube.list(VOICECLIENTS)
        owners = Counter(vc["status"]["clientID"] for vc in clients)
        held = Counter(n["e164"] for vc in clients for n in vc["status"].get("numbers", []))
        fleet = await self.kube.get(FLEETS, "default")

        async def secret(namespace: str, name: str) -> dict[str, str]:
            return await read_secret(self.kube, namespace, name)

        world = await build_world(
            fleet["status"]["fleetID"], FleetSpec.model_validate(fleet["spec"]), secret
        )
        try:
            carrier = await world.telephony["main"].listing()
            billing = await world.billing["main"].listing()
            if world.routing is None or world.names is None:
                raise RuntimeError("the Fleet has no LiveKit or no DNS")
            routing, names = await world.routing.listing(), await world.names.listing()
        finally:
            await world.close()
        subscriptions = [s for s in billing.subscriptions.values() if s.live]
        paid_for = Counter(
            entry["kind"].split(".")[0] for entry in self.stack.ledger(only_open=True)
        )
        wanted = {
            "Twilio numbers": (Counter(n.e164 for n in carrier.numbers.values()), held),
            "PhoneNumbers": (
                Counter(pn["status"]["e164"] for pn in await self.kube.list(PHONENUMBERS)),
                held,
            ),
            "Twilio trunks": (
                Counter(t.friendly_name.split("/")[-1] for t in carrier.trunks.values()),
                owners,
            ),
            "Stripe subscriptions": (Counter(_owners(subscriptions)), owners),
            "LiveKit trunks": (Counter(_owners(routing.trunks.values())), owners),
            "LiveKit rules": (Counter(_owners(routing.rules.values())), owners),
            "DNS names": (Counter(_owners(names.values())), owners),
            "the ledger": (
                paid_for,
                Counter({"number": held.total(), "subscription": owners.total()}),
            ),
        }
        return [
            f"{where}: too many {dict(have - want)}, too few {dict(want - have)}"
            for where, (have, want) in wanted.items()
            if have != want
        ]


def _owners(things: Any) -> list[str]:
    return [thing.mark.client_id for thing in things if thing.mark is not None]


def _described(vc: Object) -> str:
    ready = conditions(vc).get("Ready", {})
    return f"{vc['metadata']['name']}: {ready.get('reason')}: {ready.get('message')}"


def _ready(vc: Object) -> bool:
    found = conditions(vc).get("Ready", {})
    newest = vc["metadata"]["generation"]
    return found.get("status") == "True" and found.get("observedGeneration") == newest


def growth(before: dict[str, float], after: dict[str, float]) -> list[str]:
    """What is larger than it was by more than the tolerance, and by more than one piece."""
    return [
        f"{what}: {before[what]:g} before, {after[what]:g} after"
        for what in before
        if after[what] - before[what] > max(1, TOLERANCE * before[what])
    ]


async def soak(run: Soak, minutes: float) -> tuple[dict[str, Any], list[str]]:
    """The figures, and what is not as it must be; raises `Stuck`."""
    process = run.stack.operator
    residents = [f"resident-{i:02d}" for i in range(RESIDENTS)]
    await run.create(residents)
    begun = time.monotonic()
    # Memory that is used by and by, and kept, is no leak: see docs/performance.md.
    await run.rounds(residents, until=begun + 10 * minutes)
    before = run.sizes()
    await run.rounds(residents, until=begun + 60 * minutes)
    wrong = await run.differences_at_vendors()
    if process is None or process.poll() is not None:
        return {"done": dict(run.done)}, ["the operator has ended", *wrong, *run.errors()]
    after, depth = run.sizes(), run.metrics()["voicefleet_queue_depth"]
    wrong += growth(before, after) + [f"logged: {line}" for line in run.errors()]
    if depth:
        wrong.append(f"queue: {depth:g} keys wait")
    return {"done": dict(run.done), "before": before, "after": after}, wrong


async def main() -> int:
    """Soak, print the figures as JSON, and say what is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    args = parser.parse_args()
    with Stack() as stack:
        stack.set_fleet(monthlySpendingCapMinor=10_000_000)
        stock: Object = {**dict.fromkeys(AREAS, 1000), "cooldownSeconds": 0}
        stack.sandbox.post("/_sandbox/inventory", json=stock).raise_for_status()
        os.environ["KUBECONFIG"] = str(stack.kubeconfig)
        stack.start_operator()
        async with Kube(connection) as kube:
            run = Soak(stack, kube, args.seed)
            try:
                figures, wrong = await soak(run, args.minutes)
            except Stuck as stuck:
                figures, wrong = {"done": dict(run.done)}, [str(stuck), *run.errors()]
    load = round(os.getloadavg()[0], 2)
    print(json.dumps({"minutes": args.minutes, "seed": args.seed, **figures, "load": load}))
    for line in wrong:
        print(f"wrong: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
