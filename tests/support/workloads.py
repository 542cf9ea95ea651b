"""What a kubelet and Kubernetes' controllers do for an agent, where there are none of them.

Tests call it by hand: the API server of `ControlPlane` stores objects; nothing happens by itself.
"""

from __future__ import annotations

import json
from typing import Any

from support.controlplane import ControlPlane

Object = dict[str, Any]
CONTENT = "deploy,po,cm,secret,sa,pvc,netpol,rs,svc,ep,role,rolebinding,pdb"
"""What may be in a client's namespace, ours and what somebody might have put there."""


def pod_of(plane: ControlPlane, namespace: str, name: str = "agent-blue") -> Object:
    """The Pod that a Deployment's controller would make."""
    template = plane.get("deploy", name, "-n", namespace)["spec"]["template"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": template["metadata"] | {"name": name, "namespace": namespace},
        "spec": template["spec"],
    }


def run_pod(
    plane: ControlPlane, namespace: str, name: str = "agent-blue", *, ready: bool = True
) -> None:
    """Make the Deployment's pod, and say of it what a kubelet would."""
    plane.apply(pod_of(plane, namespace, name))
    set_ready(plane, namespace, name, ready=ready)


def set_ready(
    plane: ControlPlane, namespace: str, name: str = "agent-blue", *, ready: bool = True
) -> None:
    """Say that the pod runs, and whether its agent is registered."""
    status = {
        "phase": "Running",
        "podIP": "127.0.0.1",
        "podIPs": [{"ip": "127.0.0.1"}],
        "conditions": [{"type": "Ready", "status": str(ready)}],
    }
    patch = json.dumps({"status": status})
    target = ("pod", name, "-n", namespace)
    plane.kubectl("patch", *target, "--subresource=status", "--type=merge", "-p", patch)


def collect_garbage(plane: ControlPlane, namespace: str) -> None:
    """Remove the pods of Deployments that are gone."""
    deployments = plane.get("deploy", "-n", namespace)["items"]
    kept = {each["metadata"]["name"] for each in deployments}
    for pod in plane.get("po", "-n", namespace)["items"]:
        name = pod["metadata"]["name"]
        if name not in kept:
            plane.kubectl("delete", "po", name, "-n", namespace, "--force", "--grace-period=0")


def terminating(plane: ControlPlane) -> list[str]:
    """Namespaces that wait for their controller."""
    namespaces = plane.get("ns")["items"]
    return [n["metadata"]["name"] for n in namespaces if n["status"]["phase"] == "Terminating"]


def finish_namespace(plane: ControlPlane, namespace: str) -> None:
    """Delete what is in it, and let it go, as the namespace's controller does."""
    where = ("-n", namespace)
    for claim in plane.get("pvc", *where)["items"]:
        # Else held by the protection of claims that are in use, whose controller is missing, too.
        name, patch = claim["metadata"]["name"], '{"metadata":{"finalizers":null}}'
        plane.kubectl("patch", "pvc", name, *where, "--type=merge", "-p", patch)
    plane.kubectl("delete", CONTENT, "--all", *where, "--force", "--grace-period=0")
    obj = plane.get("ns", namespace)
    obj["spec"]["finalizers"] = []
    path = f"/api/v1/namespaces/{namespace}/finalize"
    plane.kubectl("replace", "--raw", path, "-f", "-", stdin=json.dumps(obj))
