"""Who reaches the agent gateway's and the models' pods, and whom they reach, by the NetworkPolicies
of both ends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.networkpolicy import Cluster, Place
from voicefleet_api.fleet import FleetSpec
from voicefleet_api.names import SYSTEM_NAMESPACE
from voicefleet_operator.drivers.runtime import kubernetes_objects as objects
from voicefleet_operator.planning.observed import Mark, Slot

pytestmark = pytest.mark.unit

DEPLOY = Path(__file__).parents[3] / "deploy"
CLIENT = "vc-0000000001"


def agents_policy() -> dict[str, Any]:
    """Of a client in the example repository's fleet."""
    fleet = yaml.safe_load((DEPLOY / "gitops" / "platform" / "base" / "fleet.yaml").read_text())
    runtime = FleetSpec.model_validate(fleet["spec"]).runtime
    assert runtime is not None
    assert runtime.kubernetes is not None
    made = objects.network_policy(CLIENT, runtime.kubernetes.egress)
    return {**made, "metadata": made["metadata"] | {"namespace": CLIENT}}


def namespaces() -> dict[str, dict[str, str]]:
    """The client's has the operator's labels; every one has its name's."""
    own = objects.namespace(Mark("vf-1", CLIENT, "shop", "teeth"))["metadata"]["labels"]
    names = (CLIENT, SYSTEM_NAMESPACE, "voicefleet-models", "kube-system", "shop")
    found = {name: {"kubernetes.io/metadata.name": name} for name in names}
    return found | {CLIENT: found[CLIENT] | own}


GATEWAY = Place(
    "10.42.0.9", SYSTEM_NAMESPACE, {"app.kubernetes.io/name": "voicefleet-agent-gateway"}
)
MODELS = Place("10.42.0.8", SYSTEM_NAMESPACE, {"app.kubernetes.io/name": "voicefleet-models"})
LANGUAGE = Place("10.42.0.6", "voicefleet-models", {"app.kubernetes.io/name": "models"})
AGENT = Place("10.42.0.11", CLIENT, objects.unit_labels(CLIENT, Slot.BLUE))
OPERATOR = Place("10.42.0.4", SYSTEM_NAMESPACE, {"app.kubernetes.io/name": "voicefleet-operator"})
DNS = Place("10.42.0.2", "kube-system", {"k8s-app": "kube-dns"})
SHOP = Place("10.42.0.7", "shop", {"app.kubernetes.io/name": "voicefleet-agent"})
LIVEKIT = Place("192.0.2.11")
API_SERVER = Place("192.0.2.1")
STRANGER = Place("198.51.100.7")

MAY: Sequence[tuple[Place, Place, int, str]] = [
    (AGENT, GATEWAY, 8443, "TCP"),
    (OPERATOR, GATEWAY, 8443, "TCP"),
    (GATEWAY, LIVEKIT, 7880, "TCP"),
    (GATEWAY, API_SERVER, 443, "TCP"),
    (GATEWAY, API_SERVER, 6443, "TCP"),
    (GATEWAY, DNS, 53, "UDP"),
    (GATEWAY, DNS, 53, "TCP"),
    *((GATEWAY, MODELS, port, "TCP") for port in (8081, 8082, 8083)),
    (MODELS, LANGUAGE, 11434, "TCP"),
    (MODELS, STRANGER, 443, "TCP"),
    (MODELS, DNS, 53, "UDP"),
]
MUST_NOT: Sequence[tuple[Place, Place, int, str]] = [
    (AGENT, GATEWAY, 8080, "TCP"),
    (OPERATOR, GATEWAY, 8080, "TCP"),
    (SHOP, GATEWAY, 8443, "TCP"),
    (STRANGER, GATEWAY, 8443, "TCP"),
    (GATEWAY, AGENT, 8081, "TCP"),
    (GATEWAY, STRANGER, 25, "TCP"),
    (GATEWAY, LIVEKIT, 6379, "TCP"),
    (GATEWAY, MODELS, 8084, "TCP"),
    *((AGENT, MODELS, port, "TCP") for port in (8081, 8082, 8083)),
    (OPERATOR, MODELS, 8081, "TCP"),
    (SHOP, MODELS, 8081, "TCP"),
    (MODELS, API_SERVER, 6443, "TCP"),
    (MODELS, AGENT, 8081, "TCP"),
]


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    own = [
        yaml.safe_load((DEPLOY / name / "networkpolicy.yaml").read_text())
        for name in ("gateway", "models")
    ]
    return Cluster(namespaces(), [*own, agents_policy()])


@pytest.mark.parametrize("way", MAY)
def test_what_it_is_for_goes_through(cluster: Cluster, way: tuple[Place, Place, int, str]) -> None:
    assert cluster.allows(*way)


@pytest.mark.parametrize("way", MUST_NOT)
def test_and_nothing_else_where_all_was_open_before(
    cluster: Cluster, way: tuple[Place, Place, int, str]
) -> None:
    before = Cluster(cluster.namespaces)
    assert before.allows(*way)
    assert not cluster.allows(*way)
