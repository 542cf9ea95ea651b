"""The cloud stack's structure, from the settings that come along with the project."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

import cloud
from support.declared import Declared, Resource, declare
from voicefleet_api.fleet import FleetSpec
from voicefleet_infra.components.cloud import livekit
from voicefleet_infra.livekit_config import RTP_PORTS
from voicefleet_policies.pack import RULES, STACK_RULES

pytestmark = [
    pytest.mark.unit,
    pytest.mark.usefixtures("thread_event_loop"),
    # The SDKs import what they call deprecated.
    pytest.mark.filterwarnings("ignore:aws.ec2:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:This resource is deprecated:DeprecationWarning"),
]
ROOT = Path(__file__).parents[3]
KUBECONFIG = yaml.safe_dump({"clusters": [{"cluster": {"server": "https://127.0.0.1:6443"}}]})
SECRETS = {"voicefleet:sshPrivateKey": "hidden-key", "voicefleet:tsigSecret": "hidden-tsig"}
GATEWAY_CERTIFICATE = "voicefleet-agent-gateway-certificate"
STACKS = ("cloud", "cloud-staging", "cloud-development")


def stack(name: str, **changes: Any) -> Declared:
    """What is declared by `Pulumi.<name>.yaml`, with changes to its `voicefleet:cloud`."""
    return _stack(name, json.dumps(changes))


@cache
def _stack(name: str, changes: str) -> Declared:
    given = yaml.safe_load((ROOT / f"Pulumi.{name}.yaml").read_text())["config"]
    given["voicefleet:cloud"] |= json.loads(changes)
    config = {
        key: each if isinstance(each, str) else json.dumps(each) for key, each in given.items()
    }
    return declare(
        cloud.program,
        config | SECRETS,
        secrets=SECRETS,
        outputs={
            "random:index/randomPassword:RandomPassword": lambda name: {"result": f"hidden-{name}"},
            "command:remote:Command": lambda _: {"stdout": KUBECONFIG, "stderr": ""},
            "aws:ec2/eip:Eip": lambda name: {
                "publicIp": f"198.51.100.{name[-1]}",
                "allocationId": f"eipalloc-{name}",
            },
            "aws:ec2/instance:Instance": lambda name: {"privateIp": f"10.0.0.{name[-1]}"},
        },
    )


@pytest.fixture(autouse=True)
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the cluster that is there already."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text(KUBECONFIG.replace("127.0.0.1", "hidden-cluster"))


@pytest.fixture
def staging() -> Declared:
    """Servers that were ordered by hand."""
    return stack("cloud-staging")


@pytest.fixture
def production() -> Declared:
    """Servers at AWS."""
    return stack("cloud")


def containers(of: Resource) -> Iterator[dict[str, Any]]:
    """Of a Deployment or StatefulSet."""
    spec = of.inputs["spec"]["template"]["spec"]
    yield from (*spec.get("initContainers", ()), *spec["containers"])


def config_of(declared: Declared, name: str) -> dict[str, Any]:
    """LiveKit's configuration in a Secret."""
    text = declared.one("core/v1:Secret", f"{name}-config").inputs["stringData"]["config.yaml"]
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def needs(declared: Declared, later: Resource) -> set[str]:
    """Names of what must be there before a resource, at whatever remove."""
    by_urn = {each.urn: each for each in declared}
    found: dict[str, str] = {}
    waiting = list(later.after)
    while waiting:
        urn = waiting.pop()
        if urn not in found and urn in by_urn:
            found[urn] = by_urn[urn].name
            waiting.extend(by_urn[urn].after)
    return set(found.values())


@pytest.mark.parametrize("name", STACKS)
def test_every_stack_that_comes_along_keeps_all_rules(name: str) -> None:
    declared = stack(name)
    broken = [
        f"{rule.name}: {each.name}: {words}"
        for rule in RULES
        for each in declared
        for words in rule.violations(each.type, each.inputs)
    ]
    resources = [(each.type, each.inputs) for each in declared]
    broken += [words for rule in STACK_RULES for words in rule.violations(resources, 1)]
    assert broken == []
    assert declared.of("apps/v1:Deployment")


@pytest.mark.parametrize("name", STACKS)
def test_no_secret_is_in_an_input_or_output_that_is_not_one(name: str) -> None:
    declared = stack(name)
    shown = {
        f"{each.name}.{key}": json.dumps(value)
        for each in declared
        for key, value in each.inputs.items()
        if key not in each.secret
    } | {
        key: json.dumps(value)
        for key, value in declared.outputs.items()
        if key not in declared.secret_outputs
    }
    assert [where for where, text in shown.items() if "hidden" in text] == []
    assert "kubeconfig" in declared.secret_outputs
    # The search would find them.
    assert "hidden" in json.dumps([each.inputs for each in declared])


