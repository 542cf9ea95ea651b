"""The Kubernetes objects of a client, as dicts for server-side apply (pure; design, section 4).

A client has a namespace, which bears its ID as name. All its agents share in there, under the name
`agent`, a ServiceAccount without rights or token, a NetworkPolicy that lets through what is listed
and nothing else, and a volume; each agent has a Deployment, a Secret and a ConfigMap of its own,
`agent-blue` or `agent-green`. There is no PodDisruptionBudget: with one replica it would hold up
the drain of a node for ever. Fields: https://kubernetes.io/docs/reference/kubernetes-api/.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from typing import Any

from voicefleet_api.fleet import Egress, KubernetesConfig
from voicefleet_api.names import (
    CA_FILE,
    FIELD_MANAGER,
    GROUP,
    LABEL_CLIENT_ID,
    LABEL_FLEET_ID,
    SYSTEM_NAMESPACE,
)
from voicefleet_operator.drivers.runtime.base import HEALTH_PORT, LABEL_SLOT, LABEL_SPEC, UID
from voicefleet_operator.planning.desired import config_hash
from voicefleet_operator.planning.observed import Mark, Slot, UnitSpec, client_of

Object = dict[str, Any]

SHARED = "agent"
"""Name of what a client's agents share."""
LABEL_CONFIG = f"{GROUP}/config-hash"
"""On a Deployment: of the configuration in its ConfigMap."""
LABEL_SEAL = f"{GROUP}/seal"
"""On what is watched for changes by others: of its spec, as it was when we had written it."""
UNITS = f"{LABEL_CLIENT_ID},{LABEL_SLOT} in ({','.join(Slot)})"
"""Selects agents' own objects."""
POD_SECURITY = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/enforce-version": "latest",
}
"""https://kubernetes.io/docs/concepts/security/pod-security-standards/"""

DRAIN_SECONDS = 20
STOP_SECONDS = DRAIN_SECONDS + 10
"""The agent lets calls end for DRAIN_SECONDS; after STOP_SECONDS it is killed."""
INTERNET = "0.0.0.0/0"
_NOT_INTERNET = (
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
)
"""Private, shared and link-local networks (RFC 1918, 6598, 3927): other pods, nodes, the cloud's
metadata."""
READY_SECONDS = 1
"""Seconds between two questions of the kubelet whether the agent is registered; one no counts."""
_CLUSTER_DNS: Object = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
    "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
}
"""CoreDNS and kube-dns alike."""


def unit_name(slot: Slot) -> str:
    """Name of an agent's own objects."""
    return f"{SHARED}-{slot}"


def unit_labels(client_id: str, slot: Slot) -> dict[str, str]:
    """On an agent's own objects, its pods included."""
    return {**_client_labels(client_id), LABEL_SLOT: str(slot)}


def selector(client_id: str, slot: Slot) -> str:
    """Finds an agent's own objects."""
    return f"{LABEL_CLIENT_ID}={client_id},{LABEL_SLOT}={slot}"


def seal(obj: Object) -> str:
    """Of an object's spec as the API server has it, its defaults included; 16 digits.

    Not `metadata.generation`: a Deployment's own controller raises it, by an annotation.
    """
    text = json.dumps(obj["spec"], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_sealed(obj: Object) -> bool:
    """Whether nobody has changed the spec since it was sealed."""
    return bool((obj["metadata"].get("labels") or {}).get(LABEL_SEAL) == seal(obj))


def namespace(mark: Mark) -> Object:
    """The client's namespace: where its pods are admitted only as `restricted`."""
    labels = {**_client_labels(mark.client_id), LABEL_FLEET_ID: mark.fleet_id, **POD_SECURITY}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": mark.client_id,
            "labels": labels,
            # A label has room for 63 characters.
            "annotations": {f"{GROUP}/namespace": mark.namespace, f"{GROUP}/name": mark.name},
        },
    }


def network_policy(client_id: str, egress: Iterable[Egress]) -> Object:
    """Nothing comes in but the operator's question how the agent is; out go DNS and `egress`.

    A kubelet's probes pass by themselves: traffic from a pod's own node always does.
    """
    dns = {
        "to": [_CLUSTER_DNS],
        "ports": [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")],
    }
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": SHARED, "labels": _client_labels(client_id)},
        "spec": {
            "podSelector": {},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {
                    "from": [_namespace_peer(SYSTEM_NAMESPACE)],
                    "ports": [{"protocol": "TCP", "port": HEALTH_PORT}],
                }
            ],
            "egress": [dns, *({"to": [_peer(each)], "ports": _ports(each)} for each in egress)],
        },
    }


def service_account(client_id: str) -> Object:
    """An identity that may do nothing, and whose token no pod is given."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": SHARED, "labels": _client_labels(client_id)},
        "automountServiceAccountToken": False,
    }


def volume_claim(client_id: str, config: KubernetesConfig) -> Object:
    """The client's /data: bookings, and call records that wait for their delivery.

    For one node: two agents lock files on it (docs/decisions/0006).
    """
    spec: Object = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": f"{config.storage_mib}Mi"}},
    }
    if config.storage_class_name is not None:
        spec["storageClassName"] = config.storage_class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": SHARED, "labels": _client_labels(client_id)},
        "spec": spec,
    }


def config_map(unit: str, config_json: str) -> Object:
    """What is mounted as /config."""
    client_id, slot = client_of(unit)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": unit_name(slot), "labels": unit_labels(client_id, slot)},
        "data": {"agent.json": config_json},
    }


def secret(spec: UnitSpec) -> Object:
    """What is mounted as /secrets, a file each; the fleet's own certificates among them."""
    bundle = spec.kubernetes.ca_bundle
    files = {**spec.secrets, **({CA_FILE: bundle} if bundle else {})}
    data = {name: base64.b64encode(text.encode()).decode() for name, text in files.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": unit_name(spec.slot),
            "labels": unit_labels(spec.client_id, spec.slot),
        },
        "type": "Opaque",
        "data": data,
    }


