"""A Kubernetes node on this machine, for the platform's own API server.

containerd runs the pods and kubelet looks after them; beside them run the controllers and the
scheduler, without which there are no pods, and a provisioner of volumes. All that they keep is
below `<state>/node`, so that a machine's own containerd or kubelet is not touched.
"""

from voicefleet_infra.node.containerd import import_images
from voicefleet_infra.node.network import open_network
from voicefleet_infra.node.objects import node_objects
from voicefleet_infra.node.removal import remove_traces, stop_pods
from voicefleet_infra.node.services import PROGRAMS, SERVICES, node_services

__all__ = [
    "PROGRAMS",
    "SERVICES",
    "import_images",
    "node_objects",
    "node_services",
    "open_network",
    "remove_traces",
    "stop_pods",
]