def test_livekit_and_its_bridge_are_on_the_nodes_network_with_the_ports_that_the_firewall_opens(
    staging: Declared,
) -> None:
    server, bridge = (staging.one("apps/v1:Deployment", n) for n in ("livekit", "livekit-sip"))
    for deployment in (server, bridge):
        spec = deployment.inputs["spec"]
        assert spec["strategy"] == {"type": "Recreate"}
        assert spec["template"]["spec"]["hostNetwork"] is True
        assert spec["template"]["spec"]["dnsPolicy"] == "ClusterFirstWithHostNet"
        assert spec["template"]["spec"]["nodeSelector"] == {"voicefleet.dev/media": "true"}
    ports = {
        (port["containerPort"], port["protocol"])
        for deployment in (server, bridge)
        for container in containers(deployment)
        for port in container["ports"]
    }
    assert ports == {
        *((7880, "TCP"), (7881, "TCP"), (7882, "UDP")),
        *((5060, "UDP"), (5060, "TCP"), (5061, "TCP")),
    }
    sip = config_of(staging, "livekit-sip")
    assert (sip["sip_port"], sip["tls"]["port"]) == (5060, 5061)
    assert sip["rtp_port"] == f"{RTP_PORTS[0]}-{RTP_PORTS[1]}"
    assert sip["nat_1_to_1_ip"] == "198.51.100.20"
    script = staging.one("remote:Command", "198.51.100.20").inputs["stdin"]
    assert f"udp dport {RTP_PORTS[0]}-{RTP_PORTS[1]} accept" in script
    assert "tcp dport 5060-5061 accept" in script
    # Nobody but pods joins rooms.
    assert "788" not in re.sub(r"[0-9a-f]{8,}", "", script)


def test_livekit_and_its_bridge_share_key_and_redis(staging: Declared) -> None:
    server, sip = config_of(staging, "livekit"), config_of(staging, "livekit-sip")
    assert server["keys"] == {sip["api_key"]: sip["api_secret"]}
    assert server["redis"] == sip["redis"]
    assert sip["redis"]["address"] == "redis.voicefleet-data.svc.cluster.local:6379"
    redis = staging.one("core/v1:Secret", "redis").inputs["stringData"]["redis.conf"]
    assert f"requirepass {sip['redis']['password']}\n" in redis
    key = staging.one("core/v1:Secret", "livekit-key").inputs["stringData"]
    assert server["keys"] == {key["apiKey"]: key["apiSecret"]}
    assert sip["ws_url"] == staging.outputs["fleet"]["livekit"]["url"]


def test_a_changed_configuration_is_another_pod(staging: Declared) -> None:
    def note(declared: Declared) -> str:
        template = declared.one("Deployment", "livekit-sip").inputs["spec"]["template"]
        digest: str = template["metadata"]["annotations"]["voicefleet.dev/config"]
        return digest

    other = stack("cloud-staging", servers=[{"address": "198.51.100.77", "gpus": 1}])
    assert note(staging) == note(stack("cloud-staging"))
    assert note(staging) != note(other)


def test_livekits_images_are_the_versions_that_are_built_elsewhere() -> None:
    built = (ROOT / "tools" / "go.mod").read_text()
    for image, module in (
        (livekit.SERVER_IMAGE, "github.com/livekit/livekit-server"),
        (livekit.SIP_IMAGE, "github.com/livekit/sip"),
    ):
        assert f"{module} {image.rpartition(':')[2]} " in built


def test_things_come_after_what_they_need_and_go_before_it(staging: Declared) -> None:
    for type_, name, before in (
        ("helm.sh/v4:Chart", "operator", {"livekit", "livekit-sip", "redis", "models"}),
        ("helm.sh/v4:Chart", "operator", {"clients-key", GATEWAY_CERTIFICATE}),
        ("v1:Certificate", GATEWAY_CERTIFICATE, {"voicefleet-ca-certificate", "cert-manager"}),
        ("apps/v1:Deployment", "livekit-sip", {"livekit", "redis", "sip-certificate", "sip"}),
        ("cnpg.io/v1:Cluster", "postgresql", {"postgresql", "voicefleet-data"}),
        ("v1:ClusterIssuer", "voicefleet", {"cert-manager"}),
        ("v1alpha1:DNSEndpoint", "sip", {"external-dns"}),
        ("apps/v1:StatefulSet", "models", {"gpus", "voicefleet-models"}),
        ("core/v1:Secret", "livekit-key", {"voicefleet-system"}),
        ("providers:kubernetes", "cluster", {"198.51.100.20", "kubeconfig"}),
    ):
        assert before <= needs(staging, staging.one(type_, name)), name


