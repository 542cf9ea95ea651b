"""What stands in the API server so that a node can be used."""

from __future__ import annotations

from typing import Any

from voicefleet_infra.controlplane import API_SERVER
from voicefleet_infra.node.storage import storage_objects


def node_objects() -> list[dict[str, Any]]:
    """The default StorageClass with its provisioner's rights, and the API server's at kubelets."""
    group = "rbac.authorization.k8s.io"
    logs_and_commands = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "voicefleet-api-server-to-kubelets"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "system:kubelet-api-admin"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": API_SERVER}],
    }
    return [logs_and_commands, *storage_objects()]
