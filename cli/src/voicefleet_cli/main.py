"""The `voicefleet` command; also `kubectl voicefleet`."""

from __future__ import annotations

import typer

from voicefleet_cli.commands import clients, fleet, platform, trials

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="AI receptionists, declared in Kubernetes.\n\n"
    "Exit codes: 0 well, 1 failed, 2 there are changes (plan) or the target is missed (tune,"
    " simulate), 3 the platform does not run, 4 a call was not answered.",
)
for group in (platform, clients, fleet, trials):
    app.add_typer(group.app)


if __name__ == "__main__":
    app()