def test_models_scale_between_their_bounds_with_a_gpu_each() -> None:
    declared = stack(
        "cloud-staging",
        maxGpus=3,
        servers=[{"address": "198.51.100.20", "gpus": 3}],
        models={"engine": "vllm", "model": "org/model", "minReplicas": 2, "maxReplicas": 3},
    )
    scaler = declared.one("HorizontalPodAutoscaler", "models").inputs["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 3)
    workload = declared.one("StatefulSet", "models")
    assert scaler["scaleTargetRef"]["name"] == workload.inputs["metadata"]["name"]
    (container,) = containers(workload)
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "--model=org/model" in container["args"]
    assert declared.outputs["languageModel"] == {
        "provider": "http://models.voicefleet-models.svc.cluster.local:8000/v1",
        "model": "org/model",
    }


def test_a_stack_over_its_budget_is_refused_in_words_before_anything_is_declared() -> None:
    with pytest.raises(
        pulumi.RunError, match="cloud: the servers have 1 GPUs, and maxGpus allows 0"
    ):
        stack("cloud-staging", maxGpus=0)


def test_only_our_own_namespace_reaches_the_models(staging: Declared) -> None:
    (rule,) = staging.one("NetworkPolicy", "models").inputs["spec"]["ingress"]
    (source,) = rule["from"]
    labels = source["namespaceSelector"]["matchLabels"]
    assert labels == {"kubernetes.io/metadata.name": "voicefleet-system"}
    assert staging.outputs["languageModel"]["provider"].endswith(
        f":{rule['ports'][0]['port']:g}/v1"
    )


@pytest.mark.parametrize("name", STACKS)
def test_what_it_says_of_the_fleet_is_the_fleets_own_language(name: str) -> None:
    spec = stack(name).outputs["fleet"]
    secret = {"namespace": "voicefleet-system", "name": "twilio-live"}
    account = {"name": "main", "mode": "Live", "secretRef": secret, "monthlySpendingCapMinor": 500}
    plan = {"name": "Solo", "monthlyPriceMinor": 29900, "includedMinutes": 500, "maxNumbers": 1}
    telephony = {**spec["telephony"], "accounts": [account]}
    fleet = FleetSpec.model_validate({**spec, "plans": [plan], "telephony": telephony})
    assert fleet.telephony is not None
    assert fleet.telephony.secure is (name != "cloud-development")


def test_the_names_and_secrets_that_the_fleet_is_told_are_there(staging: Declared) -> None:
    fleet = staging.outputs["fleet"]
    there = {
        (each.inputs["metadata"]["namespace"], each.inputs["metadata"]["name"]): set(
            each.inputs["stringData"]
        )
        for each in staging.of("core/v1:Secret")
    }

    def keys(reference: dict[str, str]) -> set[str]:
        return there[reference["namespace"], reference["name"]]

    assert keys(fleet["livekit"]["secretRef"]) == {"apiKey", "apiSecret"}
    assert keys(fleet["dns"]["tsigSecretRef"]) == {"name", "algorithm", "secret"}
    (endpoint,) = staging.one("DNSEndpoint", "sip").inputs["spec"]["endpoints"]
    assert fleet["telephony"]["originationURIs"] == [
        f"sip:{endpoint['dnsName']}:5061;transport=tls"
    ]
    assert endpoint["targets"] == [staging.outputs["address"]] == [fleet["dns"]["target"]]
    certificate = staging.one("Certificate", "sip-certificate").inputs
    assert certificate["spec"]["dnsNames"] == [endpoint["dnsName"]]
    volumes = staging.one("Deployment", "livekit-sip").inputs["spec"]["template"]["spec"]["volumes"]
    assert {"secretName": certificate["spec"]["secretName"]} in [v["secret"] for v in volumes]
    assert certificate["metadata"]["namespace"] == "voicefleet-media"


def manifests(file: str) -> dict[str, dict[str, Any]]:
    """Of `deploy/`, by kind."""
    return {obj["kind"]: obj for obj in yaml.safe_load_all((ROOT / "deploy" / file).read_text())}


@pytest.mark.parametrize("name", STACKS)
def test_the_agent_gateway_finds_its_secrets_and_agents_find_it(name: str) -> None:
    declared = stack(name)
    gateway = manifests("gateway/gateway.yaml")
    pod = gateway["Deployment"]["spec"]["template"]["spec"]
    values = declared.one("helm.sh/v4:Chart", "operator").inputs["values"]
    assert values["agentGateway"]["enabled"] is True
    mounted = {v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v}
    certificate = declared.one("v1:Certificate", GATEWAY_CERTIFICATE).inputs
    made = {
        each.inputs["metadata"]["name"]: set(each.inputs["stringData"])
        for each in declared.of("core/v1:Secret")
        if each.inputs["metadata"]["namespace"] == "voicefleet-system"
    }
    assert mounted == {
        values["agentGateway"]["livekit"]["secret"],
        "voicefleet-clients-key",
        certificate["spec"]["secretName"],
    }
    assert made["voicefleet-clients-key"] == {"key"}
    assert certificate["metadata"]["namespace"] == "voicefleet-system"
    authority = declared.one("v1:Certificate", "voicefleet-ca-certificate").inputs["spec"]
    assert declared.one("v1:Issuer", "voicefleet-ca-issuer").inputs["spec"] == {
        "ca": {"secretName": authority["secretName"]}
    }

    fleet = declared.outputs["fleet"]
    service = gateway["Service"]["metadata"]
    host = f"{service['name']}.{service['namespace']}.svc"
    assert fleet["livekit"]["agentURL"] == f"wss://{host}"
    assert host in certificate["spec"]["dnsNames"]
    assert values["agentGateway"]["livekit"]["url"] == fleet["livekit"]["url"]


@pytest.mark.parametrize("name", STACKS)
def test_agents_reach_the_language_model_by_way_of_its_gateway(name: str) -> None:
    declared = stack(name)
    values = declared.one("helm.sh/v4:Chart", "operator").inputs["values"]["models"]
    assert values["enabled"] is True
    language, served = values["settings"]["languageModel"], declared.outputs["languageModel"]
    assert (language["provider"], language["model"]) == (served["provider"], served["model"])
    let_in = declared.one("NetworkPolicy", "models").inputs["spec"]["ingress"][0]
    assert let_in["ports"] == values["egressPorts"]
    own = manifests("models/models.yaml")["Deployment"]["metadata"]["namespace"]
    [source] = let_in["from"]
    assert source["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": own}


def test_without_a_language_model_there_is_no_gateway_to_it() -> None:
    values = stack("cloud", models=None).one("helm.sh/v4:Chart", "operator").inputs["values"]
    assert values["models"] == {"enabled": False}


def test_values_change_what_they_name_and_nothing_beside() -> None:
    given = yaml.safe_load((ROOT / "Pulumi.cloud.yaml").read_text())["config"]
    operator = given["voicefleet:cloud"]["operator"] | {
        "values": {"portal": {"mailSecret": "mail"}}
    }
    portal = (
        stack("cloud", operator=operator)
        .one("helm.sh/v4:Chart", "operator")
        .inputs["values"]["portal"]
    )
    assert portal["mailSecret"] == "mail"
    assert portal["image"]["repository"] == operator["portalImage"]


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("cloud", "10.0.0.0"),
        ("cloud-staging", "198.51.100.20"),
        ("cloud-development", "198.51.100.30"),
    ],
)
def test_agents_may_reach_the_gateways_pod_and_livekit_where_pods_see_it(
    name: str, address: str
) -> None:
    declared = stack(name)
    runtime = declared.outputs["fleet"]["runtime"]
    assert runtime["className"] == "kubernetes"
    inside, livekit = runtime["kubernetes"]["egress"]
    pod = manifests("gateway/gateway.yaml")["Deployment"]["spec"]["template"]["spec"]
    [port] = [port for each in pod["containers"] for port in each.get("ports", [])]
    assert inside["namespace"] == "voicefleet-system"
    assert inside["ports"] == [{"port": port["containerPort"]}]
    assert livekit["cidr"] == f"{address}/32"
    (server,) = containers(declared.one("apps/v1:Deployment", "livekit"))
    assert {(p["port"], p.get("protocol", "TCP")) for p in livekit["ports"]} == {
        (p["containerPort"], p["protocol"]) for p in server["ports"]
    }


