"""What the stack's Kubernetes objects have in common."""

from __future__ import annotations

from typing import Any

import pulumi

from voicefleet_infra.components.cloud.budget import CLIENT, SHARED

SYSTEM, MEDIA, DATA, MODELS = (
    "voicefleet-system",
    "voicefleet-media",
    "voicefleet-data",
    "voicefleet-models",
)
"""Namespaces: ours; sound; Redis and PostgreSQL; language models."""
USER = 10001


def labels(name: str) -> dict[str, str]:
    """Of an object that all clients share the cost of."""
    return {
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/part-of": "voicefleet",
        CLIENT: SHARED,
    }


def selector(name: str) -> dict[str, str]:
    """The pods of a workload."""
    return {"app.kubernetes.io/name": name}


def metadata(name: str, namespace: str) -> dict[str, Any]:
    """Name, namespace and labels."""
    return {"name": name, "namespace": namespace, "labels": labels(name)}


def limits(cpu: str, memory: str, **more: str) -> dict[str, Any]:
    """Limits of a container. Its memory is its own; processors are shared by who needs them."""
    return {
        "limits": {"cpu": cpu, "memory": memory, **more},
        "requests": {"cpu": "100m", "memory": memory, **more},
    }


RESTRICTED_POD: dict[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "fsGroup": USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}
RESTRICTED: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
"""Securing a container, as Pod Security `restricted` wants it."""


def within(
    component: pulumi.ComponentResource,
    opts: pulumi.ResourceOptions | None,
    *after: pulumi.Resource,
) -> pulumi.ResourceOptions:
    """Options of a component's child: it comes after what its parent comes after, and `after`.

    Pulumi hands a parent's `depends_on` on to nobody: `destroy` would take the namespace first.
    """
    inherited = opts.depends_on if opts else None
    before = list(inherited) if isinstance(inherited, list) else []
    return pulumi.ResourceOptions(parent=component, depends_on=[*before, *after])
