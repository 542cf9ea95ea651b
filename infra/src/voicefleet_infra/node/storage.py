"""Volumes: a folder of this machine each, by Rancher's local-path-provisioner.

A process beside the controllers, which has its folders made and removed by pods on the node.
"""

from __future__ import annotations

import json
from typing import Any

import yaml

from voicefleet_infra.controlplane import component
from voicefleet_infra.node.images import node_image_name
from voicefleet_infra.platform import Platform, write_private
from voicefleet_infra.service import Service, built_from
from voicefleet_infra.tools import binary

CLASS = "local-path"
USER = "local-path-provisioner"
NAMESPACE = "local-path-storage"
SCRIPTS = "local-path-config"
_PROVISIONER = "rancher.io/local-path"
_LABELS = {"app.kubernetes.io/name": "local-path-provisioner"}
_READ = ["get", "list", "watch"]
_WRITE = ["create", "patch", "update", "delete"]
# kubelet then gives a pod's group (fsGroup) the folder, which is nobody else's.
_SETUP = '#!/bin/sh\nset -eu\nmkdir -m 0770 -p "$VOL_DIR"\n'
_TEARDOWN = '#!/bin/sh\nset -eu\nrm -rf "$VOL_DIR"\n'


def provisioner(platform: Platform) -> Service:
    """It listens nowhere: only a volume that is made says that it works."""
    folder = platform.folder("node")
    own = component(platform, USER)
    volumes = {"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": [str(folder / "volumes")]}
    config = write_private(folder / "local-path.json", json.dumps({"nodePathMap": [volumes]}))
    helper = write_private(folder / "local-path-helper.yaml", yaml.safe_dump(_helper()))
    return Service(
        "local-path-provisioner",
        (
            str(binary("local-path-provisioner")),
            "start",
            f"--config={config}",
            f"--kubeconfig={own.kubeconfig}",
            f"--namespace={NAMESPACE}",
            f"--configmap-name={SCRIPTS}",
            f"--service-account-name={USER}",
            f"--helper-image={node_image_name()}",
            f"--helper-pod-file={helper}",
        ),
        str(folder / "volumes"),
        lambda: True,
        inputs=(config, helper, own.certificate, *built_from("local-path-provisioner")),
        shared=(folder,),
    )


def _helper() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "helper-pod"},
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [{"name": "helper-pod", "image": node_image_name()}],
        },
    }


def storage_objects() -> list[dict[str, Any]]:
    """The default StorageClass, and what the provisioner needs and may do."""
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        _named("v1", "ServiceAccount", USER, namespace=NAMESPACE),
        _named("v1", "ConfigMap", SCRIPTS, namespace=NAMESPACE)
        | {"data": {"setup": _SETUP, "teardown": _TEARDOWN}},
        _named("rbac.authorization.k8s.io/v1", "Role", USER, namespace=NAMESPACE)
        | {"rules": [_rule("", ["pods"], [*_READ, *_WRITE])]},
        _binding("RoleBinding", "Role", namespace=NAMESPACE),
        _named("rbac.authorization.k8s.io/v1", "ClusterRole", USER)
        | {
            "rules": [
                _rule("", ["nodes", "persistentvolumeclaims"], _READ),
                _rule("", ["persistentvolumes"], [*_READ, *_WRITE]),
                _rule("", ["events"], ["create", "patch"]),
                _rule("storage.k8s.io", ["storageclasses"], _READ),
            ]
        },
        _binding("ClusterRoleBinding", "ClusterRole"),
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": CLASS,
                "annotations": {
                    "storageclass.kubernetes.io/is-default-class": "true",
                    # Of a hostPath nobody sees to the group.
                    "defaultVolumeType": "local",
                },
            },
            "provisioner": _PROVISIONER,
            "volumeBindingMode": "WaitForFirstConsumer",
            "reclaimPolicy": "Delete",
        },
    ]


def _named(api_version: str, kind: str, name: str, **metadata: str) -> dict[str, Any]:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name, "labels": _LABELS, **metadata},
    }


def _rule(group: str, resources: list[str], verbs: list[str]) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}


def _binding(kind: str, role: str, **metadata: str) -> dict[str, Any]:
    group = "rbac.authorization.k8s.io"
    return _named(f"{group}/v1", kind, USER, **metadata) | {
        "roleRef": {"apiGroup": group, "kind": role, "name": USER},
        "subjects": [{"apiGroup": group, "kind": "User", "name": USER}],
    }
