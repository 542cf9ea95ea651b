"""The platform on this machine: up, down, clean, status."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from voicefleet_cli.console import Exit, Output, fail, out, print_json, progress, step, table
from voicefleet_cli.context import known
from voicefleet_cli.models import language_model
from voicefleet_cli.options import Form, Home
from voicefleet_infra.cluster import Cluster, KubectlFailed
from voicefleet_infra.images import BuildFailed
from voicefleet_infra.platform import Platform, default_home
from voicefleet_infra.service import Service
from voicefleet_infra.supervision import StartFailed, Supervisor
from voicefleet_infra.tools import ToolMissing
from voicefleet_infra.up import Busy, PortTaken, Up, addresses, known_platform
from voicefleet_infra.up import clean as clean_platform
from voicefleet_infra.up import down as down_platform

app = typer.Typer()

BasePort = Annotated[
    int | None,
    typer.Option(
        envvar="VOICEFLEET_BASE_PORT", help="Ports are fixed steps above this one (16000)."
    ),
]

_TROUBLE = (BuildFailed, Busy, KubectlFailed, PortTaken, StartFailed, ToolMissing)


@app.command()
def up(
    home: Home = default_home(),
    base_port: BasePort = None,
    runtime: Annotated[
        str | None,
        typer.Option(
            help="Where agents run: podman, kubernetes (a node on this machine), or process for"
            " development."
        ),
    ] = None,
    kubeconfig: Annotated[
        Path | None,
        typer.Option(exists=True, help="Use this cluster instead of an API server of our own."),
    ] = None,
    sample: Annotated[bool, typer.Option(help="Apply a sample client.")] = True,
) -> None:
    """Bring the whole platform up on this machine; safe to repeat."""
    if runtime not in (None, "podman", "kubernetes", "process"):
        fail("--runtime: podman, kubernetes or process")
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
def down(home: Home = default_home()) -> None:
    """Stop everything; the state stays, and `up` brings it back."""
    try:
        with step("Stopping the platform"):
            down_platform(known(home))
    except _TROUBLE as error:
        fail(str(error))


@app.command()
def clean(
    home: Home = default_home(),
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Stop everything and remove the state, clients' data included."""
    if not yes and not typer.confirm(f"Remove {home} and all clients' data?"):
        raise typer.Exit(Exit.FAILED)
    try:
        with step(f"Removing {home}"):
            clean_platform(known(home))
    except _TROUBLE as error:
        fail(str(error))


@app.command()
def status(home: Home = default_home(), output: Form = Output.TABLE) -> None:
    """What runs where, and how the clients are."""
    platform = known(home)
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


def _client_row(client: dict[str, Any]) -> dict[str, Any]:
    meta, state = client["metadata"], client.get("status") or {}
    found = {c["type"]: c for c in state.get("conditions", [])}
    ready, answering = found.get("Ready", {}), found.get("Answering", {})
    wrong = ready if ready.get("status") != "True" else answering
    return {
        "client": f"{meta['namespace']}/{meta['name']}",
        "ready": ready.get("status", "Unknown"),
        "answering": answering.get("status", "Unknown"),
        "number": state.get("primaryNumber"),
        "url": (state.get("endpoints") or {}).get("url"),
        "why": "" if wrong.get("status") == "True" else wrong.get("message", ""),
    }
