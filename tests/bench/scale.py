"""How the controller does with many clients, on a real API server, LiveKit, DNS and the sandbox.

    python tests/bench/scale.py --clients 1000

Agents are stubs; everything else is real and started for the run. Prints a table (or JSON) with
ratios to what the same machine does in the same run without a controller; it asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.baselines import Bare, in_parallel, kopf_alone
from support.stack import Stack, client, conditions
from voicefleet_operator.execution.status import SETTLE
from voicefleet_operator.kube import VOICECLIENTS, Conflict, Kube
from voicefleet_operator.shell.watch import connection

AREAS = [str(code) for code in range(201, 221)]
EDITS = 100
COMPARED = 500
"""Clients in the comparison with less than a controller."""


class Bench:
    """One platform with an operator, and what is measured of it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.results: dict[str, Any] = {}
        self.bare_seconds = 0.0
        """That a client's requests take when nothing else is done."""
        self._requests = 0

    def metrics(self) -> dict[str, float]:
        """The operator's metrics by name, labels summed up."""
        port = self.stack.platform.port("metrics")
        text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
        return found

    def vendor_calls(self) -> int:
        """Requests that the sandbox has served."""
        params = {"since": self._requests}
        log = self.stack.sandbox.get("/_sandbox/requests", params=params).json()
        self._requests = log[-1]["seq"] if log else self._requests
        return self._requests

    def process(self) -> psutil.Process:
        """The operator's."""
        if self.stack.operator is None:
            raise RuntimeError("no operator runs")
        return psutil.Process(self.stack.operator.pid)


def manifests(first: int, count: int) -> list[dict[str, Any]]:
    """Clients with a number each, spread over area codes."""
    made = []
    for i in range(first, first + count):
        area = AREAS[i % len(AREAS)]
        numbers = [{"name": "main", "request": {"country": "US", "areaCode": area}}]
        name = f"bench-{i:05d}"
        made.append(client(name, plan="Solo", telephony={"numbers": numbers}))
    return made


async def ready(kube: Kube) -> int:
    """How many clients are Ready in their newest generation."""
    return sum(
        1
        for vc in await kube.list(VOICECLIENTS)
        if (c := conditions(vc).get("Ready"))
        and c["status"] == "True"
        and c.get("observedGeneration") == vc["metadata"]["generation"]
    )


async def until_ready(kube: Kube, count: int, seconds: float) -> None:
    """Wait; raises `TimeoutError`."""
    async with asyncio.timeout(seconds):
        while (have := await ready(kube)) < count:
            print(f"  {have} of {count} Ready", file=sys.stderr)
            await asyncio.sleep(1 if count < 300 else 5)


async def compare(bench: Bench, kube: Kube, count: int) -> None:
    """What a client costs without this controller: its requests bare, and a kopf that does none."""
    bench.stack.start_operator()
    sample, *bodies = manifests(90000, count + 1)
    await kube.create(VOICECLIENTS, sample, "default")
    await until_ready(kube, 1, 60)
    name = sample["metadata"]["name"]
    status = (await kube.get(VOICECLIENTS, name, "default"))["status"]
    await asyncio.to_thread(bench.stack.delete, name)
    bench.stack.stop_operator(signal.SIGTERM)
    bare = await Bare(kube, bench.stack, status).run(bodies)
    alone, memory = await kopf_alone(kube, bench.stack, bodies)
    bench.bare_seconds = bare / count
    bench.results |= {
        f"bare: clients/s, {Bare.kubernetes_writes} Kubernetes writes and"
        f" {Bare.vendor_requests} vendor requests each": round(count / bare, 1),
        "kopf that does nothing: objects/s": round(count / alone, 1),
        f"kopf that does nothing: MiB with {count}": round(memory),
    }


