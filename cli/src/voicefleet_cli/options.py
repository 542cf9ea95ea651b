"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voicefleet_cli.console import Output

Home = Annotated[
    Path, typer.Option(envvar="VOICEFLEET_HOME", help="Folder with the platform's state.")
]
Form = Annotated[Output, typer.Option("--output", "-o", help="Form of the output.")]
PortalAddress = Annotated[
    str | None,
    typer.Option(
        "--portal",
        envvar="VOICEFLEET_PORTAL",
        help="Address of the portal that has the calls; this machine's if unset.",
    ),
]
