"""Which program a stack runs."""

from __future__ import annotations

import importlib

import pulumi

TARGETS = ("homelab", "cloud", "clients")


def program() -> None:
    """Declare the stack by its setting `target`; what the others need is not imported."""
    target = pulumi.Config().require("target")
    if target not in TARGETS:
        raise pulumi.RunError(f"target is {target!r}; it is one of: {', '.join(TARGETS)}")
    importlib.import_module(target).program()
