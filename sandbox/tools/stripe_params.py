"""Writes stripe/params.json: which parameters each endpoint takes, from Stripe's OpenAPI file.

python sandbox/tools/stripe_params.py SPEC3.JSON [--check]

A parameter that the sandbox uses has its shape there; one that only Stripe knows has null.
Shapes: "string", "integer", "boolean", {"enum": [...]}, {"list": shape}, {"map": shape},
{"object": {name: shape}, "required": [...]}, {"any": [shape, ...]}.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib import resources
from pathlib import Path
from typing import Any

from voicefleet_sandbox.stripe.operations import OPERATIONS

Uses = dict[str, "Uses"]


def parameters(spec: dict[str, Any]) -> dict[str, Any]:
    """Operation -> its parameters by name."""
    table = {}
    for operation, (_, used) in OPERATIONS.items():
        method, path = operation.split(" ")
        entry = spec["paths"][path][method.lower()]
        form = entry.get("requestBody", {}).get("content", {})
        schema = form.get("application/x-www-form-urlencoded", {}).get("schema", {})
        properties = {
            p["name"]: p["schema"] for p in entry.get("parameters", []) if p["in"] == "query"
        } | schema.get("properties", {})
        required = [p["name"] for p in entry.get("parameters", []) if p["in"] == "query"
                    and p.get("required")] + schema.get("required", [])  # fmt: skip
        whole = {"type": "object", "properties": properties, "required": required}
        table[operation] = _shape(whole, _tree([*used.split(), "expand"]))
    return table


def _tree(names: list[str]) -> Uses:
    """`a.b` -> {"a": {"b": {}}}; no children: all of them are used."""
    root: Uses = {}
    for name in names:
        here = root
        for part in name.split("."):
            here = here.setdefault(part, {})
    return root


def _shape(schema: dict[str, Any], used: Uses) -> Any:
    if "anyOf" in schema:
        return {"any": [_shape(each, used) for each in schema["anyOf"]]}
    if "enum" in schema:
        return {"enum": schema["enum"]}
    kind = schema.get("type")
    if kind == "array":
        return {"list": _shape(schema["items"], used)}
    if kind != "object":
        return kind if kind in ("integer", "boolean") else "string"
    if isinstance(schema.get("additionalProperties"), dict):
        return {"map": "string"}
    shape = {
        "object": {
            name: _shape(each, used.get(name, {})) if not used or name in used else None
            for name, each in sorted(schema.get("properties", {}).items())
        }
    }
    if schema.get("required"):
        shape["required"] = sorted(schema["required"])
    return shape


def main() -> int:
    """Write the table, or compare it (exit 1 where it differs)."""
    parser = argparse.ArgumentParser(description="Write stripe/params.json.")
    parser.add_argument("spec", type=Path, help="Stripe's openapi/spec3.json")
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 on difference")
    args = parser.parse_args()
    lines = (
        f"{json.dumps(operation)}: {json.dumps(shape, separators=(',', ':'))}"
        for operation, shape in parameters(json.loads(args.spec.read_text())).items()
    )
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    target = Path(str(resources.files("voicefleet_sandbox.stripe").joinpath("params.json")))
    if args.check:
        return int(target.read_text() != text)
    target.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
