"""The node's processes."""

from __future__ import annotations

from voicefleet_infra.node.containerd import containerd
from voicefleet_infra.node.controllers import controllers, scheduler
from voicefleet_infra.node.kubelet import kubelet
from voicefleet_infra.node.storage import provisioner
from voicefleet_infra.platform import Platform
from voicefleet_infra.service import Service

PROGRAMS = ("kube-controller-manager", "kube-scheduler", "local-path-provisioner", "kubelet")
"""Go programs that a node needs beside the API server."""
SERVICES = ("kube-controller-manager", "kube-scheduler", "local-path-provisioner", "containerd",
            "kubelet")  # fmt: skip
"""In the order in which they are started, the API server running."""


def node_services(platform: Platform) -> tuple[Service, ...]:
    """Of `SERVICES`."""
    return (
        controllers(platform),
        scheduler(platform),
        provisioner(platform),
        containerd(platform),
        kubelet(platform),
    )
