"""What the fleet has at its vendors: bought, charged, belonging to nobody, taken up, examined.

Vendors' SDKs are slow to load: only the commands that need them do.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import httpx
import typer

from voicefleet_cli.console import Exit, Output, err, fail, out, print_json, table
from voicefleet_cli.context import in_cluster, known
from voicefleet_cli.options import Form, Home
from voicefleet_infra.platform import default_home

if TYPE_CHECKING:
    from voicefleet_operator.kube import Kube

app = typer.Typer()


@app.command()
def ledger(
    home: Home = default_home(),
    open_: Annotated[
        bool, typer.Option("--open", help="Only what is bought and paid for now.")
    ] = False,
    output: Form = Output.TABLE,
) -> None:
    """The sandbox's ledger: everything bought, released, charged and refunded."""
    try:
        answer = httpx.get(
            f"{known(home).sandbox_url}/_sandbox/ledger",
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
    home: Home = default_home(),
    output: Form = Output.TABLE,
) -> None:
    """List what the fleet pays for that belongs to nobody. Exit 2: there is something."""
    from voicefleet_cli import orphans as command

    raise typer.Exit(
        in_cluster(
            home, lambda kube: command.orphans(kube, fleet, output, release=release, yes=yes)
        )
    )


@app.command()
def cost(
    fleet: FleetName = "default",
    home: Home = default_home(),
    output: Form = Output.TABLE,
) -> None:
    """Show each client's price, vendor cost and margin, and what is paid for nobody."""
    from voicefleet_cli import orphans as command

    raise typer.Exit(in_cluster(home, lambda kube: command.cost(kube, fleet, output)))


@app.command()
def abandon(
    kind: Annotated[str, typer.Argument(help="vc or pn.")],
    name: Annotated[str, typer.Argument(help="Name of an object that is being deleted.")],
    namespace: Annotated[str, typer.Option("--namespace", "-n")] = "default",
    yes: Yes = False,
    home: Home = default_home(),
) -> None:
    """Let an object go whose vendor never answers again, and say what it leaves behind."""
    from voicefleet_cli import abandon as command

    raise typer.Exit(
        in_cluster(home, lambda kube: command.abandon(kube, kind, name, namespace, yes=yes))
    )


@app.command()
def export(
    directory: Annotated[
        Path | None, typer.Option("--directory", "-d", help="A file each, below this folder.")
    ] = None,
    home: Home = default_home(),
) -> None:
    """Print manifests of everything live, with the identities to recover by; no Secrets."""
    from voicefleet_cli import export as command

    manifests = in_cluster(home, command.export)
    if directory is None:
        print(command.as_yaml(manifests), end="")
    else:
        written = command.write(manifests, directory)
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
    home: Home = default_home(),
    output: Form = Output.TABLE,
) -> None:
    """Print manifests that take over numbers, customers and subscriptions that an agency has.

    Only reads Stripe and Twilio. Pairs a customer with the number that its phone or metadata
    names, or that --map gives it. Exit 2: something was left, and it says why.
    """
    from voicefleet_cli.adoption import adopt

    wanted = (fleet, namespace, directory, output, pairs or [], profession)
    raise typer.Exit(in_cluster(home, lambda kube: adopt(kube, *wanted)))


@app.command()
def doctor(
    fleet: Annotated[str, typer.Option(help="Fleet to examine.")] = "default",
    home: Home = default_home(),
    output: Form = Output.TABLE,
) -> None:
    """Check keys, rights, DNS and ports of a Fleet before anything is bought; only reads."""
    raise typer.Exit(in_cluster(home, lambda kube: _examine(kube, fleet, output)))


async def _examine(kube: Kube, fleet: str, output: Output) -> Exit:
    from voicefleet_operator.doctor import examine

    signs = {"ok": "[green]ok[/green]", "warning": "[yellow]warning[/yellow]"}
    checks = []
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
