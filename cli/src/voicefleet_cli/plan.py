"""`voicefleet plan`: what applying a manifest would do, before it is done."""

from __future__ import annotations

import html
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from voicefleet_api.base import problems
from voicefleet_cli.console import Exit, fail, out, print_json, table
from voicefleet_infra.cluster import kubectl_path
from voicefleet_operator.planning.desired import Unmet
from voicefleet_operator.planning.plan import Action
from voicefleet_operator.preview import Change, Preview, preview

_PLURALS = {
    "VoiceClient": "voiceclients.voicefleet.dev",
    "Receptionist": "receptionists.voicefleet.dev",
    "Fleet": "fleets.voicefleet.dev",
}


class PlanForm(StrEnum):
    """Forms of a plan."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"


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


def show(
    kubeconfig: Path | None, file: Path, namespace: str, output: PlanForm, before: Path | None
) -> Exit:
    """Print the plan; `Exit.CHANGES` where there is something to do."""

    lookup = cache(partial(live, kubeconfig))
    try:
        previews = preview(read(file), lookup, namespace, read(before) if before else ())
    except Unmet as unmet:
        fail(f"{unmet.reason}: {unmet.message}")
    except ValidationError as error:
        fail(f"{file} is not valid: {problems(error)}")
    except OSError as error:
        fail(str(error))
    match output:
        case PlanForm.JSON:
            print_json([_plain(item) for item in previews])
        case PlanForm.MARKDOWN:
            sys.stdout.write(_markdown(previews))
        case PlanForm.TABLE:
            for item in previews:
                _print(item)
    return Exit.CHANGES if any(item.actions for item in previews) else Exit.OK


def _plain(item: Preview) -> dict[str, Any]:
    return {
        "namespace": item.namespace,
        "name": item.name,
        "change": item.change,
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
        final = "" if action.reversible else " [yellow](cannot be undone)[/yellow]"
        rows.add_row(action.kind, action.target, action.reason + final, _money(action.cost_minor))
    out.print(rows)
    out.print(
        f"Vendors' bill: {item.plan.cost_minor / 100:+.2f} a month;"
        f" the client pays: {item.plan.revenue_minor / 100:+.2f} a month\n"
    )


def _money(minor: int) -> str:
    """A difference a month; empty where there is none."""
    return f"{minor / 100:+.2f}" if minor else ""


# --- for a pull request ---------------------------------------------------------------------------


def _markdown(previews: list[Preview]) -> str:
    """What it comes to, client by client, and the steps folded up below (GitHub's Markdown)."""
    changing = [item for item in previews if item.actions]
    counts = Counter(str(item.change) if item.actions else "unchanged" for item in previews)
    words = ", ".join(f"{counts[each]} {each}" for each in (*Change, "unchanged") if counts[each])
    lines = [f"### Plan for the clients: {words or 'there are none'}"]
    if changing:
        whole = [action for item in changing for action in item.actions]
        lines += [
            "",
            "| client | | bought, released or ended for good | vendors' bill | client pays |",
            "|---|---|---|--:|--:|",
            *(_row(f"`{i.namespace}/{i.name}`", i.change, i.actions) for i in changing),
            _row("**a month, in all**", "", whole, say=False),
        ]
    for item in changing:
        lines += [
            "",
            f"<details><summary>{item.namespace}/{item.name}: {len(item.actions)} steps</summary>",
            "",
            "| step | what | why | vendors' bill | client pays |",
            "|---|---|---|--:|--:|",
            *(
                f"| {action.kind} | {_cell(action.target)} | {_cell(action.reason)}"
                f" | {_money(action.cost_minor)} | {_money(action.revenue_minor)} |"
                for action in item.actions
            ),
            "",
            "</details>",
        ]
    return "\n".join(lines) + "\n"


def _row(title: str, change: str, actions: Iterable[Action], *, say: bool = True) -> str:
    actions = list(actions)
    final = [f"{a.kind} {_cell(a.target)}" for a in actions if say and not a.reversible]
    cost = _money(sum(action.cost_minor for action in actions)) or "0.00"
    revenue = _money(sum(action.revenue_minor for action in actions)) or "0.00"
    return f"| {title} | {change} | {'<br>'.join(final)} | {cost} | {revenue} |"


def _cell(text: str) -> str:
    """Text from a manifest, which may hold anything, as a cell of a table."""
    return html.escape(" ".join(text.split()), quote=False).replace("|", "\\|")