def deployment(spec: UnitSpec, config: KubernetesConfig, image: str, spec_hash: str) -> Object:
    """One pod, and never two: both would register under one name."""
    labels = unit_labels(spec.client_id, spec.slot)
    own = {LABEL_SPEC: spec_hash, LABEL_CONFIG: config_hash(spec.config_json)}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": unit_name(spec.slot), "labels": labels | own},
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "revisionHistoryLimit": 1,
            "selector": {"matchLabels": _identity(spec.client_id, spec.slot)},
            "template": {
                # The hash in the template is what makes new secrets replace the pod.
                "metadata": {"labels": labels, "annotations": {LABEL_SPEC: spec_hash}},
                "spec": _pod(spec, config, image),
            },
        },
    }


def _pod(spec: UnitSpec, config: KubernetesConfig, image: str) -> Object:
    name = unit_name(spec.slot)
    same_client = {"matchLabels": {LABEL_CLIENT_ID: spec.client_id}}
    placed = {"nodeSelector": config.node_selector} if config.node_selector else {}
    return {
        **placed,
        # Both agents of a client on one node, where they share a volume and its file locks.
        "affinity": {
            "podAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [
                    {"labelSelector": same_client, "topologyKey": "kubernetes.io/hostname"}
                ]
            }
        },
        "serviceAccountName": SHARED,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # The kernel does not deliver SIGTERM to a first process that has no handler for it, which
        # the agent's Python has not while it starts; so the pause container's is the first.
        "shareProcessNamespace": True,
        "terminationGracePeriodSeconds": STOP_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": UID,
            "runAsGroup": UID,
            "fsGroup": UID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(spec, config, image)],
        "volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": SHARED}},
            {"name": "config", "configMap": {"name": name}},
            # 0440, to the group that is fsGroup.
            {"name": "secrets", "secret": {"secretName": name, "defaultMode": 0o440}},
            {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
        ],
    }


def _container(spec: UnitSpec, config: KubernetesConfig, image: str) -> Object:
    variables = {
        "VOICEFLEET_HEALTH_PORT": str(HEALTH_PORT),
        "VOICEFLEET_DRAIN_SECONDS": str(DRAIN_SECONDS),
        "VOICEFLEET_SLOT": str(spec.slot),
        # No sockets: models and portal are reached through the agent gateway.
        "VOICEFLEET_MODELS": "",
    }
    return {
        "name": "agent",
        "image": config.image or image,
        # By tag: an image that was imported on the nodes is in no registry.
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": name, "value": value} for name, value in variables.items()],
        "ports": [{"name": "health", "containerPort": HEALTH_PORT, "protocol": "TCP"}],
        # 200 while LiveKit holds the registration.
        "readinessProbe": {
            "httpGet": {"path": "/", "port": "health"},
            "periodSeconds": READY_SECONDS,
            "timeoutSeconds": 1,
            "failureThreshold": 1,
        },
        # 200 while the event loop runs, whether or not LiveKit is there.
        "livenessProbe": {
            "httpGet": {"path": "/healthz", "port": "health"},
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 12,
        },
        "resources": {
            "requests": {
                "cpu": f"{config.cpu_request_millis}m",
                "memory": f"{min(config.memory_request_mib, spec.memory_mib)}Mi",
            },
            "limits": {
                "cpu": f"{max(config.cpu_limit_millis, config.cpu_request_millis)}m",
                "memory": f"{spec.memory_mib}Mi",
            },
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "data", "mountPath": "/data"},
            # The folder and not the file: only that follows the ConfigMap.
            {"name": "config", "mountPath": "/config", "readOnly": True},
            {"name": "secrets", "mountPath": "/secrets", "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
        ],
    }


def _client_labels(client_id: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "voicefleet-agent",
        "app.kubernetes.io/part-of": "voicefleet",
        "app.kubernetes.io/managed-by": FIELD_MANAGER,
        LABEL_CLIENT_ID: client_id,
    }


def _identity(client_id: str, slot: Slot) -> dict[str, str]:
    return {LABEL_CLIENT_ID: client_id, LABEL_SLOT: str(slot)}


def _peer(egress: Egress) -> Object:
    if egress.namespace is not None:
        return _namespace_peer(egress.namespace)
    block: Object = {"cidr": egress.cidr}
    if egress.cidr == INTERNET:
        block["except"] = [*_NOT_INTERNET]
    return {"ipBlock": block}


def _namespace_peer(name: str) -> Object:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def _ports(egress: Egress) -> list[Object]:
    return [
        {"protocol": each.protocol, "port": each.port}
        | ({"endPort": each.end_port} if each.end_port is not None else {})
        for each in egress.ports
    ]
