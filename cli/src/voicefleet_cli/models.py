"""What becomes of the language model, which is fetched while the platform is in use already."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from voicefleet_cli.console import err
from voicefleet_infra.platform import Platform
from voicefleet_infra.probes import gateway_state
from voicefleet_infra.services import LANGUAGE, models_folder

_POLL_SECONDS = 0.5


def language_model(platform: Platform) -> None:
    """Say that it is being fetched; on a terminal with a bar, until it is there or given up."""
    state = gateway_state(models_folder(platform) / f"{LANGUAGE}.sock")
    if state.get("state") == "Fetching" and err.is_terminal:
        err.print("\nClients answer already; Ctrl-C leaves the fetching to the background.")
        with contextlib.suppress(KeyboardInterrupt):
            state = _watch(platform, state)
    if words := _words(state):
        err.print(words, style="dim", soft_wrap=True)


def _watch(platform: Platform, state: dict[str, Any]) -> dict[str, Any]:
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn()
    with Progress(*columns, console=err, transient=True) as shown:
        task = shown.add_task(f"Fetching {state['model']}", total=1.0)
        while state.get("state") == "Fetching":
            shown.update(task, completed=state["share"])
            time.sleep(_POLL_SECONDS)
            state = gateway_state(models_folder(platform) / f"{LANGUAGE}.sock")
    return state


def _words(state: dict[str, Any]) -> str:
    without = "until it is there, open questions are not answered, and all else is"
    match state.get("state"):
        case "Fetching":
            return f"The language model is being fetched ({state['share']:.0%}); {without}."
        case "NotFetched":
            return f"The language model could not be fetched: {state['reason']}; {without}."
        case "Starting" | "Loading":
            return "The language model is being loaded."
    return ""