def test_a_node_of_a_cluster_that_is_there_may_have_another_address_for_pods() -> None:
    given = yaml.safe_load((ROOT / "Pulumi.cloud-development.yaml").read_text())["config"]
    cluster = given["voicefleet:cloud"]["cluster"] | {"innerAddress": "10.0.0.7"}
    declared = stack("cloud-development", cluster=cluster)
    _, livekit = declared.outputs["fleet"]["runtime"]["kubernetes"]["egress"]
    assert livekit["cidr"] == "10.0.0.7/32"
    assert declared.outputs["address"] == "198.51.100.30"


def test_a_second_server_joins_the_first_and_both_are_undone_by_destroy() -> None:
    servers = [{"address": "198.51.100.20", "gpus": 1}, {"address": "198.51.100.21"}]
    declared = stack("cloud-staging", servers=servers)
    head, other = (declared.one("remote:Command", s["address"]) for s in servers)
    assert head.urn in other.after
    assert "server: https://198.51.100.20:6443" in other.inputs["stdin"]
    assert "server: https://" not in head.inputs["stdin"]
    assert "/k3s-uninstall.sh" in head.inputs["delete"]
    assert "k3s-agent-uninstall.sh" in other.inputs["delete"]
    for each in (head, other):
        assert {"stdin", "connection"} <= each.secret
        assert "ip saddr { 198.51.100.20, 198.51.100.21 } accept" in each.inputs["stdin"]


