"""The words of `voicefleet simulate`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from voicefleet_cli.console import Output, fail
from voicefleet_cli.options import Form, Home
from voicefleet_infra.platform import default_home
from voicefleet_infra.up import known_platform

_MODEL = "none, local (the machine's), or the address of an OpenAI-compatible server (http://…/v1)"


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
        typer.Option(help=f"What answers open questions in text, may be repeated: {_MODEL}."),
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
    home: Home = default_home(),  # noqa: B008 - typer's way
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="The client's.")] = "default",
    output: Form = Output.TABLE,
) -> None:
    """Have callers of all kinds call a receptionist, and judge what comes of it by facts.

    Exit 2: fewer facts are right than --at-least says, or an emergency was not escalated. Calls by
    telephone are real: what they book stands in the client's calendar.
    """
    # Its models are slow to load: only this command needs them.
    from voicefleet_cli.simulate import command

    models = model or [command.NONE]
    for words in (*models, *([] if played_by == command.SCRIPT else [played_by])):
        if words not in (command.NONE, command.LOCAL) and "://" not in words:
            fail(f"{words}: choose {_MODEL}")
    if played_by == command.NONE:
        fail("--played-by: script, local or the address of a model")
    if not text and (file or model):
        fail("--file and --model are for --text: a call goes to what the platform runs")
    wanted = command.Wanted(
        client=client, namespace=namespace, file=file, scenario=scenario, scenarios=scenarios,
        text=text, models=models, played_by=played_by, jobs=jobs, at_least=at_least, folder=report,
    )  # fmt: skip
    platform = known_platform(home.absolute(), None, None)
    kubeconfig = None if os.environ.get("KUBECONFIG") else platform.kubeconfig
    raise typer.Exit(command.simulate(platform, kubeconfig, wanted, output))
