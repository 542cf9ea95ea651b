"""The chart and the kustomize base as their own tools render them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.controlplane import ROOT, Refused, kubectl_program
from voicefleet_api.names import SYSTEM_NAMESPACE
from voicefleet_infra.tools import binary

DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "chart"
RELEASE = ("voicefleet", str(CHART), f"--namespace={SYSTEM_NAMESPACE}")
Object = dict[str, Any]
Objects = dict[tuple[str, str], Object]
"""By kind and name."""


def helm(*words: str, kubeconfig: Path | None = None) -> str:
    """What helm prints; raises `Refused`. Skips where it is not built."""
    program = binary("helm")
    if not program.exists():
        pytest.skip("helm is not built: make provision")
    known = [f"--kubeconfig={kubeconfig}"] if kubeconfig else []
    done = subprocess.run([program, *words, *known], capture_output=True, text=True)
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


def rendered(*options: str) -> Objects:
    """`helm template`, with `options` such as `--set=sandbox.enabled=true`."""
    return by_name(helm("template", *RELEASE, *options))


def kustomized(folder: Path, *components: str) -> Objects:
    """`kubectl kustomize` of an overlay in `folder`: the base with components of it."""
    # kustomize takes no absolute paths.
    base = os.path.relpath(DEPLOY, folder)
    overlay = {"resources": [base], "components": [f"{base}/{name}" for name in components]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    done = subprocess.run(
        [kubectl_program(), "kustomize", str(folder)], capture_output=True, text=True
    )
    if done.returncode:
        raise Refused(done.stderr)
    return by_name(done.stdout)


def by_name(text: str) -> Objects:
    """The objects of a YAML stream."""
    objects = [o for o in yaml.safe_load_all(text) if o]
    found = {(o["kind"], o["metadata"]["name"]): o for o in objects}
    assert len(found) == len(objects), "two objects of one name"
    return found


def normal(value: Any) -> Any:
    """Without what says nothing: empty values, and what Helm alone reads."""
    if isinstance(value, dict):
        # A checksum has a new pod made where kustomize would have made a new name.
        helms = ("helm.sh/", "checksum/")
        ours = {key: inner for key, inner in value.items() if not key.startswith(helms)}
        kept = {key: normal(inner) for key, inner in ours.items()}
        return {key: inner for key, inner in kept.items() if inner not in ({}, [], "", None)}
    return [normal(item) for item in value] if isinstance(value, list) else value
