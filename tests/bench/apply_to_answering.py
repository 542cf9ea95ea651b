"""How long `kubectl apply` takes to a client that answers: one client after the other, warm.

    python tests/bench/apply_to_answering.py --clients 30

Runs against the platform that KUBECONFIG points at, and takes its clients away again. Prints the
percentiles with the machine's load, as a table or as JSON; it asserts nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

MANIFEST = """\
apiVersion: voicefleet.dev/v1alpha1
kind: VoiceClient
metadata: {{name: {name}, namespace: default}}
spec:
  business: {{name: "Bench {number}", email: bench@clients.example}}
  profession: dentist
  plan: Solo
  billing: {{collection: Invoice, activation: Immediately, onDelete: Now}}
  telephony:
    numbers: [{{name: main, request: {{country: US, areaCode: "{area}"}}}}]
  dns: {{subdomain: {name}}}
"""
AREAS = ("415", "212", "312", "512", "206", "305")


def kubectl(*args: str, stdin: str | None = None) -> None:
    """Run kubectl; its words are shown where it fails."""
    done = subprocess.run(["kubectl", *args], input=stdin, text=True, capture_output=True)
    if done.returncode:
        sys.exit(f"kubectl {' '.join(args)}: {done.stderr}")


def measure(number: int, timeout: int) -> float:
    """Seconds from apply to Answering of one new client."""
    name = f"bench-{number:03d}"
    started = time.monotonic()
    area = AREAS[number % len(AREAS)]
    kubectl("apply", "-f", "-", stdin=MANIFEST.format(name=name, number=number, area=area))
    kubectl("wait", "--for=condition=Answering", f"vc/{name}", f"--timeout={timeout}s")
    return time.monotonic() - started


def main() -> None:
    """Measure, print, clean up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=30)
    parser.add_argument("--timeout", type=int, default=60, help="seconds for one client")
    parser.add_argument("--output", choices=("table", "json"), default="table")
    args = parser.parse_args()
    names = [f"vc/bench-{number:03d}" for number in range(args.clients)]
    load_before = os.getloadavg()[0]
    try:
        seconds = [measure(number, args.timeout) for number in range(args.clients)]
    finally:
        kubectl("delete", *names, "--ignore-not-found", "--timeout=300s")
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    result = {
        "clients": args.clients,
        "p50": round(cuts[49], 2),
        "p95": round(cuts[94], 2),
        "max": round(max(seconds), 2),
        "cores": os.cpu_count(),
        "loadBefore": round(load_before, 2),
        "loadAfter": round(os.getloadavg()[0], 2),
    }
    if args.output == "json":
        print(json.dumps(result))
        return
    print("| clients | p50 (s) | p95 (s) | max (s) | cores | load before | load after |")
    print("|---|---|---|---|---|---|---|")
    print("| " + " | ".join(str(value) for value in result.values()) + " |")


if __name__ == "__main__":
    main()
