"""The `voicefleet` command; also `kubectl voicefleet`."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import httpx
import typer

from voicefleet_cli import ab as ab_command
from voicefleet_cli import call as call_command
from voicefleet_cli import calls as calls_command
from voicefleet_cli import chat as chat_command
from voicefleet_cli import loadtest as loadtest_command
from voicefleet_cli import plan as plan_command
from voicefleet_cli.console import Exit, Output, err, fail, out, print_json, progress, step, table
from voicefleet_cli.options import Form, Home, PortalAddress
from voicefleet_cli.simulate.cli import simulate
from voicefleet_infra.cluster import Cluster, KubectlFailed
from voicefleet_infra.images.agent import BuildFailed
from voicefleet_infra.platform import Platform, default_home
from voicefleet_infra.services import Service
from voicefleet_infra.supervision import StartFailed, Supervisor
from voicefleet_infra.tools import ToolMissing
from voicefleet_infra.up import Busy, PortTaken, Up, addresses, known_platform
from voicefleet_infra.up import clean as clean_platform
from voicefleet_infra.up import down as down_platform

if TYPE_CHECKING:
    from voicefleet_operator.kube import Kube
from voicefleet_cli.models import language_model

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="AI receptionists, declared in Kubernetes.\n\n"
    "Exit codes: 0 well, 1 failed, 2 there are changes (plan) or the target is missed (tune,"
    " simulate), 3 the platform does not run, 4 a call was not answered.",
)

BasePort = Annotated[
    int | None,
    typer.Option(
        envvar="VOICEFLEET_BASE_PORT", help="Ports are fixed steps above this one (16000)."
    ),
]

_TROUBLE = (BuildFailed, Busy, KubectlFailed, PortTaken, StartFailed, ToolMissing)


def _known(home: Path, base_port: int | None = None, runtime: str | None = None) -> Platform:
    return known_platform(home.absolute(), base_port, runtime)


@app.command()
def up(
    home: Home = default_home(),  # noqa: B008 - typer's way
    base_port: BasePort = None,
    runtime: Annotated[
        str | None, typer.Option(help="Where agents run: podman, or process for development.")
    ] = None,
    kubeconfig: Annotated[
        Path | None,
        typer.Option(exists=True, help="Use this cluster instead of an API server of our own."),
    ] = None,
    sample: Annotated[bool, typer.Option(help="Apply a sample client.")] = True,
) -> None:
    """Bring the whole platform up on this machine; safe to repeat."""
    if runtime not in (None, "podman", "process"):
        fail("--runtime: podman or process")
    own_cluster = kubeconfig.absolute() if kubeconfig else None
    platform = known_platform(home.absolute(), base_port, runtime, own_cluster)
    run = Up(platform, step, progress)
    try:
        services = run.run(with_sample=sample)
    except _TROUBLE as error:
        fail(str(error))
    _show(platform, services)
    _next_steps(platform)
    language_model(platform)
    if run.not_answering:
        fail(f"not answering yet: {', '.join(run.not_answering)}; see: kubectl describe vc")


def _show(platform: Platform, services: list[Service]) -> None:
    states = Supervisor(platform).states()
    rows = table("Process", "State", "Where")
    for service in services:
        rows.add_row(service.name, states.get(service.name, "-").lower(), service.address)
    out.print(rows)


def _next_steps(platform: Platform) -> None:
    numbers = [
        client.get("status", {}).get("primaryNumber") for client in Cluster(platform).clients()
    ]
    number = next((n for n in numbers if n), "+1…")
    # Where the user has no kubectl (or has not activated the environment), ours comes along.
    own = Path(sys.executable).parent
    lacks = not shutil.which("kubectl") or not shutil.which("voicefleet")
    path = f' PATH="$PATH:{own}"' if lacks else ""
    out.print("\nPoint your kubectl at it:\n")
    out.print(f"  export KUBECONFIG={platform.kubeconfig}{path}", soft_wrap=True)
    out.print("\nThen try:\n")
    out.print("  kubectl get vc -o wide")
    out.print(f"  voicefleet call {number} --record heard.wav", soft_wrap=True)
    out.print("  voicefleet calls")
    out.print("  kubectl apply -f crds/samples/plumber.yaml")
    out.print(f"\nCalls, as they come: {platform.portal_url}", soft_wrap=True)


@app.command()
def down(home: Home = default_home()) -> None:  # noqa: B008
    """Stop everything; the state stays, and `up` brings it back."""
    try:
        with step("Stopping the platform"):
            down_platform(_known(home))
    except _TROUBLE as error:
        fail(str(error))


@app.command()
def clean(
    home: Home = default_home(),  # noqa: B008
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Stop everything and remove the state, clients' data included."""
    if not yes and not typer.confirm(f"Remove {home} and all clients' data?"):
        raise typer.Exit(Exit.FAILED)
    try:
        with step(f"Removing {home}"):
            clean_platform(_known(home))
    except _TROUBLE as error:
        fail(str(error))


