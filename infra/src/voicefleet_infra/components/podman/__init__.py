"""Podman as Pulumi resources: networks, volumes, secrets and pods, over podman-py.

Dynamic providers (https://www.pulumi.com/docs/iac/concepts/providers/dynamic-providers/), since no
published provider knows a pod. Each resource's ID is its name, which belongs to one stack.
"""

from voicefleet_infra.components.podman.pod import (
    HOST,
    Container,
    Mount,
    Pod,
    Port,
    SecretFile,
)
from voicefleet_infra.components.podman.resources import Network, Secret, Volume

__all__ = [
    "HOST",
    "Container",
    "Mount",
    "Network",
    "Pod",
    "Port",
    "Secret",
    "SecretFile",
    "Volume",
]
