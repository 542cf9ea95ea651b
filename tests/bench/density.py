"""How much memory a client's agent takes, before and after calls, and whether callers who come at
the same moment are all answered.

    python tests/bench/density.py --clients 5 --calls 20 --callers 5

Agents run as their pods run them, and are called by SIP with the corpus's speech. Memory is the
proportional set size (PSS) of an agent's processes: pages that several share count in parts. Prints
tables; it asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import corpus
from bench.agents import Ours
from bench.machine import Client, Machine
from bench.robot import talk
from bench.sip import NotAnswered, SipLine

TURNS = 3
"""That a caller says in each of the calls."""
SETTLE = 3.0
"""Seconds after a call until its process has ended."""
PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Footprint:
    """An agent's processes."""

    calls: int
    """Answered so far."""
    pss_mib: float
    processes: int
    threads: int
    descriptors: int

    @classmethod
    def of(cls, agent: psutil.Process, calls: int) -> Footprint:
        """The worker, and all that it has started."""
        found = [agent, *agent.children(recursive=True)]
        pss = threads = descriptors = 0
        for process in found:
            with suppress(psutil.NoSuchProcess):
                pss += process.memory_full_info().pss
                threads += process.num_threads()
                descriptors += process.num_fds()
        return cls(calls, pss / 2**20, len(found), threads, descriptors)


@dataclass(frozen=True, slots=True)
class Ring:
    """One of several callers: seconds from its INVITE; None where it did not come to that."""

    answered: float | None
    first_sound: float | None


class Bench:
    """Agents on a machine, and what is measured of them."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    async def start(self, count: int) -> list[Client]:
        """So many clients, each warm."""
        return [await self._machine.start_ours(name) for name in list(corpus.clients())[:count]]

    async def line(self, client: Client, noise: Any) -> SipLine:
        """A call to the client, answered."""
        line = SipLine(noise)
        platform = self._machine.platform
        await line.open(platform.address, platform.port("sip"), client.number, "+15005550006")
        return line

    async def calls(self, client: Client, count: int) -> list[Footprint]:
        """One after the other; the footprint before, between and after them."""
        name = client.agent.removeprefix("bench-")
        said = next(call for call in corpus.calls() if call.client == name)
        agent = psutil.Process(client.pid)
        found = [Footprint.of(agent, 0)]
        for number in range(1, count + 1):
            line = await self.line(client, corpus.noise(said))
            await talk(line, Ours(line, client.portal), said, TURNS)
            await line.hang_up()
            await asyncio.sleep(SETTLE)
            found.append(Footprint.of(agent, number))
            print(f"  {number} calls: {found[-1].pss_mib:.0f} MiB", file=sys.stderr)
        return found

    async def together(self, client: Client, count: int) -> list[Ring]:
        """Callers one second apart, none of whom hangs up before all have rung."""

        async def caller(number: int) -> Ring:
            await asyncio.sleep(number)
            try:
                line = await self.line(client, corpus.noise(corpus.calls()[0]))
            except NotAnswered as error:
                print(f"  caller {number}: {error}", file=sys.stderr)
                return Ring(None, None)
            answered = line.now
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    while line.last_loud is None:  # noqa: ASYNC110
                        await asyncio.sleep(0.005)
            heard = line.now if line.last_loud is not None else None
            await asyncio.sleep(count - number)
            await line.hang_up()
            return Ring(answered, heard)

        return await asyncio.gather(*(caller(number) for number in range(count)))


def table(results: dict[str, Any]) -> str:
    """Markdown."""
    idle: Sequence[float] = results["idle"]
    lines = [
        f"{len(idle)} clients, idle: {sum(idle):.0f} MiB,"
        f" {min(idle):.0f} to {max(idle):.0f} MiB each.",
    ]
    lines += [
        "",
        "| calls | PSS, MiB | processes | threads | descriptors |",
        "|---|---|---|---|---|",
    ]
    for found in results["calls"]:
        if found["calls"] in (0, 1, 5, 10, results["calls"][-1]["calls"]):
            cells = (found["calls"], f"{found['pss_mib']:.0f}", found["processes"],
                     found["threads"], found["descriptors"])  # fmt: skip
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    lines += ["", "| caller | answered after, s | first sound after, s |", "|---|---|---|"]
    for number, ring in enumerate(results["together"], 1):
        cells = [f"{v:.2f}" if v is not None else "-" for v in ring.values()]
        lines.append(f"| {number} | {' | '.join(cells)} |")
    before, after = results["load"]
    free, memory = results["available"]
    return "\n".join(
        [
            *lines,
            "",
            f"Load average of {os.cpu_count()} cores: {before:.1f} before, {after:.1f} after;"
            f" {free:.0f} of {memory:.0f} MiB left with all agents.",
        ]
    )


async def run(args: argparse.Namespace, machine: Machine) -> dict[str, Any]:
    """All measurements: the callers who come together call a client that nobody has called."""
    bench = Bench(machine)
    load = os.getloadavg()[0]
    await asyncio.to_thread(machine.start_sip)
    clients = await bench.start(args.clients)
    idle = [Footprint.of(psutil.Process(client.pid), 0).pss_mib for client in clients]
    memory = psutil.virtual_memory()
    together = await bench.together(clients[-1], args.callers)
    calls = await bench.calls(clients[0], args.calls)
    return {
        "idle": idle,
        "calls": [asdict(found) for found in calls],
        "together": [asdict(ring) for ring in together],
        "load": (load, os.getloadavg()[0]),
        "available": (memory.available / 2**20, memory.total / 2**20),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=5, help="agents (at most nine)")
    parser.add_argument("--calls", type=int, default=20, help="to one of them, one by one")
    parser.add_argument("--callers", type=int, default=5, help="to another, a second apart")
    parser.add_argument("--json", type=Path, help="write every figure to this file, too")
    args = parser.parse_args()
    # Ended from outside, everything that was started is stopped all the same.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with Machine() as machine:
        results = asyncio.run(run(args, machine))
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
