"""The machine's own models, as who simulates calls asks them."""

from __future__ import annotations

from voicefleet_agent.providers.http import Endpoint
from voicefleet_agent.reach import by_socket
from voicefleet_api import tokens
from voicefleet_cli.console import Exit, fail
from voicefleet_infra.platform import Platform
from voicefleet_infra.probes import unix_open
from voicefleet_infra.services import models_folder, models_key


def machine(platform: Platform, name: str, who: str) -> Endpoint:
    """A gateway of the platform's, asked as `who`; ends the command where it does not run."""
    folder = models_folder(platform)
    if not unix_open(folder / f"{name}.sock"):
        fail(f"the {name} gateway does not run; start it with: voicefleet up", Exit.NOT_RUNNING)
    token = tokens.mint(models_key(platform).read_text().strip(), who)
    return Endpoint(by_socket(folder, name), token)
