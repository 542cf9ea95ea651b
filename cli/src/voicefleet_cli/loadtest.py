"""`voicefleet loadtest`: as many callers at once as asked for, to a client of this machine's own
platform, and whether they are served as well as one alone."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from statistics import median

from voicefleet_cli.console import Exit, Output, fail, out, print_json, step, table
from voicefleet_cli.load import SETTLE, Figures, Load, percentile
from voicefleet_infra.cluster import Cluster
from voicefleet_infra.platform import Platform

MOST_CALLS = 50
MOST_SECONDS = 300


def run(
    platform: Platform, client: str, namespace: str, calls: int, seconds: float, output: Output
) -> Exit:
    """One caller, then all; `Exit.MISSED` where they are not served as well."""
    number = _number(platform, client, namespace)
    try:
        figures = asyncio.run(_measure(platform, number, calls, seconds))
    except KeyboardInterrupt:
        fail("interrupted; all calls have been hung up")
    one, most = figures[0], figures[-1]
    if output is Output.JSON:
        print_json([asdict(each) | {"complaints": each.complaints(one)} for each in figures])
    else:
        _show(figures)
    if one.refused:
        return Exit.NOT_ANSWERED
    return Exit.MISSED if most.complaints(one) else Exit.OK


def _number(platform: Platform, client: str, namespace: str) -> str:
    for found in Cluster(platform).clients():
        meta = found["metadata"]
        if (meta["name"], meta["namespace"]) == (client, namespace):
            number = found.get("status", {}).get("primaryNumber")
            if not number:
                fail(f"{client} has no number yet; see: kubectl describe vc {client}")
            return str(number)
    fail(f"there is no client {client} in namespace {namespace}; see: kubectl get vc -A")


async def _measure(platform: Platform, number: str, calls: int, seconds: float) -> list[Figures]:
    # Never anything but this platform's own SIP bridge: a load test of others is an attack.
    load = Load(platform.address, platform.port("sip"))
    found: list[Figures] = []
    try:
        for more in filter(None, (1, calls - 1)):
            with step(f"{len(load.phones) + more} at once to {number}"):
                await load.add([number] * more)
                await asyncio.sleep(SETTLE)
                found.append(await load.measure(seconds))
            if found[-1].refused:
                break
    finally:
        await load.end()
    return found


def _show(figures: list[Figures]) -> None:
    one = figures[0]
    rows = table("Calls", "Answered after", "Set up", "Lost", "Late", "Jitter", "Answers after",
                 "p95", "Verdict")  # fmt: skip
    for each in figures:
        rows.add_row(
            str(each.calls),
            _seconds(max(each.answered_after, default=None)),
            "-" if each.rate is None else f"{each.rate:.1f}/s",
            f"{each.lost:.2%}",
            f"{each.late:.2%}",
            f"{1000 * each.jitter:.1f} ms",
            _seconds(median(each.answers) if each.answers else None),
            _seconds(percentile(each.answers, 95)),
            "; ".join(each.complaints(one)) or "well",
        )
    out.print(rows)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"
