"""How many calls a machine carries before callers hear it, layer by layer, and what one costs.

    python tests/bench/calls.py --layers edge,ours,stock,models,talks --seconds 15

Telephones (`voicefleet_cli.load`) call by SIP and send and get sound all the time; every layer is
climbed step by step until the first that is not carried well (`Figures.complaints`: a call refused
or dropped, 1 % of packets lost or later than a telephone's buffer, 1 % of a steady sound missing, a
question unanswered, or answers 0.25 s later than with one call). That step is shown, too.

    edge    LiveKit's SIP bridge and server alone: two telephones in a room hear each other's tone
    ours    with our agent, on gateways that answer at once
    stock   with LiveKit's own pipeline (`stock/agent.py`) on the same gateways
    models  our agent, with the machine's real models
    talks   dialogues alone, without sound (`talks.py`)

Prints tables; it asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import math
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path
from statistics import median
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import talks
from bench.density import processor_seconds
from bench.machine import Machine, quiet
from bench.stock.agent import NAME as STOCK
from voicefleet_agent import native
from voicefleet_cli.load import SETTLE, Figures, Load, percentile
from voicefleet_cli.telephone import rtp
from voicefleet_cli.telephone.signalling import RATE

STEPS = (1, 2, 3, 5, 8, 12, 16, 24, 32)
TALKS = (100, 200, 400, 800, 1600, 3200)
TALK_SECONDS = 6.0
CLIENT = "dentist"
WARM = 12
"""Processes that LiveKit's pipeline keeps ready, and the most calls that it is given."""
NUMBERS = [f"+1500556{number:04d}" for number in range(max(STEPS))]
STOCK_NUMBER = "+15005550099"
OTHERS = 0.2
"""Cores that anybody else may take; a step that is not carried well beside more is done again."""
WANTED = 100
"""Calls that the sizing is for."""


@dataclass(frozen=True, slots=True)
class Step:
    """One layer with so many calls."""

    layer: str
    calls: int
    figures: Figures
    cores: Mapping[str, float]
    """Processor time a second, by part of the platform; the telephones' own is `telephones`."""
    others: float
    """Cores that anybody else's processes took."""
    memory: Mapping[str, float]
    """MiB (PSS) that a call has added, by part."""
    load: float
    complaints: list[str]

    def cost(self, *parts: str) -> float:
        """Share of a core that a call took in these parts, or in all but the telephones."""
        all_ = {part: share for part, share in self.cores.items() if part != "telephones"}
        return sum(all_[part] for part in parts or all_ if part in all_) / self.calls


class Meter:
    """Processor time and memory of the platform's parts."""

    def __init__(self, machine: Machine) -> None:
        self._parts = {part: psutil.Process(pid) for part, pid in machine.pids.items()}
        self._idle = self._memory()
        self.start()

    def start(self) -> None:
        """The window begins."""
        self._begun, self._spent, self._busy = time.monotonic(), self._seconds(), _busy()

    def cores(self) -> tuple[dict[str, float], float]:
        """Of each part since `start`, and of everybody else."""
        passed = time.monotonic() - self._begun
        parts = {
            part: (seconds - self._spent[part]) / passed
            for part, seconds in self._seconds().items()
        }
        return parts, max(0.0, (_busy() - self._busy) / passed - sum(parts.values()))

    def memory(self, calls: int) -> dict[str, float]:
        """MiB a call that have come since the beginning."""
        return {part: (mib - self._idle[part]) / calls for part, mib in self._memory().items()}

    def _seconds(self) -> dict[str, float]:
        found = {part: processor_seconds(process) for part, process in self._parts.items()}
        return found | {"telephones": time.process_time()}

    def _memory(self) -> dict[str, float]:
        return {
            part: sum(
                each.memory_full_info().pss for each in [process, *process.children(recursive=True)]
            )
            / 2**20
            for part, process in self._parts.items()
        }