def test_a_servers_host_key_is_compared(staging: Declared) -> None:
    for command in staging.of("remote:Command"):
        assert command.inputs["connection"]["hostKey"].startswith("ssh-ed25519 ")


def test_the_kubeconfig_that_is_read_is_shown_to_nobody(staging: Declared) -> None:
    read = staging.one("remote:Command", "kubeconfig")
    assert read.inputs["logging"] == "none"
    server = yaml.safe_load(staging.outputs["kubeconfig"])["clusters"][0]["cluster"]["server"]
    assert server == "https://198.51.100.20:6443"


def test_aws_lets_carriers_and_administrators_in_and_nobody_else(production: Declared) -> None:
    (group,) = production.of("securityGroup:SecurityGroup")
    opened = {
        (rule.get("description"), rule["protocol"], rule["fromPort"], rule["toPort"])
        for rule in group.inputs["ingress"]
        if not rule.get("self")
    }
    assert opened == {
        ("SSH", "tcp", 22, 22),
        ("Kubernetes API", "tcp", 6443, 6443),
        ("SIP", "udp", 5060, 5060),
        ("SIP by TCP and TLS", "tcp", 5060, 5061),
        ("RTP", "udp", *RTP_PORTS),
    }
    networks = {n for rule in group.inputs["ingress"] for n in rule.get("cidrBlocks", ())}
    assert "0.0.0.0/0" not in networks


def test_servers_at_aws_join_by_their_inner_addresses_and_install_themselves() -> None:
    given = yaml.safe_load((ROOT / "Pulumi.cloud.yaml").read_text())["config"]["voicefleet:cloud"]
    production = stack("cloud", maxGpus=2, aws={**given["aws"], "count": 2})
    head, other = (production.one("ec2/instance:Instance", f"servers-{n}") for n in (0, 1))
    assert "node-external-ip: 198.51.100.0" in head.inputs["userData"]
    assert "server: https://10.0.0.0:6443" in other.inputs["userData"]
    for each in (head, other):
        assert "userData" in each.secret
        assert each.inputs["userData"].startswith("#cloud-config\n")
    # The group is the firewall.
    assert "nft" not in head.inputs["userData"].replace("nftables", "")
    assert production.outputs["address"] == "198.51.100.0"


def test_a_cluster_that_is_there_gets_no_servers_names_or_certificates() -> None:
    development = stack("cloud-development")
    assert development.of("remote:Command") == []
    assert development.of("v1:ClusterIssuer") == []
    releases = {each.name for each in development.of("helm.sh/v3:Release")}
    assert releases == {"gpus", "cert-manager"}
    assert "tls" not in config_of(development, "livekit-sip")
    assert development.outputs["fleet"]["telephony"]["originationURIs"] == [
        "sip:198.51.100.30:5060"
    ]
    assert "hidden-cluster" in development.outputs["kubeconfig"]
    chart = development.one("helm.sh/v4:Chart", "operator").inputs
    assert chart["values"]["sandbox"]["enabled"] is True
    assert chart["values"]["settings"] == {"LOG_LEVEL": "DEBUG"}
