"""What a client's agent takes of the machine, and whether callers who come at the same moment are
all answered.

    python tests/bench/density.py --clients 3 --calls 20 --callers 5

Agents run as their pods run them, and are called by SIP with the corpus's speech. Memory is the
proportional set size (PSS) of an agent's processes: pages that several share count in parts.
Processor time is that of all processes which a call keeps busy, the caller's own not counted.
Prints tables; it asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
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
from voicefleet_agent import native
from voicefleet_cli.telephone.signalling import NotAnswered
from voicefleet_cli.telephone.sip import SipLine

TURNS = 2
"""That a caller says in each of the calls."""
SETTLE = 60.0
"""Seconds at most, until calls that are over have no process."""
PATIENCE = 10.0
"""Seconds until a caller who is answered gives up hearing anything."""
SHOWN = (0, 1, 5, 10, 20)


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
        self._began = time.monotonic()

    def note(self, words: str) -> None:
        """For whoever waits."""
        print(f"  {time.monotonic() - self._began:4.0f} s  {words}", file=sys.stderr)

    async def start(self, count: int) -> list[Client]:
        """So many clients, each warm."""
        found = []
        for name in list(corpus.clients())[:count]:
            found.append(await self._machine.start_ours(name))
            self.note(f"{name} is warm")
        return found

    async def line(self, client: Client, noise: Any) -> SipLine:
        """A call to the client, answered."""
        line = SipLine(noise)
        platform = self._machine.platform
        await line.open(platform.address, platform.port("sip"), client.number, "+15005550006")
        return line

    async def calls(self, client: Client, count: int) -> dict[str, Any]:
        """One after the other: memory in and after each, processor time of all of them."""
        name = client.agent.removeprefix("bench-")
        said = next(call for call in corpus.calls() if call.client == name)
        agent = psutil.Process(client.pid)
        idle = Footprint.of(agent, 0)
        between, during = [idle], []
        used: dict[str, float] = dict.fromkeys(self._machine.pids, 0.0)
        seconds = 0.0
        for number in range(1, count + 1):
            before, began = self._processor(), time.monotonic()
            line = await self.line(client, corpus.noise(said))
            await talk(line, Ours(line, client.portal), said, TURNS)
            during.append(Footprint.of(agent, number))
            await line.hang_up()
            seconds += time.monotonic() - began
            await settled(agent, idle.processes)
            for part, spent in self._processor().items():
                used[part] += spent - before[part]
            between.append(Footprint.of(agent, number))
            self.note(
                f"{number} calls: {during[-1].pss_mib:.0f} MiB in it, {between[-1].pss_mib:.0f}"
                " after it"
            )
        return {
            "between": [asdict(found) for found in between],
            "during": [asdict(found) for found in during],
            "cores": {part: spent / seconds for part, spent in used.items()},
        }

    def _processor(self) -> Mapping[str, float]:
        return {
            part: processor_seconds(psutil.Process(pid)) for part, pid in self._machine.pids.items()
        }

    async def together(self, client: Client, count: int) -> dict[str, Any]:
        """Callers one second apart, none of whom hangs up before all have rung and been heard."""
        agent = psutil.Process(client.pid)
        idle = Footprint.of(agent, 0)
        here = asyncio.Barrier(count + 1)

        async def caller(number: int) -> Ring:
            await asyncio.sleep(number)
            try:
                line = await self.line(client, corpus.noise(corpus.calls()[0]))
            except NotAnswered as error:
                self.note(f"caller {number + 1}: {error}")
                await here.wait()
                await here.wait()
                return Ring(None, None)
            answered = line.now
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    while line.last_loud is None:  # noqa: ASYNC110
                        await asyncio.sleep(0.005)
            heard = line.now if line.last_loud is not None else None
            await here.wait()
            await here.wait()
            await line.hang_up()
            return Ring(answered, heard)

        callers = [asyncio.create_task(caller(number)) for number in range(count)]
        await here.wait()
        during = Footprint.of(agent, count)
        await here.wait()
        rings = await asyncio.gather(*callers)
        await settled(agent, idle.processes)
        self.note(f"{count} callers: {during.pss_mib:.0f} MiB")
        return {"rings": [asdict(ring) for ring in rings], "during": asdict(during)}


def processor_seconds(process: psutil.Process) -> float:
    """Processor time of a process and all it has started, those that have ended included."""
    total = 0.0
    for each in [process, *process.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            total += sum(each.cpu_times()[:4])
    return total


async def settled(agent: psutil.Process, processes: int) -> None:
    """Wait until calls that are over have no process any more; raises TimeoutError."""
    async with asyncio.timeout(SETTLE):
        while len(agent.children(recursive=True)) >= processes:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


def table(results: dict[str, Any]) -> str:
    """Markdown."""
    idle, calls, together = results["idle"], results["calls"], results["together"]
    cores = {part: share for part, share in calls["cores"].items() if share >= 0.001}
    all_cores = sum(cores.values())
    free, memory = results["available"]
    before, after = results["load"]
    lines = [
        f"{len(idle)} clients, idle: {sum(idle):.0f} MiB,"
        f" {min(idle):.0f} to {max(idle):.0f} MiB each.",
        "",
        "| calls | PSS, MiB | in the last of them | processes | threads | descriptors |",
        "|---|---|---|---|---|---|",
    ]
    for found in calls["between"]:
        number = found["calls"]
        if number in SHOWN or number == len(calls["during"]):
            during = f"{calls['during'][number - 1]['pss_mib']:.0f}" if number else "-"
            cells = (number, f"{found['pss_mib']:.0f}", during, found["processes"],
                     found["threads"], found["descriptors"])  # fmt: skip
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    lines += ["", "| caller | answered after, s | first sound after, s |", "|---|---|---|"]
    for number, ring in enumerate(together["rings"], 1):
        cells = [f"{v:.2f}" if v is not None else "-" for v in ring.values()]
        lines.append(f"| {number} | {' | '.join(cells)} |")
    lines += ["", "| while one call lasts | % of a core |", "|---|---|"]
    lines += [f"| {part} | {100 * share:.1f} |" for part, share in cores.items()]
    lines += [
        f"| all | {100 * all_cores:.1f} |",
        "",
        f"With {len(together['rings'])} calls at once: {together['during']['pss_mib']:.0f} MiB."
        f" {os.cpu_count()} cores are full with {(os.cpu_count() or 1) / all_cores:.1f} calls like"
        " these (derived).",
        f"Load average of {os.cpu_count()} cores: {before:.1f} before, {after:.1f} after;"
        f" {free:.0f} of {memory:.0f} MiB left with all agents.",
    ]
    return "\n".join(lines)


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
        "calls": calls,
        "together": together,
        "load": (load, os.getloadavg()[0]),
        "available": (memory.available / 2**20, memory.total / 2**20),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=3, help="agents (at most nine)")
    parser.add_argument("--calls", type=int, default=20, help="to one of them, one by one")
    parser.add_argument("--callers", type=int, default=5, help="to another, a second apart")
    parser.add_argument("--json", type=Path, help="write every figure to this file, too")
    args = parser.parse_args()
    # Ended from outside, everything that was started is stopped all the same.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with Machine() as machine:
        results = asyncio.run(run(args, machine))
    native.let_go()
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
