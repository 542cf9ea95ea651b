"""How long a caller waits for an answer, as the caller hears it: our agent, and LiveKit's own.

    python tests/bench/voice.py --turns 40 --calls 1,3

A caller robot says the corpus (`corpus/calls.yaml`) to each agent in turn, in LiveKit rooms with
telephone sound, and reads the gap between the end of its words and the first sound of the answer
from the recording. Fillers are no answers. Both agents use the same model gateways, which run for
the bench. Prints a table (or JSON); it asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import corpus, right
from bench.agents import Ours, Stock
from bench.line import RoomLine, caller_token, dispatch
from bench.machine import Client, Machine, quiet
from bench.robot import Spoken, talk
from bench.stock.agent import NAME as STOCK
from voicefleet_agent import native
from voicefleet_api.calls import CallRecord
from voicefleet_cli.telephone.line import Line
from voicefleet_cli.telephone.sip import SipLine
from voicefleet_cli.telephone.sound import Samples, save

GOALS = {"closed": "p50 < 500, p95 < 800", "slot": "p50 < 900", "open": "half of the stock one"}
RECORD_SECONDS = 15.0
"""For the call record to come after the caller has hung up."""


@dataclass
class Figures:
    """Everything measured of one agent with one number of calls at a time."""

    agent: str
    calls: int
    load_before: float
    load_after: float = 0.0
    turns: list[dict[str, Any]] = field(default_factory=list)
    stages: list[dict[str, float]] = field(default_factory=list)

    def add(self, call: corpus.Call, spoken: Spoken, right: bool | None) -> None:
        """A turn that was said; None: nobody knows whether the answer was right."""
        heard = asdict(spoken.heard)
        self.turns.append(
            {
                "id": spoken.turn.id,
                "label": spoken.turn.label,
                "voice": call.voice,
                "noise": call.noise,
                "reply": spoken.reply,
                "right": right,
                **heard,
            }
        )


def percentiles(seconds: Sequence[float | None]) -> str:
    """p50/p95/p99 in ms; a dash where there is nothing."""
    known = [value for value in seconds if value is not None]
    if not known:
        return "-"
    return "/".join(f"{1000 * float(np.percentile(known, p)):.0f}" for p in (50, 95, 99))


def share(values: Sequence[bool | None]) -> str:
    """How many of those that are known are true."""
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.0%} of {len(known)}" if known else "-"


def table(all_figures: Sequence[Figures], labels: Sequence[str]) -> str:
    """Markdown."""
    lines = [
        "| agent | calls | label | turns | answer, p50/p95/p99 ms | any sound | no answer"
        " | false cut-offs | answered rightly | goal |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for figures in all_figures:
        for label in (*labels, "all"):
            turns = [
                t for t in figures.turns if t["label"] in labels and label in (t["label"], "all")
            ]
            if turns:
                cells = (
                    figures.agent,
                    figures.calls,
                    label,
                    len(turns),
                    percentiles([t["answer"] for t in turns]),
                    percentiles([t["first_sound"] for t in turns]),
                    share([t["answer"] is None for t in turns]),
                    share([t["cut_off"] for t in turns]),
                    share([t["right"] for t in turns]),
                    GOALS.get(label, "cut-offs < 5 %, rightly ≥ 90 %"),
                )
                lines.append("| " + " | ".join(map(str, cells)) + " |")
    lines += [
        "",
        "| agent | calls | stage, by its own record | p50/p95/p99 ms |",
        "|---|---|---|---|",
    ]
    for figures in all_figures:
        for stage in ("endOfTurn", "stt", "llm", "tts", "total"):
            known = [s[stage] / 1000 for s in figures.stages if s.get(stage) is not None]
            lines.append(f"| {figures.agent} | {figures.calls} | {stage} | {percentiles(known)} |")
    loads = "; ".join(
        f"{f.agent} with {f.calls}: {f.load_before:.1f} before, {f.load_after:.1f} after"
        for f in all_figures
    )
    return "\n".join([*lines, "", f"Load average of {os.cpu_count()} cores: {loads}."])


class Bench:
    """Calls agents and keeps what was measured."""

    def __init__(self, machine: Machine, folder: Path | None) -> None:
        self.machine = machine
        self.results: list[Figures] = []
        self._folder = folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._clients: dict[str, Client] = {}

    async def measure(
        self, agent: str, calls: Sequence[corpus.Call], together: int, limit: int
    ) -> None:
        """Call with all of `calls`, so many at a time, until `limit` turns are begun."""
        if agent == STOCK:
            one = self._stock
        else:
            one = self._ours
            await self._start(calls, together, limit)
        await quiet()
        figures = Figures(agent, together, os.getloadavg()[0])
        waiting = list(calls)
        busy: set[str] = set()
        left = limit

        async def caller() -> None:
            nonlocal left
            # One call at a time to each client: which call an event belongs to is plain then.
            while left > 0 and (call := next((c for c in waiting if c.client not in busy), None)):
                waiting.remove(call)
                busy.add(call.client)
                turns = min(left, len(call.turns))
                left -= turns
                await one(call, turns, figures)
                busy.remove(call.client)
                print(f"  {agent} {call.id}: {len(figures.turns)} turns", file=sys.stderr)

        await asyncio.gather(*(caller() for _ in range(together)))
        figures.load_after = os.getloadavg()[0]
        self.results.append(figures)

    async def _start(self, calls: Sequence[corpus.Call], together: int, limit: int) -> None:
        """All that will be called, before a call is under way: a start takes time from calls."""
        turns = 0
        for place, call in enumerate(calls):
            if place >= together and turns >= limit:
                break
            turns += len(call.turns)
            if call.client not in self._clients:
                self._clients[call.client] = await self.machine.start_ours(call.client)

    async def _line(self, call: corpus.Call, agent: str) -> RoomLine:
        line = RoomLine(corpus.noise(call))
        room = f"{call.client}--{call.id}-{os.urandom(3).hex()}"
        await line.open(self.machine.url, caller_token(room))
        await dispatch(self.machine.url, room, agent)
        return line

    async def _dial(self, call: corpus.Call, client: Client) -> Line:
        line = SipLine(corpus.noise(call))
        platform = self.machine.platform
        await line.open(platform.address, platform.port("sip"), client.number, "+15005550006")
        return line

    async def _stock(self, call: corpus.Call, turns: int, figures: Figures) -> None:
        line = await self._line(call, STOCK)
        agent = Stock(line)
        spoken = await talk(line, agent, call, turns)
        await line.hang_up()
        self._keep(call, STOCK, line.recordings())
        figures.stages += agent.stages()
        for one in spoken:
            facts = one.turn.right.get("spoken")
            figures.add(call, one, right.spoken(one.reply, facts) if facts else None)

    async def _ours(self, call: corpus.Call, turns: int, figures: Figures) -> None:
        client = self._clients[call.client]
        line = await (
            self._dial(call, client) if self.machine.telephone else self._line(call, client.agent)
        )
        agent = Ours(line, client.portal)
        spoken = await talk(line, agent, call, turns)
        await line.hang_up()
        self._keep(call, client.agent, line.recordings())
        record = await self._record(client, agent)
        if record and self._folder is not None:
            kept = self._folder / f"{client.agent}-{call.id}.json"
            kept.write_text(record.model_dump_json(by_alias=True, indent=1, exclude_none=True))
        for one in spoken:
            ok = record and right.answered_rightly(
                one.turn, record, one.reply, moved_on=one.moved_on
            )
            figures.add(call, one, ok)
        if record:
            latencies = [turn.latency for turn in record.transcript if turn.latency]
            figures.stages += [latency.model_dump(by_alias=True) for latency in latencies]

    async def _record(self, client: Client, agent: Ours) -> CallRecord | None:
        try:
            async with asyncio.timeout(RECORD_SECONDS):
                while agent.call not in client.portal.records:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        except TimeoutError:
            return None
        return client.portal.records[agent.call]

    def _keep(self, call: corpus.Call, agent: str, both: tuple[Samples, Samples]) -> None:
        """Both directions as the two channels of a WAV file."""
        if self._folder is None:
            return
        save(self._folder / f"{agent}-{call.id}.wav", *both)


def mixed_clients() -> list[corpus.Call]:
    """The corpus, each client's first call before any second one."""
    return sorted(corpus.calls(), key=lambda call: int(call.id.rpartition("-")[2]))


