"""`python -m voicefleet_infra`: bring what the platform and its tests need and this machine lacks.

Without the means (no root, no network) it says what is missing and goes on: the tests that need it
are skipped by name. With `VOICEFLEET_REQUIRE_ALL` set, it fails.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from rich.console import Console

from voicefleet_infra.tools import Progress, ToolMissing, build_go_programs, install_packages

_console = Console(stderr=True, highlight=False)


def _say(line: str) -> None:
    _console.print(line, soft_wrap=True)


def main() -> int:
    """Exit status: 0, or 1 where something is missing and everything is required."""
    steps: tuple[Callable[[Progress], None], ...] = (install_packages, build_go_programs)
    missing = False
    for step in steps:
        started = time.monotonic()
        try:
            step(_say)
        except ToolMissing as error:
            _console.print(f"[yellow]missing:[/yellow] {error}", soft_wrap=True)
            missing = True
        if (seconds := time.monotonic() - started) > 2:
            _say(f"  {seconds:.0f} s")
    return 1 if missing and os.environ.get("VOICEFLEET_REQUIRE_ALL") else 0


if __name__ == "__main__":
    sys.exit(main())