def _busy() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait)


async def climb(
    machine: Machine,
    layer: str,
    load: Load,
    seconds: float,
    numbers: Iterator[str],
    *,
    legs: int = 1,
    most: int = max(STEPS),
) -> list[Step]:
    """Until the first step that is not carried well; `numbers` are called one after the other,
    `legs` of them in a call."""
    await quiet()
    meter = Meter(machine)
    found: list[Step] = []
    try:
        for calls in (step for step in STEPS if step <= most):
            more = calls * legs - len(load.phones)
            await load.add(list(itertools.islice(numbers, more)))
            for again in (True, False):
                await asyncio.sleep(SETTLE)
                meter.start()
                figures = await load.measure(seconds)
                cores, others = meter.cores()
                complaints = figures.complaints(found[0].figures if found else figures)
                if not (again and complaints and others > OTHERS):
                    break
                print(f"  {layer}, {calls}: others took {others:.2f} cores; again", file=sys.stderr)
            memory, average = meter.memory(calls), os.getloadavg()[0]
            found.append(Step(layer, calls, figures, cores, others, memory, average, complaints))
            print(f"  {layer}, {calls}: {'; '.join(complaints) or 'well'}", file=sys.stderr)
            if complaints:
                break
    finally:
        await load.end()
    return found


def tone() -> bytes:
    """20 ms of 400 Hz: one packet, and the next goes on where it ended."""
    turn = 2 * math.pi * 400 / RATE
    return rtp.coded(round(8000 * math.sin(turn * at)) for at in range(rtp.SAMPLES))[0]


async def without_models(layers: list[str], seconds: float, machine: Machine) -> list[Step]:
    """The layers for which gateways stand in."""
    await asyncio.to_thread(machine.start_sip)
    address, port = machine.platform.address, machine.platform.port("sip")
    found: list[Step] = []
    if "edge" in layers:
        await machine.pair(NUMBERS)
        pairs = Load(address, port, background=tone(), asking=False, steady=True)
        twice = (number for number in NUMBERS for _ in range(2))
        found += await climb(machine, "edge", pairs, seconds, twice, legs=2)
    if "ours" in layers:
        client = await machine.start_ours(CLIENT)
        callers = Load(address, port, steady=True)
        found += await climb(machine, "ours", callers, seconds, repeat(client.number))
    if "stock" in layers:
        await asyncio.to_thread(machine.start_stock, WARM)
        # The room's name tells it whose prompt to take.
        await machine.route(STOCK, STOCK_NUMBER, f"{CLIENT}--")
        callers = Load(address, port, steady=True)
        numbers = repeat(STOCK_NUMBER)
        found += await climb(machine, "stock", callers, seconds, numbers, most=WARM)
    return found


async def with_models(seconds: float, machine: Machine) -> list[Step]:
    """The whole."""
    await asyncio.to_thread(machine.start_sip)
    client = await machine.start_ours(CLIENT)
    callers = Load(machine.platform.address, machine.platform.port("sip"))
    return await climb(machine, "models", callers, seconds, repeat(client.number))


async def without_sound() -> list[talks.Talks]:
    """Dialogues alone."""
    await quiet()
    found: list[talks.Talks] = []
    with tempfile.TemporaryDirectory(prefix="voicefleet-talks-") as folder:
        for conversations in TALKS:
            here = Path(folder) / str(conversations)
            found.append(await talks.measure(conversations, TALK_SECONDS, here))
            if found[-1].complaints():
                break
    return found