@asynccontextmanager
async def flame_graph(bench: Bench, path: Path | None) -> AsyncIterator[None]:
    """Where the operator spends its processor time meanwhile, as a picture."""
    if path is None:
        yield
        return
    pid = bench.process().pid
    profiler = await asyncio.create_subprocess_exec(
        *("py-spy", "record", "--gil", "--pid", str(pid), "--duration", "unlimited"),
        *("--output", str(path)),
        executable=Path(sys.executable).with_name("py-spy"),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        profiler.send_signal(signal.SIGINT)
        await profiler.wait()


async def apply_all(bench: Bench, kube: Kube, first: int, count: int) -> None:
    """Apply at once; until all are Ready."""
    before, calls = bench.metrics(), bench.vendor_calls()
    begun = time.monotonic()

    async def create(body: dict[str, Any]) -> None:
        try:
            await kube.create(VOICECLIENTS, body, "default")
        except Conflict:
            return

    await in_parallel([create(body) for body in manifests(first, count)])
    applied = time.monotonic() - begun
    await until_ready(kube, first + count, 60 + count)
    seconds = time.monotonic() - begun
    after = bench.metrics()
    writes = (
        after["voicefleet_kubernetes_writes_total"] - before["voicefleet_kubernetes_writes_total"]
    ) / count
    bench.results |= {
        f"apply {count} more: seconds to create the objects": round(applied, 1),
        f"apply {count} more: seconds until all are Ready": round(seconds, 1),
        f"apply {count} more: clients/s": round(count / seconds, 1),
        f"apply {count} more: Kubernetes writes a client (budget 6)": round(writes, 2),
        f"apply {count} more: Stripe and Twilio requests a client": round(
            (bench.vendor_calls() - calls) / count, 2
        ),
        f"apply {count} more: times the bare requests (goal 2)": round(
            seconds / count / bench.bare_seconds, 1
        ),
    }


async def edits(bench: Bench, kube: Kube, existing: int) -> None:
    """Sequential edits of one field; until each is carried out."""
    seconds = []
    for i in range(EDITS):
        name = f"bench-{i % existing:05d}"
        begun = time.monotonic()
        forward = {"forwardTo": f"+1312555{i:04d}"}
        patch = {"spec": {"telephony": {"fallback": forward}}}
        generation = (await kube.patch(VOICECLIENTS, name, patch, "default"))["metadata"][
            "generation"
        ]
        async with asyncio.timeout(60):
            while True:
                c = conditions(await kube.get(VOICECLIENTS, name, "default")).get("Ready", {})
                if c.get("observedGeneration") == generation and c["status"] == "True":
                    break
                await asyncio.sleep(0.005)
        seconds.append(time.monotonic() - begun)
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    words = "/".join(f"{1000 * cuts[i]:.0f}" for i in (49, 94, 98))
    bench.results[f"edit → converged with {existing} clients, p50/p95/p99 ms"] = words


async def restart(bench: Bench, kube: Kube, count: int) -> None:
    """A new process finds everything as it should be."""
    bench.stack.stop_operator()
    calls = bench.vendor_calls()
    versions = {vc["metadata"]["uid"]: vc["metadata"]["resourceVersion"]
                for vc in await kube.list(VOICECLIENTS)}  # fmt: skip
    begun = time.monotonic()
    bench.stack.start_operator()
    async with asyncio.timeout(120 + count / 5):
        while bench.metrics().get("voicefleet_reconciliations_total", 0) < 2 * count:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
    seconds = time.monotonic() - begun
    listed = bench.vendor_calls()
    # Until it has also listed what its predecessor may still have had on its way.
    await asyncio.sleep(2 * SETTLE)
    written = [vc for vc in await kube.list(VOICECLIENTS)
               if versions[vc["metadata"]["uid"]] != vc["metadata"]["resourceVersion"]]  # fmt: skip
    bench.results |= {
        "restart: seconds to steady": round(seconds, 1),
        "restart: Stripe and Twilio requests (goal: listings)": listed - calls,
        "restart: clients written (goal 0)": len(written),
    }


async def idle(bench: Bench, count: int, seconds: int) -> None:
    """Nothing happens, and nothing is done."""
    process = bench.process()
    before, calls = bench.metrics(), bench.vendor_calls()
    cpu = sum(process.cpu_times()[:2])
    await asyncio.sleep(seconds)
    name = "voicefleet_kubernetes_writes_total"
    minutes = seconds / 60
    rss = process.memory_info().rss
    writes = (bench.metrics()[name] - before[name]) / minutes
    bench.results |= {
        "idle: Kubernetes writes a minute (the lease: 20)": round(writes, 1),
        "idle: Stripe and Twilio requests a minute": round(
            (bench.vendor_calls() - calls) / minutes, 1
        ),
        "idle: CPU of one core": f"{(sum(process.cpu_times()[:2]) - cpu) / seconds:.1%}",
        "idle: resident memory, MiB": rss >> 20,
        "idle: KiB a client": round(rss / 1024 / count),
    }


async def sweep(bench: Bench, kube: Kube) -> None:
    """Everything is listed anew, as it is every ten minutes."""
    calls, begun = bench.vendor_calls(), time.monotonic()
    patch = {"metadata": {"annotations": {"voicefleet.dev/reconcile-at": str(time.time())}}}
    await kube.patch(VOICECLIENTS, "bench-00000", patch, "default")
    async with asyncio.timeout(120):
        while True:
            vc = await kube.get(VOICECLIENTS, "bench-00000", "default")
            wanted = patch["metadata"]["annotations"]["voicefleet.dev/reconcile-at"]
            if vc["status"].get("lastHandledReconcileAt") == wanted:
                break
            await asyncio.sleep(0.05)
    bench.results |= {
        "sweep: seconds": round(time.monotonic() - begun, 2),
        "sweep: Stripe and Twilio requests (goal: pages)": bench.vendor_calls() - calls,
    }


async def run(
    stack: Stack, steps: list[int], idle_seconds: int, flame: Path | None
) -> dict[str, Any]:
    """All measurements, with more and more clients."""
    stack.set_fleet(monthlySpendingCapMinor=10_000_000)
    stock = dict.fromkeys(AREAS, 1000)
    stack.sandbox.post("/_sandbox/inventory", json=stock).raise_for_status()
    os.environ["KUBECONFIG"] = str(stack.kubeconfig)
    bench = Bench(stack)
    async with Kube(connection) as kube:
        await compare(bench, kube, min(COMPARED, steps[-1]))
    stack.start_operator()
    rss = bench.process().memory_info().rss >> 20
    bench.results["memory with no client, MiB"] = rss
    async with Kube(connection) as kube:
        have = 0
        for count in steps:
            async with flame_graph(bench, flame if count == steps[-1] else None):
                await apply_all(bench, kube, have, count - have)
            have = count
            await edits(bench, kube, have)
        await restart(bench, kube, have)
        await idle(bench, have, idle_seconds)
        await sweep(bench, kube)
    return bench.results


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--idle", type=int, default=60, help="seconds of idleness to measure")
    parser.add_argument("--flame", type=Path, help="write a flame graph (SVG) of the last apply")
    parser.add_argument("--output", choices=("table", "json"), default="table")
    args = parser.parse_args()
    before = os.getloadavg()[0]
    steps = sorted({step for step in (100, 1000) if step < args.clients} | {args.clients})
    with Stack() as stack:
        results = asyncio.run(run(stack, steps, args.idle, args.flame))
    results |= {"cores": os.cpu_count(), "load before": before, "load after": os.getloadavg()[0]}
    if args.output == "json":
        print(json.dumps(results, indent=2))
        return
    print("| what | figure |\n|---|---|")
    for what, figure in results.items():
        print(f"| {what} | {figure} |")


if __name__ == "__main__":
    main()
