"""kubelet: the node's side of the cluster."""

from __future__ import annotations

from typing import Any

import yaml

from voicefleet_infra.controlplane import component
from voicefleet_infra.node.containerd import containerd_socket
from voicefleet_infra.platform import Platform, write_private
from voicefleet_infra.probes import http_ok
from voicefleet_infra.service import Service, built_from
from voicefleet_infra.tools import ToolMissing, binary

NODE = "voicefleet"


def kubelet(platform: Platform) -> Service:
    """Under the rights of a node; the API server asks it for logs, and to run commands in pods.

    Raises `ToolMissing` where this machine has no address but loopback.
    """
    if platform.address == "127.0.0.1":
        raise ToolMissing("a Kubernetes node needs an address that is not loopback's")
    node = component(
        platform, f"system:node:{NODE}", organisation="system:nodes", address=platform.address
    )
    health = platform.port("kubelet-health")
    config = write_private(
        platform.folder("node") / "kubelet.yaml",
        yaml.safe_dump(_config(platform, str(node.ca), str(node.certificate), str(node.key))),
    )
    return Service(
        "kubelet",
        (
            str(binary("kubelet")),
            f"--config={config}",
            f"--kubeconfig={node.kubeconfig}",
            f"--hostname-override={NODE}",
            f"--node-ip={platform.address}",
            f"--root-dir={platform.folder('node', 'kubelet')}",
        ),
        f"http://127.0.0.1:{health}/healthz",
        lambda: http_ok(health, "/healthz"),
        inputs=(config, node.certificate, *built_from("kubelet")),
        ports=("kubelet", "kubelet-health"),
    )


def _config(platform: Platform, ca: str, certificate: str, key: str) -> dict[str, Any]:
    """https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/"""
    folder = platform.folder("node", "kubelet")
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": platform.address,
        "port": platform.port("kubelet"),
        "healthzPort": platform.port("kubelet-health"),
        "authentication": {"anonymous": {"enabled": False}, "x509": {"clientCAFile": ca}},
        "tlsCertFile": certificate,
        "tlsPrivateKeyFile": key,
        "containerRuntimeEndpoint": f"unix://{containerd_socket(platform)}",
        "podLogsDir": str(platform.folder("logs", "pods")),
        "volumePluginDir": str(folder / "volume-plugins"),
        # Machines that are containers themselves: cgroups of the old kind, kernel settings that are
        # not ours, disks of which nobody says how full they are.
        "featureGates": {"KubeletInUserNamespace": True},
        "failCgroupV1": False,
        "failSwapOn": False,
        "localStorageCapacityIsolation": False,
        "evictionHard": {},
        # Pods' containers have limits of their own. Groups above them are one tree a machine, in
        # which a kubelet ends what it does not know: another platform's pods.
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "makeIPTablesUtilChains": False,
        # There is no registry to bring an image again.
        "imageGCHighThresholdPercent": 100,
    }
