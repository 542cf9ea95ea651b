"""Trying this machine's models, and a receptionist with callers of all kinds.

Models are slow to load: only these commands need them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voicefleet_cli.console import Output, fail
from voicefleet_cli.context import known, kubeconfig
from voicefleet_cli.options import Form, Home
from voicefleet_infra.platform import default_home

app = typer.Typer()
_MODEL = (
    "none, local (the machine's), a GGUF file, or the address of an OpenAI-compatible server"
    " (http://…/v1)"
)


@app.command()
def tune(
    home: Home = default_home(),
    target_ms: Annotated[
        float, typer.Option(min=1, help="Milliseconds that callers should wait at most.")
    ] = 800,
    percentile: Annotated[
        float, typer.Option(min=1, max=100, help="Share of the answers, %, that keep to it.")
    ] = 95,
    candidate: Annotated[
        list[Path] | None,
        typer.Option(exists=True, help="A models.yaml whose language model is tried, too."),
    ] = None,
    recordings: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Folder with your own callers' turns."),
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Only measure the present configuration.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be written, and write nothing.")
    ] = False,
    output: Form = Output.TABLE,
) -> None:
    """Try what this machine can run and write the best to models.yaml. Exit 2: target missed."""
    from voicefleet_cli import tune as command
    from voicefleet_cli.tuning import Target

    target = Target(target_ms, percentile)
    raise typer.Exit(
        command.tune(
            known(home), target, candidate or [], recordings, output,
            measure=measure, dry_run=dry_run,
        )
    )  # fmt: skip


@app.command()
def simulate(
    client: Annotated[
        str, typer.Argument(help="Name of the VoiceClient; with --text also none: practice ones.")
    ] = "",
    scenario: Annotated[
        str, typer.Option(help="Name of a scenario, a manner such as Hurried, or all.")
    ] = "all",
    text: Annotated[
        bool, typer.Option("--text", help="Talk as text, in seconds, instead of by telephone.")
    ] = False,
    scenarios: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Folder with scenarios of your own."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help="Manifests instead of the cluster's, for --text."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help=f"What answers open questions in text, repeated to compare: {_MODEL}."),
    ] = None,
    played_by: Annotated[
        str, typer.Option(help=f"Who plays the callers: script, or a model ({_MODEL[6:]}).")
    ] = "script",
    jobs: Annotated[int, typer.Option(min=1, max=20, help="How many calls at a time.")] = 1,
    at_least: Annotated[
        float, typer.Option(min=0, max=100, help="Share of the facts, %, that has to be right.")
    ] = 90,
    report: Annotated[
        Path, typer.Option(file_okay=False, help="Folder for report.html, report.json and sound.")
    ] = Path("simulation"),
    home: Home = default_home(),
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="The client's.")] = "default",
    output: Form = Output.TABLE,
) -> None:
    """Have callers of all kinds call a receptionist, and judge what comes of it by facts.

    Exit 2: fewer facts are right than --at-least says, or an emergency was not escalated. Calls by
    telephone are real: what they book stands in the client's calendar.
    """
    # Its models are slow to load: only this command needs them.
    from voicefleet_cli.simulate import command, language_models

    models = model or [language_models.NONE]
    for words in (*models, *([] if played_by == command.SCRIPT else [played_by])):
        if not language_models.is_one(words):
            fail(f"{words}: choose {_MODEL}")
    if played_by == language_models.NONE:
        fail(f"--played-by: script, or a model: {_MODEL[6:]}")
    if not text and (file or model):
        fail("--file and --model are for --text: a call goes to what the platform runs")
    wanted = command.Wanted(
        client=client, namespace=namespace, file=file, scenario=scenario, scenarios=scenarios,
        text=text, models=models, played_by=played_by, jobs=jobs, at_least=at_least, folder=report,
    )  # fmt: skip
    raise typer.Exit(command.simulate(known(home), kubeconfig(home), wanted, output))
