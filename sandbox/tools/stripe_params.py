"""Writes stripe/params.json: which parameters each endpoint takes, from Stripe's OpenAPI file.

python sandbox/tools/stripe_params.py SPEC3.JSON [--check]
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib import resources
from pathlib import Path

from voicefleet_sandbox.stripe.api import OPERATIONS


def parameters(spec: dict) -> dict[str, list[str]]:
    """Operation -> names of its query and form parameters, sorted."""
    table = {}
    for operation in OPERATIONS:
        method, path = operation.split(" ")
        entry = spec["paths"][path][method.lower()]
        names = {p["name"] for p in entry.get("parameters", []) if p["in"] == "query"}
        form = entry.get("requestBody", {}).get("content", {})
        schema = form.get("application/x-www-form-urlencoded", {}).get("schema", {})
        table[operation] = sorted(names | set(schema.get("properties", {})))
    return table


def main() -> int:
    """Write the table, or compare it (exit 1 where it differs)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("spec", type=Path)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    text = json.dumps(parameters(json.loads(args.spec.read_text())), indent=1) + "\n"
    target = Path(str(resources.files("voicefleet_sandbox.stripe").joinpath("params.json")))
    if args.check:
        return int(target.read_text() != text)
    target.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
