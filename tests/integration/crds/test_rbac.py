"""Least privilege, asked of the real API server (SubjectAccessReview)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
import yaml

from support.controlplane import OPERATOR, ROOT, ControlPlane
from voicefleet_api.names import GROUP, SYSTEM_NAMESPACE

pytestmark = pytest.mark.integration


def allowed(
    plane: ControlPlane,
    verb: str,
    resource: str,
    *,
    group: str = "",
    namespace: str = "",
    user: str = OPERATOR,
    groups: tuple[str, ...] = ("system:authenticated",),
) -> bool:
    """Whether RBAC lets the user do it; `resource` may be resource/subresource."""
    name, _, subresource = resource.partition("/")
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": user,
            "groups": list(groups),
            "resourceAttributes": {
                "verb": verb,
                "group": group,
                "resource": name,
                "subresource": subresource,
                "namespace": namespace,
            },
        },
    }
    answer: dict[str, Any] = json.loads(
        plane.kubectl("create", "-o", "json", "-f", "-", stdin=json.dumps(review))
    )
    return bool(answer["status"]["allowed"])


def rights() -> Iterator[tuple[str, str, str, str]]:
    """Every right in the file that gives the operator its own: verb, resource, group, namespace."""
    file = ROOT / "deploy" / "rbac" / "operator.yaml"
    for role in yaml.safe_load_all(file.read_text()):
        # Which is bound by a client, in its own namespace.
        if role["metadata"]["name"] == "voicefleet-client-secrets":
            continue
        for rule in role.get("rules", []):
            parts = (rule["apiGroups"], rule["resources"], rule["verbs"])
            for group, resource, verb in product(*parts):
                yield verb, resource, group, role["metadata"].get("namespace", "")


MAY = sorted(rights())
MUST_NOT = [
    ("get", "secrets", "", "default"),
    ("get", "secrets", "", ""),
    ("list", "secrets", "", SYSTEM_NAMESPACE),
    ("update", "secrets", "", SYSTEM_NAMESPACE),
    ("create", "voiceclients", GROUP, "default"),
    ("update", "voiceclients", GROUP, "default"),
    ("delete", "voiceclients", GROUP, "default"),
    ("patch", "receptionists", GROUP, "default"),
    ("create", "fleets", GROUP, ""),
    ("delete", "fleets", GROUP, ""),
    ("deletecollection", "phonenumbers", GROUP, ""),
    ("update", "namespaces", "", ""),
    ("update", "namespaces/finalize", "", ""),
    ("get", "secrets", "", "vc-0000000001"),
    ("list", "secrets", "", "vc-0000000001"),
    ("watch", "secrets", "", ""),
    ("deletecollection", "secrets", "", "vc-0000000001"),
    ("get", "configmaps", "", "vc-0000000001"),
    ("list", "configmaps", "", ""),
    ("delete", "pods", "", "vc-0000000001"),
    ("get", "pods/log", "", "vc-0000000001"),
    ("get", "pods/proxy", "", "vc-0000000001"),
    ("create", "pods/portforward", "", "vc-0000000001"),
    ("create", "pods/eviction", "", "vc-0000000001"),
    ("update", "deployments", "apps", "vc-0000000001"),
    ("create", "daemonsets", "apps", "vc-0000000001"),
    ("delete", "networkpolicies", "networking.k8s.io", "vc-0000000001"),
    ("delete", "persistentvolumeclaims", "", "vc-0000000001"),
    ("create", "persistentvolumes", "", ""),
    ("create", "serviceaccounts/token", "", "vc-0000000001"),
    ("create", "rolebindings", "rbac.authorization.k8s.io", "vc-0000000001"),
    ("escalate", "roles", "rbac.authorization.k8s.io", "vc-0000000001"),
    ("get", "nodes", "", ""),
    ("create", "pods", "", "default"),
    ("create", "pods/exec", "", "default"),
    ("get", "configmaps", "", SYSTEM_NAMESPACE),
    ("create", "serviceaccounts/token", "", SYSTEM_NAMESPACE),
    ("impersonate", "users", "", ""),
    ("update", "leases", "coordination.k8s.io", "kube-system"),
    ("patch", "customresourcedefinitions", "apiextensions.k8s.io", ""),
    ("create", "clusterrolebindings", "rbac.authorization.k8s.io", ""),
    ("bind", "clusterroles", "rbac.authorization.k8s.io", ""),
    (
        "delete",
        "validatingadmissionpolicies",
        "admissionregistration.k8s.io",
        "",
    ),
]


@pytest.mark.parametrize(("verb", "resource", "group", "namespace"), MAY, ids=str)
def test_the_operator_may(
    plane: ControlPlane, verb: str, resource: str, group: str, namespace: str
) -> None:
    assert allowed(plane, verb, resource, group=group, namespace=namespace)


@pytest.mark.parametrize(("verb", "resource", "group", "namespace"), MUST_NOT, ids=str)
def test_the_operator_must_not(
    plane: ControlPlane, verb: str, resource: str, group: str, namespace: str
) -> None:
    assert not allowed(plane, verb, resource, group=group, namespace=namespace)


def test_roles_have_no_wildcards() -> None:
    for file in sorted((ROOT / "deploy" / "rbac").glob("*.yaml")):
        for role in yaml.safe_load_all(file.read_text()):
            for rule in role.get("rules", []):
                for part in ("apiGroups", "resources", "verbs"):
                    assert "*" not in rule[part], f"{file.name}: {role['metadata']['name']}"


def test_user_roles(plane: ControlPlane) -> None:
    for role in ("view", "edit"):
        plane.kubectl(
            "create",
            "clusterrolebinding",
            f"test-{role}",
            f"--clusterrole=voicefleet-{role}",
            f"--user={role}er",
        )

    def may(user: str, verb: str, resource: str) -> bool:
        return allowed(plane, verb, resource, group=GROUP, namespace="default", user=user)

    assert may("viewer", "list", "voiceclients")
    assert not may("viewer", "patch", "voiceclients")
    assert may("editer", "create", "voiceclients")
    assert may("editer", "delete", "receptionists")
    assert may("editer", "get", "fleets")
    assert not may("editer", "patch", "fleets")
    assert not may("editer", "delete", "phonenumbers")
    assert not may("editer", "patch", "voiceclients/status")
