"""The Helm chart's templates and install.yaml: `python -m voicefleet_infra.chart [--check]`.

`deploy/` is the one source, plain YAML that kustomize reads. What the chart's values change is
marked there, in comments:

    replicas: 2 # helm: .Values.replicas   the value becomes {{ toJson (.Values.replicas) }}
    # helm: {{- if .Values.crds.enabled }}  the line becomes what follows the colon

What values.yaml says is what stands in the source: tests compare `helm template` with `kubectl
kustomize`. Same source, same bytes: the output is checked in, and `--check` fails where it differs.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

COMPONENTS = ("gateway", "models", "monitoring", "sandbox")
"""Parts that are added to the base; values of the chart switch them on."""
TEMPLATES = Path("chart/templates/generated")
INSTALL = Path("install.yaml")
_CRDS = "../crds/generated"
_NAMESPACE = "namespace.yaml"
"""Helm makes the namespace that it installs into (`--create-namespace`)."""

_VALUE = re.compile(r"(\s*(?:- )?[\w.]+: ).+? # helm: (.+)")
_LINE = re.compile(r"(\s*)# helm: (.+)")
_MARK = "# helm:"
_KEPT = """\
metadata:
  {{- if .Values.crds.keep }}
  annotations:
    helm.sh/resource-policy: keep
  {{- end }}
"""


def template(source: str) -> str:
    """A manifest's Helm template; raises ValueError for a mark that marks nothing."""
    return "".join(f"{_template_line(line)}\n" for line in source.splitlines())


def crd_template(source: str) -> str:
    """Of a CustomResourceDefinition, which `crds.enabled` and `crds.keep` speak of."""
    kept = template(source).replace("metadata:\n", _KEPT, 1)
    return f"{{{{- if .Values.crds.enabled }}}}\n{kept}{{{{- end }}}}\n"


def _template_line(line: str) -> str:
    if whole := _LINE.fullmatch(line):
        return "".join(whole.groups())
    if value := _VALUE.fullmatch(line):
        key, expression = value.groups()
        return f"{key}{{{{ toJson ({expression}) }}}}"
    if _MARK in line:
        raise ValueError(f"nothing is marked for Helm here: {line.strip()}")
    return line.replace("{{", '{{ "{{" }}')


def render(deploy: Path) -> dict[Path, str]:
    """Path below `deploy` -> content. Raises CalledProcessError where kustomize refuses."""
    made = {TEMPLATES / name: text for name, text in _templates(deploy)}
    # The environment's kubectl, not the machine's: another version writes another YAML.
    kubectl = str(Path(sys.executable).with_name("kubectl"))
    base = subprocess.run(
        [kubectl, "kustomize", str(deploy)], capture_output=True, text=True, check=True
    ).stdout
    header = "# Generated from deploy/ by `make generate`; do not edit.\n"
    return {**made, INSTALL: header + base}


def _templates(deploy: Path) -> Iterator[tuple[str, str]]:
    for resource in _resources(deploy / "kustomization.yaml"):
        if resource == _CRDS:
            for name in _resources(deploy / _CRDS / "Kustomization"):
                yield f"crds/{name}", crd_template((deploy / _CRDS / name).read_text())
        elif resource != _NAMESPACE:
            yield resource, _generated(deploy, resource)
    for component in COMPONENTS:
        for name in _resources(deploy / component / "kustomization.yaml"):
            yield f"{component}/{name}", _generated(deploy, f"{component}/{name}")


def _generated(deploy: Path, name: str) -> str:
    header = f"{{{{- /* Generated from deploy/{name} by `make generate`; do not edit. */}}}}\n"
    return header + template((deploy / name).read_text())


def _resources(kustomization: Path) -> list[str]:
    names: list[str] = yaml.safe_load(kustomization.read_text())["resources"]
    return names


def differing(deploy: Path, wanted: Mapping[Path, str]) -> list[Path]:
    """Generated files below `deploy` that are missing, stale or should not be there."""
    files = [deploy / INSTALL, *(deploy / TEMPLATES).rglob("*.yaml")]
    there = {path.relative_to(deploy): path.read_text() for path in files if path.exists()}
    return sorted(path for path in wanted.keys() | there if wanted.get(path) != there.get(path))


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or check them; 1 where a check finds a difference."""
    parser = argparse.ArgumentParser(description="Generate the chart and install.yaml.")
    parser.add_argument("--deploy", type=Path, default=Path("deploy"), help="folder")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    options = parser.parse_args(arguments)
    deploy: Path = options.deploy
    wanted = render(deploy)
    stale = differing(deploy, wanted)
    if options.check:
        if stale:
            names = ", ".join(map(str, stale))
            print(f"{deploy}: {names} differ from the source; run `make generate`", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        if path in wanted:
            (deploy / path).parent.mkdir(parents=True, exist_ok=True)
            (deploy / path).write_text(wanted[path])
        else:
            (deploy / path).unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