@app.command()
def status(home: Home = default_home(), output: Form = Output.TABLE) -> None:  # noqa: B008
    """What runs where, and how the clients are."""
    platform = _known(home)
    states = Supervisor(platform).states()
    if not states:
        fail("the platform does not run; start it with: voicefleet up", Exit.NOT_RUNNING)
    try:
        clients = [_client_row(client) for client in Cluster(platform).clients()]
    except KubectlFailed as error:
        fail(str(error))
    where = addresses(platform)
    if output is Output.JSON:
        processes = [
            {"name": name, "state": state.lower(), "where": where.get(name)}
            for name, state in states.items()
        ]
        print_json({"processes": processes, "clients": clients})
    else:
        shown = table("Process", "State", "Where")
        for name, state in states.items():
            shown.add_row(name, state.lower(), where.get(name, ""))
        out.print(shown)
        rows = table("Client", "Ready", "Answering", "Number", "URL", "Why not")
        for row in clients:
            rows.add_row(*(str(row[key] or "") for key in row))
        out.print()
        out.print(rows)
    if any(state != "RUNNING" for state in states.values()):
        raise typer.Exit(Exit.FAILED)


def _client_row(client: dict[str, object]) -> dict[str, object]:
    meta, state = client["metadata"], client.get("status") or {}
    found = {c["type"]: c for c in state.get("conditions", [])}  # type: ignore[attr-defined]
    ready, answering = found.get("Ready", {}), found.get("Answering", {})
    wrong = ready if ready.get("status") != "True" else answering
    return {
        "client": f"{meta['namespace']}/{meta['name']}",  # type: ignore[index]
        "ready": ready.get("status", "Unknown"),
        "answering": answering.get("status", "Unknown"),
        "number": state.get("primaryNumber"),  # type: ignore[attr-defined]
        "url": (state.get("endpoints") or {}).get("url"),  # type: ignore[attr-defined]
        "why": "" if wrong.get("status") == "True" else wrong.get("message", ""),
    }


@app.command()
def plan(
    file: Annotated[Path, typer.Option("--file", "-f", help="Manifests; - is stdin.")],
    home: Home = default_home(),  # noqa: B008
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", help="For manifests that name none.")
    ] = "default",
    output: Form = Output.TABLE,
) -> None:
    """What applying manifests would do, with the monthly difference in cost. Exit 2: changes."""
    # The user's own choice of cluster counts; without one, the local platform.
    own = os.environ.get("KUBECONFIG")
    raise typer.Exit(
        plan_command.show(None if own else _known(home).kubeconfig, file, namespace, output)
    )


@app.command()
def chat(
    client: Annotated[str, typer.Argument(help="Name of the VoiceClient.")] = "",
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Manifests instead of the cluster's.")
    ] = None,
    home: Home = default_home(),  # noqa: B008
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
    own = os.environ.get("KUBECONFIG")
    chat_command.chat(
        None if own else _known(home).kubeconfig, client, file, namespace,
        model=model, caller=caller, verbose=verbose,
    )  # fmt: skip