async def run(args: argparse.Namespace, machine: Machine) -> list[Figures]:
    """All measurements."""
    bench = Bench(machine, args.record)
    counts = [int(count) for count in args.calls.split(",")]
    if args.sip:
        await asyncio.to_thread(machine.start_sip)
    if not args.ours_only:
        await asyncio.to_thread(machine.start_stock, max(counts))
    for count in counts:
        if not args.stock_only:
            await bench.measure("ours", mixed_clients(), count, args.turns)
        if not args.ours_only:
            await bench.measure(STOCK, mixed_clients(), count, args.turns)
    return bench.results


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=1000, help="how many turns at most, each time")
    parser.add_argument("--calls", default="1,3", help="calls at the same time: 1,3")
    parser.add_argument("--labels", default=",".join(GOALS), help="which turns count")
    parser.add_argument("--ours-only", action="store_true", help="without LiveKit's own pipeline")
    parser.add_argument("--stock-only", action="store_true", help="without our agent")
    parser.add_argument("--sip", action="store_true", help="call ours by telephone, not in a room")
    parser.add_argument(
        "--record", type=Path, help="folder for the sound of each call, and our record of it"
    )
    parser.add_argument("--json", type=Path, help="write every turn's figures to this file, too")
    args = parser.parse_args()
    # Ended from outside, everything that was started is stopped all the same.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with Machine() as machine:
        results = asyncio.run(run(args, machine))
    native.let_go()
    if args.json:
        args.json.write_text(json.dumps([asdict(figures) for figures in results], indent=1) + "\n")
    print(table(results, args.labels.split(",")))


if __name__ == "__main__":
    main()
