"""One client: what a manifest would change, its calls, and calls to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voicefleet_cli import ab as ab_command
from voicefleet_cli import call as call_command
from voicefleet_cli import calls as calls_command
from voicefleet_cli import chat as chat_command
from voicefleet_cli import loadtest as loadtest_command
from voicefleet_cli import plan as plan_command
from voicefleet_cli.console import Output, fail
from voicefleet_cli.context import known, kubeconfig
from voicefleet_cli.options import Form, Home, PortalAddress
from voicefleet_infra.platform import default_home

app = typer.Typer()


@app.command()
def plan(
    file: Annotated[Path, typer.Option("--file", "-f", help="Manifests; - is stdin.")],
    before: Annotated[
        Path | None,
        typer.Option(help="Manifests as they were: what is only there counts as deleted."),
    ] = None,
    home: Home = default_home(),
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", help="For manifests that name none.")
    ] = "default",
    output: Annotated[
        plan_command.PlanForm,
        typer.Option("--output", "-o", help="Form of the output; markdown is for pull requests."),
    ] = plan_command.PlanForm.TABLE,
) -> None:
    """What applying manifests would do, with the monthly difference in cost. Exit 2: changes."""
    raise typer.Exit(plan_command.show(kubeconfig(home), file, namespace, output, before))


@app.command()
def chat(
    client: Annotated[str, typer.Argument(help="Name of the VoiceClient.")] = "",
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Manifests instead of the cluster's.")
    ] = None,
    home: Home = default_home(),
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="The client's.")] = "default",
    model: Annotated[
        str, typer.Option(help="none, or the address of an OpenAI-compatible server (http://…/v1).")
    ] = "none",
    caller: Annotated[
        str | None, typer.Option("--from", help="Number that the caller shows.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show state and slots.")] = False,
) -> None:
    """Talk to a client's receptionist as text; bookings go to a calendar of this chat alone.

    [1] or [4155550134#] are keys of the phone."""
    chat_command.chat(
        kubeconfig(home), client, file, namespace,
        model=model, caller=caller, verbose=verbose,
    )  # fmt: skip


@app.command()
def call(
    number: Annotated[str, typer.Argument(help="Number to call, for example +14152201000.")],
    home: Home = default_home(),
    caller: Annotated[str, typer.Option("--from", help="Number that calls.")] = "+15005550006",
    seconds: Annotated[float, typer.Option(help="How long to listen after the answer.")] = 8,
    ring: Annotated[float, typer.Option(help="How many seconds to let it ring.")] = 20,
    play: Annotated[Path | None, typer.Option(help="Sound file to speak.")] = None,
    record: Annotated[Path | None, typer.Option(help="WAV file for what is heard.")] = None,
    press: Annotated[
        str, typer.Option(help="Keys to press after the answer, as in 0; a comma waits 2 s.")
    ] = "",
    to_uri: Annotated[
        str | None, typer.Option(help="Ring this SIP address, without the carrier.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(help="Call from this address of the machine; the carrier's by default."),
    ] = None,
    output: Form = Output.TABLE,
) -> None:
    """Call a number as a telephone would: through the carrier, by SIP. Exit 4: not answered."""
    raise typer.Exit(
        call_command.place(
            known(home), number, caller=caller, seconds=seconds, play=play, record=record,
            output=output, to_uri=to_uri, source=source, ring=ring, press=press,
        )
    )  # fmt: skip


@app.command()
def calls(
    client: Annotated[
        str | None, typer.Argument(help="Name of a VoiceClient; all if unset.")
    ] = None,
    call: Annotated[str | None, typer.Argument(help="Id of one call: shows it whole.")] = None,
    namespace: Annotated[str, typer.Option("--namespace", "-n")] = "default",
    follow: Annotated[
        bool, typer.Option("--follow", help="Show calls under way, turn by turn.")
    ] = False,
    query: Annotated[
        str, typer.Option("--query", "-q", help="Only calls with these words in them.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, max=500, help="Most calls to list.")] = 30,
    address: PortalAddress = None,
    home: Home = default_home(),
    output: Form = Output.TABLE,
) -> None:
    """List calls, newest first: who called, what came of it, how quick the answers were."""
    portal = calls_command.Portal.of(known(home), address)
    if follow:
        if client is None:
            fail("--follow: say whose calls, for example: voicefleet calls bright-smile --follow")
        raise typer.Exit(calls_command.follow(portal, client, namespace, output))
    if client is not None and call is not None:
        raise typer.Exit(calls_command.show_one(portal, client, call, namespace, output))
    raise typer.Exit(calls_command.show(portal, client, namespace, query, limit, output))


@app.command()
def ab(
    client: Annotated[str, typer.Argument(help="Name of a VoiceClient.")],
    experiment: Annotated[
        str | None, typer.Argument(help="Name of the experiment; the newest if unset.")
    ] = None,
    callers: Annotated[
        int,
        typer.Option(
            min=1, help="First callers of each variant that decide; to be chosen beforehand."
        ),
    ] = 100,
    namespace: Annotated[str, typer.Option("--namespace", "-n")] = "default",
    address: PortalAddress = None,
    home: Home = default_home(),
    output: Form = Output.TABLE,
) -> None:
    """Compare two ways of saying it by the callers who booked (Receptionist.spec.experiment)."""
    portal = calls_command.Portal.of(known(home), address)
    raise typer.Exit(ab_command.compare(portal, client, namespace, experiment, callers, output))


@app.command()
def loadtest(
    client: Annotated[str, typer.Argument(help="Name of the VoiceClient.")],
    calls: Annotated[
        int, typer.Option(min=1, max=loadtest_command.MOST_CALLS, help="Callers at once.")
    ] = 3,
    seconds: Annotated[
        float,
        typer.Option(min=5, max=loadtest_command.MOST_SECONDS, help="Measured with one, and all."),
    ] = 20,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="The client's.")] = "default",
    home: Home = default_home(),
    output: Form = Output.TABLE,
) -> None:
    """Call a client many times at once, on this machine's platform alone. Exit 2: served worse."""
    raise typer.Exit(loadtest_command.run(known(home), client, namespace, calls, seconds, output))
