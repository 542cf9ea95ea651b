"""NVIDIA's GPU operator: driver, container runtime and device plugin on every node with a GPU.

https://docs.nvidia.com/datacenter/cloud-native/gpu-operator/latest/getting-started.html
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from voicefleet_infra.components.cloud.objects import limits, within

VERSION = "v25.10.0"
RUNTIME_CLASS = "nvidia"
RESOURCE = "nvidia.com/gpu"
# Where k3s keeps its containerd (https://docs.k3s.io/advanced#nvidia-container-runtime-support).
_K3S = [
    {
        "name": "CONTAINERD_CONFIG",
        "value": "/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
    },
    {"name": "CONTAINERD_SOCKET", "value": "/run/k3s/containerd/containerd.sock"},
]


@dataclass(frozen=True)
class GpusArgs:
    """How nodes are."""

    k3s: bool
    """k3s has its containerd in places of its own."""
    driver: bool
    """Whether the driver is to be installed; not where the machine's image brings one."""


class Gpus(pulumi.ComponentResource):
    """Pods may ask for `nvidia.com/gpu` once this is there."""

    runtime_class: str = RUNTIME_CLASS

    def __init__(
        self, name: str, args: GpusArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("voicefleet:cloud:Gpus", name, None, opts)
        kubernetes.helm.v3.Release(
            name,
            name="gpu-operator",
            chart="gpu-operator",
            version=VERSION,
            repository_opts={"repo": "https://helm.ngc.nvidia.com/nvidia"},
            namespace="gpu-operator",
            create_namespace=True,
            values={
                "driver": {"enabled": args.driver},
                "toolkit": {"enabled": True, "env": _K3S if args.k3s else []},
                "operator": {"resources": limits("500m", "512Mi")},
            },
            # A driver is built on the node.
            timeout=1200,
            opts=within(self, opts),
        )
        self.register_outputs({"runtimeClass": self.runtime_class})
