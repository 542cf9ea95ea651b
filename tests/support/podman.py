"""What Podman has of ours, by name."""

from __future__ import annotations

import subprocess

_LIST = {"pod": "ps", "network": "ls", "volume": "ls", "secret": "ls"}
"""In the order in which they can be removed."""


def podman(*words: str) -> str:
    """Its output; raises CalledProcessError."""
    return subprocess.run(["podman", *words], capture_output=True, text=True, check=True).stdout


def things(*beginnings: str) -> dict[str, list[str]]:
    """Names that begin so, by kind; a kind of which there is nothing is left out."""
    found = {}
    for kind, listing in _LIST.items():
        names = podman(kind, listing, "--format", "{{.Name}}").split()
        if ours := sorted(name for name in names if name.startswith(beginnings)):
            found[kind] = ours
    return found


def sweep(*beginnings: str) -> None:
    """Remove what a test that failed has left."""
    for kind, names in things(*beginnings).items():
        force = () if kind == "secret" else ("--force",)
        podman(kind, "rm", *force, *names)
