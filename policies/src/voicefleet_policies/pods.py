"""What workloads have in common: a pod, and containers in it. Kubernetes' and the home lab's."""

from __future__ import annotations

from collections.abc import Iterator

from voicefleet_policies.rules import Props, items, mapping

PODMAN = "pulumi-python:dynamic/podman:Pod"
"""A pod of the home lab; its driver allows no privileges, whatever it is asked for."""
_TEMPLATES = frozenset(
    {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"}
)


def kind(type_: str) -> str:
    """`Deployment` of `kubernetes:apps/v1:Deployment`; empty for what is no Kubernetes object."""
    provider, _, rest = type_.partition(":")
    return rest.rpartition(":")[2] if provider == "kubernetes" and "/" in rest else ""


def pod(type_: str, props: Props) -> Props:
    """The pod itself or the template of one (with `metadata`, `spec`); empty: it has none."""
    name, spec = kind(type_), mapping(props.get("spec"))
    if name == "Pod":
        return props
    if name == "CronJob":
        spec = mapping(mapping(spec.get("jobTemplate")).get("spec"))
    elif name not in _TEMPLATES:
        return {}
    return mapping(spec.get("template"))


def containers(type_: str, props: Props) -> Iterator[Props]:
    """All of a workload's, those that run first among them, as Kubernetes spells them."""
    if type_ == PODMAN:
        yield from map(_as_kubernetes, items(props.get("containers")))
        return
    spec = mapping(pod(type_, props).get("spec"))
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from map(mapping, items(spec.get(field)))


def _as_kubernetes(container: Props) -> Props:
    memory = container.get("memory_mib")
    return {
        "name": container.get("name"),
        "image": container.get("image"),
        "env": [
            {"name": name, "value": value}
            for name, value in mapping(container.get("environment")).items()
        ],
        "resources": {"limits": {"memory": f"{memory}Mi"} if memory else {}},
        "securityContext": {"allowPrivilegeEscalation": False},
    }


def label(of: Props, name: str) -> str:
    """A label of an object or a template; empty where there is none."""
    labels = mapping(mapping(of.get("metadata")).get("labels"))
    return str(labels.get(name, ""))
