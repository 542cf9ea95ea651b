"""How long the next call waits once a SIP bridge is lost, as a caller beside our edge sees it.

    python tests/bench/failover.py --times 20

LiveKit, two bridges, the edge and the caller are hosts of their own, network namespaces, for which
it needs root. Each failure is made anew each time, and the call is placed at that very moment: no
probe has seen it yet. Prints a table or JSON with the machine's load; it asserts nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.sip_lab import UNATTENDED, UNKNOWN, SipLab

KINDS = {
    "nothing": "nothing has happened",
    "killed": "its process is killed",
    "unplugged": "its cable is pulled",
    "frozen": "its process stands still",
    "refusing": "it answers 503",
}
PROBED = 2.5
"""Seconds after which the edge has found out by itself."""


def fault(lab: SipLab, kind: str) -> AbstractContextManager[None]:
    """What goes wrong, for as long as this lasts."""
    return nullcontext() if kind == "nothing" else getattr(lab, kind)()  # type: ignore[no-any-return]


def measure(lab: SipLab, kind: str, times: int) -> dict[str, object]:
    """The next call's and a later call's seconds until they are answered."""
    at_once, later, lost = [], [], 0
    for _ in range(times):
        lab.until_preferred()
        with fault(lab, kind):
            for taken, wait in ((at_once, 0.0), (later, PROBED)):
                time.sleep(wait)
                with lab.call() as call:
                    if call.wait(15).answered:
                        taken.append(call.after)
                    else:
                        lost += 1
    return {"kind": kind, "times": times, "lost": lost, "next": at_once, "later": later}


def refused(lab: SipLab, number: str, times: int) -> dict[str, object]:
    """Seconds until the carrier is told that nobody takes the call, and with which status."""
    after, statuses = [], set()
    for _ in range(times):
        with lab.call(number) as call:
            call.wait(20)
            after.append(call.after)
            statuses.add(call.final)
    return {"statuses": sorted(map(str, statuses)), "after": after}


def memory(name: str) -> list[float]:
    """PSS in MiB of the lab's processes of that name, with what they have started."""
    mine = [p for p in psutil.Process().children(recursive=True) if p.name() == name]
    return [round(p.memory_full_info().pss / 2**20, 1) for p in mine]


def shown(seconds: list[float]) -> str:
    """p50 and maximum."""
    return f"{statistics.median(seconds):.2f} / {max(seconds):.2f}" if seconds else "none"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=20, help="of each kind")
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS))
    parser.add_argument("--refusals", type=int, default=3, help="of each kind of refused call")
    parser.add_argument("--output", choices=("table", "json"), default="table")
    args = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, SipLab(Path(folder)) as lab:
        lost = [measure(lab, kind, args.times) for kind in args.kinds]
        back = {
            name: refused(lab, number, args.refusals)
            for name, number in (("no agent", UNATTENDED), ("no such number", UNKNOWN))
            if args.refusals
        }
        used = {"bridges": memory("livekit-sip"), "edge": memory("kamailio")}
    load_after = os.getloadavg()[0]
    if args.output == "json":
        about = {"load": [load, load_after], "memoryMiB": used, "refused": back}
        print(json.dumps({"cores": os.cpu_count(), **about, "lost": lost}))
        return
    print(f"{os.cpu_count()} cores, load {load:.1f} before, {load_after:.1f} after; p50 / max, s\n")
    print("| the preferred bridge | calls | not answered | the next call | one 2.5 s later |")
    print("|---|---|---|---|---|")
    for row in lost:
        print(
            f"| {KINDS[str(row['kind'])]} | {2 * args.times} | {row['lost']} |"
            f" {shown(row['next'])} | {shown(row['later'])} |"  # type: ignore[arg-type]
        )
    for name, row in back.items():
        statuses = ", ".join(row["statuses"])  # type: ignore[arg-type]
        print(f"\n{name}: {statuses} after {shown(row['after'])} s")  # type: ignore[arg-type]
    print(f"\nmemory (PSS, MiB): bridges {used['bridges']}, edge {used['edge']}")


if __name__ == "__main__":
    main()