@app.command()
def call(
    number: Annotated[str, typer.Argument(help="Number to call, for example +14152201000.")],
    home: Home = default_home(),  # noqa: B008
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
            _known(home), number, caller=caller, seconds=seconds, play=play, record=record,
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
    home: Home = default_home(),  # noqa: B008
    output: Form = Output.TABLE,
) -> None:
    """List calls, newest first: who called, what came of it, how quick the answers were."""
    portal = calls_command.Portal.of(_known(home), address)
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
    home: Home = default_home(),  # noqa: B008
    output: Form = Output.TABLE,
) -> None:
    """Compare two ways of saying it by the callers who booked (Receptionist.spec.experiment)."""
    portal = calls_command.Portal.of(_known(home), address)
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
    home: Home = default_home(),  # noqa: B008
    output: Form = Output.TABLE,
) -> None:
    """Call a client many times at once, on this machine's platform alone. Exit 2: served worse."""
    raise typer.Exit(loadtest_command.run(_known(home), client, namespace, calls, seconds, output))


@app.command()
def ledger(
    home: Home = default_home(),  # noqa: B008
    open_: Annotated[
        bool, typer.Option("--open", help="Only what is bought and paid for now.")
    ] = False,
    output: Form = Output.TABLE,
) -> None:
    """The sandbox's ledger: everything bought, released, charged and refunded."""
    try:
        answer = httpx.get(
            f"{_known(home).sandbox_url}/_sandbox/ledger",
            params={"open": "true"} if open_ else {},
            timeout=10,
        )
    except httpx.HTTPError:
        fail("the sandbox does not run; start it with: voicefleet up", Exit.NOT_RUNNING)
    entries = answer.json()
    if output is Output.JSON:
        print_json(entries)
        return
    rows = table("#", "Vendor", "What", "Id", "Amount", "A month", "Whose")
    for entry in entries:
        mark = entry["mark"] or {}
        whose = mark.get("voicefleet_name") or mark.get("friendlyName") or ""
        rows.add_row(
            str(entry["seq"]), entry["vendor"], entry["kind"], entry["id"],
            f"{entry['amountMinor'] / 100:.2f}", f"{entry['monthlyMinor'] / 100:.2f}", whose,
        )  # fmt: skip
    out.print(rows)


