"""`python stacks/run.py up homelab`: Pulumi's commands on a machine without its distribution.

The official `pulumi` brings what runs Python programs; one that was built from its Go module does
not. Pulumi's Automation API then runs the same program in this process, with the same project file,
configuration and state (https://www.pulumi.com/docs/iac/automation-api/).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from pulumi import automation

from target import program
from voicefleet_infra.tools import binary, build_go_programs, repository

_COMMANDS = ("preview", "up", "refresh", "destroy")


def select(stack: str, folder: Path, environment: dict[str, str] | None = None) -> automation.Stack:
    """The stack of the project whose Pulumi.yaml is in `folder`, made if need be.

    `environment` is for Pulumi (PULUMI_BACKEND_URL, PULUMI_CONFIG_PASSPHRASE) beside this
    process's own. Raises `ToolMissing`, and the Automation API's `CommandError`.
    """
    build_go_programs(print, ["pulumi"])
    # Our Python, and what starts dynamic providers by it.
    places = [Path(sys.executable).parent, repository() / "tools" / "pulumi"]
    path = os.pathsep.join([*map(str, places), os.environ.get("PATH", os.defpath)])
    return automation.create_or_select_stack(
        stack,
        project_name="voicefleet",
        program=program,
        opts=automation.LocalWorkspaceOptions(
            work_dir=str(folder),
            pulumi_command=automation.PulumiCommand(str(binary("pulumi").parents[1])),
            env_vars={"PATH": path, **(environment or {})},
        ),
    )


def main() -> int:
    """Exit status: 0, or 1 where Pulumi has failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=_COMMANDS)
    parser.add_argument("stack")
    given = parser.parse_args()
    stack = select(given.stack, repository())
    try:
        getattr(stack, given.command)(on_output=print)
    except automation.CommandError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
