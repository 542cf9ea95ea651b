"""How the command speaks: progress on stderr, results on stdout, exit codes."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum, StrEnum
from typing import Any, NoReturn

from rich.console import Console
from rich.table import Table

# In a pipe there is no width to fit into; rich would take 80 columns.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
err = Console(stderr=True, highlight=False)

_SHOW_AFTER = 2.0


class Exit(IntEnum):
    """Exit codes, the same for every command (see `voicefleet --help`)."""

    OK = 0
    FAILED = 1
    CHANGES = 2
    MISSED = 2
    """The same number: well, but not as it should be."""
    NOT_RUNNING = 3
    NOT_ANSWERED = 4


class Output(StrEnum):
    """Forms of output."""

    TABLE = "table"
    JSON = "json"


def fail(message: str, code: Exit = Exit.FAILED) -> NoReturn:
    """Say why on stderr and end."""
    err.print(f"[red]error:[/red] {message}", soft_wrap=True)
    sys.exit(code)


def print_json(data: Any) -> None:
    """For programs."""
    sys.stdout.write(json.dumps(data, indent=2) + "\n")


def table(*columns: str, title: str | None = None) -> Table:
    """A plain table."""
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


@contextmanager
def step(words: str) -> Iterator[None]:
    """Show what is being done, and how long it took where that is more than two seconds."""
    started = time.monotonic()
    with err.status(f"{words} …"):
        yield
    seconds = time.monotonic() - started
    took = f" ({seconds:.0f} s)" if seconds > _SHOW_AFTER else ""
    err.print(f"[green]✓[/green] {words}{took}", soft_wrap=True)


def progress(line: str) -> None:
    """A line in between."""
    err.print(f"  {line}", style="dim", soft_wrap=True)