FleetName = Annotated[str, typer.Option("--fleet", help="Fleet to look at.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command()
def orphans(
    fleet: FleetName = "default",
    release: Annotated[bool, typer.Option(help="Give them back, after a question.")] = False,
    yes: Yes = False,
    home: Home = default_home(),  # noqa: B008
    output: Form = Output.TABLE,
) -> None:
    """List what the fleet pays for that belongs to nobody. Exit 2: there is something."""

    async def run() -> Exit:
        from voicefleet_cli import orphans as command

        async with _kube(home) as kube:
            return await command.orphans(kube, fleet, output, release=release, yes=yes)

    raise typer.Exit(asyncio.run(run()))


@app.command()
def cost(
    fleet: FleetName = "default",
    home: Home = default_home(),  # noqa: B008
    output: Form = Output.TABLE,
) -> None:
    """Show each client's price, vendor cost and margin, and what is paid for nobody."""

    async def run() -> Exit:
        from voicefleet_cli import orphans as command

        async with _kube(home) as kube:
            return await command.cost(kube, fleet, output)

    raise typer.Exit(asyncio.run(run()))


@app.command()
def abandon(
    kind: Annotated[str, typer.Argument(help="vc or pn.")],
    name: Annotated[str, typer.Argument(help="Name of an object that is being deleted.")],
    namespace: Annotated[str, typer.Option("--namespace", "-n")] = "default",
    yes: Yes = False,
    home: Home = default_home(),  # noqa: B008
) -> None:
    """Let an object go whose vendor never answers again, and say what it leaves behind."""

    async def run() -> Exit:
        from voicefleet_cli import abandon as command

        async with _kube(home) as kube:
            return await command.abandon(kube, kind, name, namespace, yes=yes)

    raise typer.Exit(asyncio.run(run()))


@app.command()
def export(
    directory: Annotated[
        Path | None, typer.Option("--directory", "-d", help="A file each, below this folder.")
    ] = None,
    home: Home = default_home(),  # noqa: B008
) -> None:
    """Print manifests of everything live, with the identities to recover by; no Secrets."""
    asyncio.run(_export(directory, home))


async def _export(directory: Path | None, home: Path) -> None:
    from voicefleet_cli import export as export_command

    async with _kube(home) as kube:
        manifests = await export_command.export(kube)
    if directory is None:
        print(export_command.as_yaml(manifests), end="")
    else:
        written = export_command.write(manifests, directory)
        err.print(f"{len(written)} manifests written below {directory}")


@app.command("import")
def import_(
    profession: Annotated[
        str,
        typer.Option(help="Trade of the clients, for example dentist; edit where one differs."),
    ],
    fleet: Annotated[
        str, typer.Option("--fleet", help="Fleet whose accounts to read.")
    ] = "default",
    directory: Annotated[
        Path | None, typer.Option("--directory", "-d", help="A file each, below this folder.")
    ] = None,
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", help="Namespace of the clients to be.")
    ] = "default",
    pairs: Annotated[
        list[str] | None,
        typer.Option("--map", help="NUMBER=CUSTOMER: these belong together; may be repeated."),
    ] = None,
    home: Home = default_home(),  # noqa: B008
    output: Form = Output.TABLE,
) -> None:
    """Print manifests that take over numbers, customers and subscriptions that an agency has.

    Only reads Stripe and Twilio. Pairs a customer with the number that its phone or metadata
    names, or that --map gives it. Exit 2: something was left, and it says why.
    """

    async def run() -> Exit:
        from voicefleet_cli import adoption

        async with _kube(home) as kube:
            return await adoption.adopt(
                kube, fleet, namespace, directory, output, pairs or [], profession
            )

    raise typer.Exit(asyncio.run(run()))


@app.command()
def doctor(
    fleet: Annotated[str, typer.Option(help="Fleet to examine.")] = "default",
    home: Home = default_home(),  # noqa: B008
    output: Form = Output.TABLE,
) -> None:
    """Check keys, rights, DNS and ports of a Fleet before anything is bought; only reads."""
    raise typer.Exit(asyncio.run(_examine(fleet, home, output)))


@app.command()
def tune(
    home: Home = default_home(),  # noqa: B008
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
    # Its models are slow to load: only this command needs them.
    from voicefleet_cli import tune as command
    from voicefleet_cli.tuning import Target

    target = Target(target_ms, percentile)
    raise typer.Exit(
        command.tune(
            _known(home), target, candidate or [], recordings, output,
            measure=measure, dry_run=dry_run,
        )
    )  # fmt: skip


app.command()(simulate)


@asynccontextmanager
async def _kube(home: Path) -> AsyncIterator[Kube]:
    """The cluster that KUBECONFIG points at, else the local platform's."""
    # Slow to load: only the commands that need them do.
    from voicefleet_operator.kube import Kube
    from voicefleet_operator.shell.watch import connection

    if not os.environ.get("KUBECONFIG"):
        os.environ["KUBECONFIG"] = str(_known(home).kubeconfig)
    async with Kube(connection()) as kube:
        yield kube


async def _examine(fleet: str, home: Path, output: Output) -> Exit:
    # Vendors' SDKs are slow to load: only the command that needs them does.
    from voicefleet_operator.doctor import examine

    signs = {"ok": "[green]ok[/green]", "warning": "[yellow]warning[/yellow]"}
    checks = []
    async with _kube(home) as kube:
        async for check in examine(kube, fleet):
            checks.append(check)
            if output is Output.TABLE:
                sign = signs.get(check.verdict, "[red]failed[/red]")
                out.print(f"{sign:>10} {check.what}: {check.detail}", soft_wrap=True)
                if check.remedy:
                    out.print(f"           → {check.remedy}", soft_wrap=True)
    if output is Output.JSON:
        print_json(
            [
                {"what": c.what, "verdict": c.verdict, "detail": c.detail, "remedy": c.remedy}
                for c in checks
            ]
        )
    failed = any(check.verdict == "failed" for check in checks)
    if failed:
        err.print("not ready: nothing should be bought before the failed checks are mended")
    return Exit.FAILED if failed else Exit.OK


if __name__ == "__main__":
    app()
