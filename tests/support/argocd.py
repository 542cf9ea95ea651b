"""Argo CD's health rules in a real Lua 5.1, with the libraries that Argo CD lets them have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lupa.lua51 import LuaRuntime

from support.controlplane import ROOT

RULES = ROOT / "deploy/gitops/argocd/resource_customizations/voicefleet.dev"
# Argo CD opens base, package, table and a part of os (its util/lua/lua.go, runLua).
_CLOSED = ("coroutine", "debug", "io", "math", "os", "string")


def health(kind: str, obj: dict[str, Any]) -> tuple[str, str]:
    """Status and message that the kind's rule gives an object."""
    lua = LuaRuntime()
    names = lua.globals()
    for library in _CLOSED:
        names[library] = None
    names.obj = lua.table_from(obj, recursive=True)
    found = lua.execute(Path(RULES, kind, "health.lua").read_text())
    return found.status, found.message
