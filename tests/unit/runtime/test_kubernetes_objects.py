"""What is made in a cluster for a client, and who reaches its agent."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import kopf
import pytest
import yaml

from support.networkpolicy import Cluster, Place
from voicefleet_api.fleet import KubernetesConfig
from voicefleet_api.names import LABEL_CLIENT_ID
from voicefleet_operator.drivers.runtime import kubernetes_objects as objects
from voicefleet_operator.drivers.runtime.kubernetes import KubernetesRuntime
from voicefleet_operator.kube import Kube
from voicefleet_operator.planning.observed import Mark, Slot, UnitSpec

pytestmark = pytest.mark.unit

GOLDEN = Path(__file__).parents[2] / "golden" / "kubernetes" / "client.yaml"
CONFIG = KubernetesConfig.model_validate(
    {
        "image": "registry.example/voicefleet-agent:1.4.0",
        "storageClassName": "local-path",
        "nodeSelector": {"voicefleet.dev/agents": "true"},
        "egress": [
            # LiveKit is in its node's network.
            {
                "name": "livekit",
                "cidr": "192.0.2.10/32",
                "ports": [
                    {"port": 7880},
                    {"protocol": "UDP", "port": 50000, "endPort": 60000},
                ],
            },
            {"name": "models", "namespace": "models", "ports": [{"port": 8443}]},
            {"name": "portal", "namespace": "voicefleet-system", "ports": [{"port": 9443}]},
            {"name": "proxy", "namespace": "egress", "ports": [{"port": 3128}]},
        ],
    }
)
SPEC = UnitSpec(
    client_id="vc-0000000001",
    mark=Mark("vf-00000001", "vc-0000000001", "agency", "bright-smile"),
    config_json=json.dumps({"agentName": "voicefleet-vc-0000000001", "livekitURL": "ws://x"}),
    memory_mib=512,
    secrets={"LIVEKIT_API_KEY": "key", "LIVEKIT_API_SECRET": "quiet"},
    kubernetes=CONFIG,
)


def rendered(spec: UnitSpec) -> list[objects.Object]:
    """All of a client with one agent."""
    client_id, config = spec.client_id, spec.kubernetes
    return [
        objects.namespace(spec.mark),
        objects.network_policy(client_id, config.egress),
        objects.service_account(client_id),
        objects.volume_claim(client_id, config),
        objects.config_map(spec.unit_id, spec.config_json),
        objects.secret(spec),
        objects.deployment(spec, config, "localhost/agent:1", "0" * 32),
    ]


def test_a_clients_objects_are_these() -> None:
    """`tests/golden/kubernetes/client.yaml` is for reading: change it with the code, on purpose."""
    assert rendered(SPEC) == list(yaml.safe_load_all(GOLDEN.read_text()))


def test_two_agents_of_a_client_share_all_but_their_own() -> None:
    green = replace(SPEC, slot=Slot.GREEN)
    both = zip(rendered(SPEC), rendered(green), strict=True)
    differ = {blue["kind"] for blue, other in both if blue != other}
    assert differ == {"ConfigMap", "Secret", "Deployment"}
    selectors = [
        objects.deployment(spec, CONFIG, "i:1", "")["spec"]["selector"] for spec in (SPEC, green)
    ]
    assert selectors[0] != selectors[1]


def test_certificates_of_the_fleets_own_lie_beside_the_secrets() -> None:
    bundle = "-----BEGIN CERTIFICATE-----"
    believing = CONFIG.model_copy(update={"ca_bundle": bundle})
    data = objects.secret(replace(SPEC, kubernetes=believing))["data"]
    assert base64.b64decode(data["ca.pem"]).decode() == bundle
    assert data.keys() == {*SPEC.secrets, "ca.pem"}


def test_no_object_but_the_secret_holds_a_secret() -> None:
    for obj in rendered(SPEC):
        assert ("cXVpZXQ=" in json.dumps(obj)) == (obj["kind"] == "Secret")
        assert "quiet" not in json.dumps(obj)


def test_a_call_is_let_end_before_the_pod_is_killed() -> None:
    pod = objects.deployment(SPEC, CONFIG, "i:1", "")["spec"]["template"]["spec"]
    drain = {each["name"]: each["value"] for each in pod["containers"][0]["env"]}
    assert int(drain["VOICEFLEET_DRAIN_SECONDS"]) < pod["terminationGracePeriodSeconds"]


def hashed(**changes: Any) -> str:
    driver = KubernetesRuntime(
        Kube(lambda: kopf.ConnectionInfo(server="http://nowhere")), "localhost/agent:1"
    )
    config = CONFIG.model_copy(update=changes)
    return driver.spec_hash(replace(SPEC, kubernetes=config))


def test_what_reaches_a_pod_changes_its_version_and_what_does_not_does_not() -> None:
    same = hashed()
    assert hashed(storage_mib=9999, storage_class_name="other") == same
    for changes in (
        {"image": "other:1"},
        {"cpu_limit_millis": 1},
        {"node_selector": {}},
        {"egress": CONFIG.egress[1:]},
    ):
        assert hashed(**changes) != same


def test_a_seal_breaks_when_a_spec_changes_and_not_when_something_else_does() -> None:
    live = objects.network_policy(SPEC.client_id, CONFIG.egress)
    assert not objects.is_sealed(live)
    live["metadata"]["labels"][objects.LABEL_SEAL] = objects.seal(live)
    live["metadata"]["labels"]["team"] = "a"
    assert objects.is_sealed(live)
    live["spec"]["egress"].append({})
    assert not objects.is_sealed(live)


# Who reaches whom -------------------------------------------------------------------------------

NAMESPACES = {
    name: {"kubernetes.io/metadata.name": name}
    for name in (
        "vc-0000000001", "vc-0000000002", "voicefleet-system", "kube-system", "models", "egress",
        "shop",
    )
}  # fmt: skip


def policy(client_id: str, config: KubernetesConfig = CONFIG) -> objects.Object:
    made = objects.network_policy(client_id, config.egress)
    return {**made, "metadata": made["metadata"] | {"namespace": client_id}}


def agent(client_id: str, address: str) -> Place:
    return Place(address, client_id, objects.unit_labels(client_id, Slot.BLUE))


OURS, NEIGHBOUR = agent("vc-0000000001", "10.42.0.11"), agent("vc-0000000002", "10.42.0.12")
DNS = Place("10.42.0.2", "kube-system", {"k8s-app": "kube-dns"})
METRICS = Place("10.42.0.3", "kube-system", {"k8s-app": "metrics-server"})
OPERATOR = Place("10.42.0.4", "voicefleet-system", {"app": "operator"})
MODELS = Place("10.42.0.5", "models", {"app": "stt"})
PROXY = Place("10.42.0.6", "egress", {"app": "proxy"})
SHOP = Place("10.42.0.7", "shop", {})
LIVEKIT = Place("192.0.2.10")
API_SERVER = Place("192.0.2.1")
METADATA = Place("169.254.169.254")
VENDOR = Place("198.51.100.7")

BEFORE = Cluster(NAMESPACES)
AFTER = Cluster(NAMESPACES, [policy("vc-0000000001"), policy("vc-0000000002")])
MAY: Sequence[tuple[Place, Place, int, str]] = [
    (OURS, DNS, 53, "UDP"),
    (OURS, DNS, 53, "TCP"),
    (OURS, LIVEKIT, 7880, "TCP"),
    (OURS, LIVEKIT, 50000, "UDP"),
    (OURS, LIVEKIT, 60000, "UDP"),
    (OURS, MODELS, 8443, "TCP"),
    (OURS, OPERATOR, 9443, "TCP"),
    (OURS, PROXY, 3128, "TCP"),
    (OPERATOR, OURS, 8081, "TCP"),
]
MUST_NOT: Sequence[tuple[Place, Place, int, str]] = [
    (OURS, NEIGHBOUR, 8081, "TCP"),
    (NEIGHBOUR, OURS, 8081, "TCP"),
    (OURS, API_SERVER, 443, "TCP"),
    (OURS, API_SERVER, 6443, "TCP"),
    (OURS, METADATA, 80, "TCP"),
    (OURS, VENDOR, 443, "TCP"),
    (OURS, METRICS, 53, "UDP"),
    (OURS, METRICS, 443, "TCP"),
    (OURS, DNS, 9153, "TCP"),
    (OURS, LIVEKIT, 6379, "TCP"),
    (OURS, LIVEKIT, 50000, "TCP"),
    (OURS, LIVEKIT, 49999, "UDP"),
    (OURS, LIVEKIT, 60001, "UDP"),
    (OURS, MODELS, 22, "TCP"),
    (OURS, OPERATOR, 8080, "TCP"),
    (OURS, SHOP, 80, "TCP"),
    (SHOP, OURS, 8081, "TCP"),
    (VENDOR, OURS, 8081, "TCP"),
    (OPERATOR, OURS, 8082, "TCP"),
]


@pytest.mark.parametrize("way", MAY)
def test_an_agent_reaches_what_is_listed(way: tuple[Place, Place, int, str]) -> None:
    assert AFTER.allows(*way)


@pytest.mark.parametrize("way", MUST_NOT)
def test_and_nothing_else_where_all_was_open_before(way: tuple[Place, Place, int, str]) -> None:
    assert BEFORE.allows(*way)
    assert not AFTER.allows(*way)


def test_the_internet_is_not_the_cluster() -> None:
    config = KubernetesConfig.model_validate(
        {"egress": [{"name": "vendors", "cidr": "0.0.0.0/0", "ports": [{"port": 443}]}]}
    )
    cluster = Cluster(NAMESPACES, [policy("vc-0000000001", config)])
    assert cluster.allows(OURS, VENDOR, 443)
    for near in (NEIGHBOUR, SHOP, METADATA, Place("192.168.1.1"), Place("172.16.0.1")):
        assert not cluster.allows(OURS, near, 443)


def test_the_evaluator_lets_only_selected_peers_through() -> None:
    """Rules of several policies add up; a podSelector alone means the policy's own namespace."""
    own = {"metadata": {"namespace": "shop"}}
    closed = own | {"spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}
    opened = own | {
        "spec": {
            "podSelector": {"matchLabels": {"app": "web"}},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "till"}}}]}],
        }
    }
    web, till = (
        Place("10.0.0.1", "shop", {"app": "web"}),
        Place("10.0.0.2", "shop", {"app": "till"}),
    )
    cluster = Cluster(NAMESPACES, [closed, opened])
    assert cluster.allows(till, web, 80)
    assert not cluster.allows(web, till, 80)
    assert not cluster.allows(replace(till, namespace="models"), web, 80)
    assert cluster.allows(till, DNS, 53, "UDP")


def test_every_label_that_a_client_bears_names_it() -> None:
    for obj in rendered(SPEC):
        assert obj["metadata"]["labels"][LABEL_CLIENT_ID] == SPEC.client_id