def table(steps: list[Step], spoken: list[talks.Talks]) -> str:
    """Markdown."""
    lines = [
        "| layer | calls | answered within, s | set up, calls/s | lost or late | jitter, ms | sound"
        " missing | answers after, p50/p95 ms | a call, of one core | a call, MiB | machine busy"
        " (others) | verdict |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for step in steps:
        f = step.figures
        busy = (sum(step.cores.values()) + step.others) / (os.cpu_count() or 1)
        cells = (
            step.layer,
            step.calls,
            _number(max(f.answered_after, default=None), ".2f"),
            _number(f.rate, ".1f"),
            f"{f.lost + f.late:.2%}",
            f"{1000 * f.jitter:.1f}",
            "-" if f.broken is None else f"{f.broken:.2%}",
            _milliseconds(f.answers),
            f"{step.cost():.1%}",
            f"{sum(step.memory.values()):.0f}",
            f"{busy:.0%} ({step.others / (os.cpu_count() or 1):.0%})",
            "; ".join(step.complaints) or "well",
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    if spoken:
        lines += [
            "",
            "| conversations | turns a second | answer after, p95 ms | of one core | verdict |",
            "|---|---|---|---|---|",
        ]
        for talk in spoken:
            verdict = "; ".join(talk.complaints()) or "well"
            lines.append(
                f"| {talk.conversations} | {talk.turns / talk.seconds:.0f} |"
                f" {1000 * talk.late:.1f} | {talk.core:.0%} | {verdict} |"
            )
    return "\n".join([*lines, "", *sizing(steps)])


def sizing(steps: list[Step]) -> list[str]:
    """What follows from the most calls that each layer carries well."""
    lines = ["| layer | carries well | a call, of one core, by part | 100 calls, cores (derived) |",
             "|---|---|---|---|"]  # fmt: skip
    for layer in dict.fromkeys(step.layer for step in steps):
        well = [step for step in steps if step.layer == layer and not step.complaints]
        if not well:
            continue
        most = well[-1]
        busy = (sum(most.cores.values()) + most.others) / (os.cpu_count() or 1)
        parts = ", ".join(
            f"{part} {share / most.calls:.1%}"
            for part, share in sorted(most.cores.items(), key=lambda item: -item[1])
            if share / most.calls >= 0.001 and part != "telephones"
        )
        cores = WANTED * most.cost()
        if any(step.complaints for step in steps if step.layer == layer):
            # As busy as this machine was when it still carried them well, and no busier.
            carries, needed = str(most.calls), f"{cores / busy:.0f} at {busy:.0%} busy"
        else:
            carries, needed = f"{most.calls} and more", f"more than {cores:.0f}"
        lines.append(f"| {layer} | {carries} | {parts} | {needed} |")
    return lines


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _milliseconds(seconds: list[float]) -> str:
    if not seconds:
        return "-"
    return f"{1000 * median(seconds):.0f}/{1000 * (percentile(seconds, 95) or 0):.0f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", default="edge,ours,stock,models,talks")
    parser.add_argument("--seconds", type=float, default=15, help="measured at each step")
    parser.add_argument("--json", type=Path, help="write every figure to this file, too")
    args = parser.parse_args()
    # Ended from outside, everything that was started is stopped all the same.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    layers = args.layers.split(",")
    before = os.getloadavg()[0]
    steps: list[Step] = []
    if {"edge", "ours", "stock"} & {*layers}:
        with Machine(instant=True) as machine:
            steps += asyncio.run(without_models(layers, args.seconds, machine))
    if "models" in layers:
        with Machine() as machine:
            steps += asyncio.run(with_models(args.seconds, machine))
    spoken = asyncio.run(without_sound()) if "talks" in layers else []
    native.let_go()
    if args.json:
        figures: dict[str, Any] = {
            "cores": os.cpu_count(),
            "load": (before, os.getloadavg()[0]),
            "steps": [asdict(step) for step in steps],
            "talks": [asdict(talk) for talk in spoken],
        }
        args.json.write_text(json.dumps(figures, indent=1) + "\n")
    print(table(steps, spoken))
    print(f"\nLoad average of {os.cpu_count()} cores: {before:.1f} before, {os.getloadavg()[0]:.1f}"
          " after.")  # fmt: skip


if __name__ == "__main__":
    main()
