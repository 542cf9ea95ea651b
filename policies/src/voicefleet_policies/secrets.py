"""No secret in the clear: neither where pods' environments are read, nor in a stack's state."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from voicefleet_policies.pods import containers, kind
from voicefleet_policies.rules import Props, Rule, items, mapping

_NAMES = ("password", "passwd", "token", "apikey", "privatekey", "secretkey", "clientsecret")
"""How the names of secrets end, in lower case and without - and _."""
_ENVIRONMENT = (*_NAMES, "secret", "credentials")
_VALUES = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\b[rs]k_(live|test)_[0-9A-Za-z]{8}"  # Stripe
    r"|\b(AKIA|ASIA)[0-9A-Z]{16}\b"  # AWS
    r"|\bgh[pousr]_[0-9A-Za-z]{20}"  # GitHub
    r"|://[^/\s:@]+:[^/\s:@]+@"  # user and password of a URL
)
_KEPT_SECRET = ("kubernetes:core/v1:Secret", "random:", "pulumi-python:dynamic/podman:Secret")
"""Their providers mark what is secret, and Pulumi keeps it encrypted."""


def _named(name: str, endings: tuple[str, ...]) -> bool:
    return re.sub(r"[-_.]", "", name).lower().endswith(endings)


def _strings(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every string, and where it stands; a Secret among objects that are applied is one."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        if value.get("kind") == "Secret":
            return
        for key in value:
            yield from _strings(value[key], f"{path}.{key}" if path else str(key))
    elif isinstance(value, Sequence):
        for index, each in enumerate(value):
            yield from _strings(each, f"{path}[{index}]")


def _settings(type_: str, props: Props) -> Iterator[tuple[str, str]]:
    """What is given by name and value: ConfigMaps and charts' values."""
    if kind(type_) == "ConfigMap":
        yield from _strings(mapping(props.get("data")), "data")
    elif type_.startswith("kubernetes:helm.sh/"):
        yield from _strings(mapping(props.get("values")), "values")


def _plaintext(type_: str, props: Props) -> Iterator[str]:
    if type_.startswith(_KEPT_SECRET):
        return
    for container in containers(type_, props):
        for variable in map(mapping, items(container.get("env"))):
            if variable.get("value") and _named(str(variable.get("name")), _ENVIRONMENT):
                yield f"container {container.get('name')} has {variable.get('name')} in the clear"
    for path, text in _settings(type_, props):
        if text and _named(path.rpartition(".")[2], _NAMES):
            yield f"{path} is a secret in the clear"
    # SSH's own keys are marked as secrets by the provider.
    shown = {key: props[key] for key in props if key != "connection"}
    for path, text in _strings(shown):
        if _VALUES.search(text):
            yield f"{path} holds what looks like a key or a password"


RULES = (
    Rule(
        "no-plaintext-secret",
        "No secret stands in an environment, a ConfigMap, a chart's values or any other input.",
        "Put it into the stack's configuration with `pulumi config set --secret`, from there into a"
        " Kubernetes Secret, and refer to it: valueFrom.secretKeyRef, or a mounted file",
        _plaintext,
    ),
)
