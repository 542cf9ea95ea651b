"""`voicefleet plan`: what applying a manifest would do, before it is done."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from voicefleet_api.base import problems
from voicefleet_cli.console import Exit, Output, fail, out, print_json, table
from voicefleet_infra.cluster import kubectl_path
from voicefleet_operator.planning.desired import Unmet
from voicefleet_operator.preview import Preview, preview

_PLURALS = {
    "VoiceClient": "voiceclients.voicefleet.dev",
    "Receptionist": "receptionists.voicefleet.dev",
    "Fleet": "fleets.voicefleet.dev",
}


def read(file: Path) -> list[dict[str, Any]]:
    """The documents of a manifest."""
    text = sys.stdin.read() if str(file) == "-" else file.read_text()
    try:
        documents = [doc for doc in yaml.safe_load_all(text) if doc]
    except yaml.YAMLError as error:
        fail(f"{file} is not YAML: {error}")
    for doc in documents:
        if not isinstance(doc, dict) or "kind" not in doc or "name" not in doc.get("metadata", {}):
            fail(f"{file} holds something without kind or metadata.name")
    return documents


def live(kubeconfig: Path | None, kind: str, ns: str, name: str) -> dict[str, Any] | None:
    """The object as the cluster has it; None where it has none."""
    command = [kubectl_path(), "get", _PLURALS[kind], name, "-o", "json", "--ignore-not-found"]
    command += [f"--kubeconfig={kubeconfig}"] if kubeconfig else []
    command += [f"--namespace={ns}"] if ns else []
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        fail(f"asking the cluster: {done.stderr.strip()}", Exit.NOT_RUNNING)
    found: dict[str, Any] | None = json.loads(done.stdout) if done.stdout.strip() else None
    return found


def show(kubeconfig: Path | None, file: Path, namespace: str, output: Output) -> Exit:
    """Print the plan; `Exit.CHANGES` where there is something to do."""

    lookup = partial(live, kubeconfig)
    try:
        previews = preview(read(file), lookup, namespace)
    except Unmet as unmet:
        fail(f"{unmet.reason}: {unmet.message}")
    except ValidationError as error:
        fail(f"{file} is not valid: {problems(error)}")
    except OSError as error:
        fail(str(error))
    if output is Output.JSON:
        print_json([_plain(item) for item in previews])
    else:
        for item in previews:
            _print(item)
    return Exit.CHANGES if any(item.actions for item in previews) else Exit.OK


def _plain(item: Preview) -> dict[str, Any]:
    return {
        "namespace": item.namespace,
        "name": item.name,
        "exists": item.exists,
        "actions": [
            {
                "action": action.kind,
                "target": action.target,
                "reason": action.reason,
                "monthlyCostMinor": action.cost_minor,
                "monthlyRevenueMinor": action.revenue_minor,
                "reversible": action.reversible,
                "after": list(action.after),
            }
            for action in item.actions
        ],
        "monthlyCostMinor": item.plan.cost_minor,
        "monthlyRevenueMinor": item.plan.revenue_minor,
    }


def _print(item: Preview) -> None:
    title = f"{item.namespace}/{item.name}"
    if not item.actions:
        out.print(f"{title}: nothing to do")
        return
    rows = table("Action", "Target", "Why", "A month", title=f"[bold]{title}[/bold]")
    for action in item.actions:
        cost = f"{action.cost_minor / 100:+.2f}" if action.cost_minor else ""
        final = "" if action.reversible else " [yellow](cannot be undone)[/yellow]"
        rows.add_row(action.kind, action.target, action.reason + final, cost)
    out.print(rows)
    out.print(
        f"Vendors' bill: {item.plan.cost_minor / 100:+.2f} a month;"
        f" the client pays: {item.plan.revenue_minor / 100:+.2f} a month\n"
    )
