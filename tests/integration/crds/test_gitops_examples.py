"""The example repository of deploy/gitops: it builds, the API server takes it, its parts agree.

Kinds of Flux, Argo CD and External Secrets are read as YAML and compared with what they point at;
their controllers do not run here.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.argocd import RULES
from support.controlplane import ROOT, ControlPlane, Refused

pytestmark = pytest.mark.integration

Object = dict[str, Any]
GITOPS = ROOT / "deploy" / "gitops"
ENVIRONMENTS = ("development", "staging", "production")
BUILDS = sorted(
    file.parent.relative_to(GITOPS).as_posix()
    for file in GITOPS.rglob("kustomization.yaml")
    if "kind: Component" not in file.read_text()
)
SECRETS = "platform/secrets"
KEYS = {
    "stripe-main": {"apiKey"},
    "twilio-main": {"accountSID", "authToken"},
    "livekit": {"apiKey", "apiSecret"},
    "dns-tsig": {"name", "algorithm", "secret"},
}
"""What the Fleet's Secrets hold (docs/going-live.md)."""
GATEWAY = {
    "voicefleet-clients-key": {"key"},
    "voicefleet-agent-gateway-tls": {"tls.crt", "tls.key"},
}
"""What the agent gateway's hold (docs/kubernetes.md)."""


def build(plane: ControlPlane, path: str) -> list[Object]:
    return list(yaml.safe_load_all(plane.kubectl("kustomize", str(GITOPS / path))))


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    return [obj for obj in objects if obj["kind"] == kind]


@pytest.fixture
def namespace(plane: ControlPlane) -> Iterator[str]:
    """The clients' namespace; clients are taken away afterwards, protected ones too."""
    plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "clients"}})
    yield "clients"
    allow = '[{"op": "add", "path": "/spec/deletionProtection", "value": false}]'
    for name in plane.kubectl("get", "vc", "-n", "clients", "-o", "name").split():
        plane.kubectl("patch", name, "-n", "clients", "--type=json", "-p", allow)
    plane.kubectl("delete", "vc,rcp", "--all", "-n", "clients")


@pytest.mark.parametrize("path", BUILDS)
def test_it_builds(plane: ControlPlane, path: str) -> None:
    assert all({"apiVersion", "kind", "metadata"} <= obj.keys() for obj in build(plane, path))


@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_api_server_takes_ours(plane: ControlPlane, environment: str) -> None:
    objects = build(plane, f"platform/{environment}") + build(plane, f"clients/{environment}")
    ours = [obj for obj in objects if obj["apiVersion"] in ("v1", "voicefleet.dev/v1alpha1")]
    assert {"Fleet", "VoiceClient", "Receptionist", "Namespace"} == {obj["kind"] for obj in ours}
    said = plane.apply(*ours, dry_run=True)
    assert said.count("(server dry run)") == len(ours)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_only_production_is_live(plane: ControlPlane, environment: str) -> None:
    [fleet] = of_kind(build(plane, f"platform/{environment}"), "Fleet")
    accounts = fleet["spec"]["billing"]["accounts"] + fleet["spec"]["telephony"]["accounts"]
    live = environment == "production"
    assert {account["mode"] for account in accounts} == {"Live" if live else "Sandbox"}
    assert ("sandbox" in fleet["spec"]) is not live


def test_production_clients_do_not_go_by_mistake(plane: ControlPlane, namespace: str) -> None:
    objects = build(plane, "clients/production")
    plane.apply(*objects)
    with pytest.raises(Refused, match="deletionProtection"):
        plane.kubectl("delete", "vc", "--all", "-n", namespace, "--wait=false")
    clients = of_kind(objects, "VoiceClient")
    assert len(of_kind([*plane.get("vc", "-n", namespace)["items"]], "VoiceClient")) == len(clients)
    for obj in (*clients, *of_kind(objects, "Namespace")):
        asked = obj["metadata"]["annotations"]["argocd.argoproj.io/sync-options"]
        assert asked == "Prune=confirm"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_fleet_finds_its_secrets(plane: ControlPlane, environment: str) -> None:
    objects = build(plane, f"platform/{environment}")
    [fleet] = of_kind(objects, "Fleet")
    external = {obj["metadata"]["name"] for obj in of_kind(objects, "ExternalSecret")}
    assert {ref["name"] for ref in references(fleet["spec"])} == KEYS.keys()
    assert external == KEYS.keys() | GATEWAY.keys()


def references(node: Any) -> Iterator[Object]:
    """Every secretRef and tsigSecretRef."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("secretRef", "tsigSecretRef"):
                yield value
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_encrypted_secrets_are_placeholders_with_the_right_keys() -> None:
    text = (GITOPS / SECRETS / "sops" / "secrets.sops.yaml").read_text()
    found = {obj["metadata"]["name"]: obj["stringData"] for obj in yaml.safe_load_all(text)}
    assert {name: data.keys() for name, data in found.items()} == KEYS | GATEWAY
    assert {value for data in found.values() for value in data.values()} == {"REPLACE-ME"}


def test_sops_stands_in_for_the_vault(plane: ControlPlane, tmp_path: Path) -> None:
    """As an environment would name both components."""

    def overlay(*components: str, base: str) -> list[Object]:
        file = tmp_path / "kustomization.yaml"
        up = Path(*[".."] * (len(tmp_path.parts) - 1), *GITOPS.parts[1:])
        named = {"resources": [str(up / base)], "components": [str(up / c) for c in components]}
        file.write_text(yaml.safe_dump(named))
        return list(yaml.safe_load_all(plane.kubectl("kustomize", str(tmp_path))))

    objects = overlay("platform/secrets/sops", base="platform/base")
    assert {obj["metadata"]["name"] for obj in of_kind(objects, "Secret")} == {
        *KEYS, *GATEWAY
    }  # fmt: skip
    [platform] = [
        obj
        for obj in of_kind(overlay("flux/sops", base="flux/base"), "Kustomization")
        if obj["metadata"]["name"] == "platform"
    ]
    assert platform["spec"]["decryption"]["provider"] == "sops"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_flux_applies_the_release_then_the_platform_then_the_clients(
    plane: ControlPlane, environment: str
) -> None:
    specs = {
        obj["metadata"]["name"]: obj["spec"]
        for obj in of_kind(build(plane, f"flux/{environment}/voicefleet"), "Kustomization")
    }
    paths = {name: spec["path"] for name, spec in specs.items()}
    assert paths == {
        "voicefleet": "./deploy",
        "platform": f"./platform/{environment}",
        "clients": f"./clients/{environment}",
    }
    order = {name: [d["name"] for d in spec.get("dependsOn", [])] for name, spec in specs.items()}
    assert order == {"voicefleet": [], "platform": ["voicefleet"], "clients": ["platform"]}
    # Pruned CRDs would take every client along.
    assert {name: spec["prune"] for name, spec in specs.items()} == {
        "voicefleet": False, "platform": True, "clients": True,
    }  # fmt: skip
    assert all(spec.get("wait") or spec.get("healthChecks") for spec in specs.values())


def mounted(manifest: Path) -> Iterator[str]:
    """Names of the Secrets that a workload's pods mount."""
    for obj in yaml.safe_load_all(manifest.read_text()):
        for volume in obj["spec"].get("template", {}).get("spec", {}).get("volumes", []):
            if "secret" in volume:
                yield volume["secret"]["secretName"]


def test_agents_reach_the_gateway_that_the_release_brings(plane: ControlPlane) -> None:
    [release] = [
        obj
        for obj in of_kind(build(plane, "flux/base"), "Kustomization")
        if obj["metadata"]["name"] == "voicefleet"
    ]
    [component] = release["spec"]["components"]
    folder = ROOT / release["spec"]["path"] / component
    assert "kind: Component" in (folder / "kustomization.yaml").read_text()
    assert {*mounted(folder / "gateway.yaml")} == {"livekit", *GATEWAY}
    assert {*mounted(folder / "operator.yaml")} <= GATEWAY.keys()
    # Waiting for all of it would wait for ever: Secrets come with the next step.
    kinds = {check["kind"] for check in release["spec"]["healthChecks"]}
    assert kinds == {"CustomResourceDefinition"}
    applications = (GITOPS / "argocd" / "applicationset.yaml").read_text()
    assert f"source: {{kustomize: {{components: [{component}]}}}}" in applications

    [fleet] = of_kind(build(plane, "platform/base"), "Fleet")
    objects = {
        obj["kind"]: obj for obj in yaml.safe_load_all((folder / "gateway.yaml").read_text())
    }
    service = objects["Service"]["metadata"]
    url = f"wss://{service['name']}.{service['namespace']}.svc"
    assert fleet["spec"]["livekit"]["agentURL"] == url
    runtime = fleet["spec"]["runtime"]
    assert runtime["className"] == "kubernetes"
    containers = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    [port] = [port["containerPort"] for each in containers for port in each.get("ports", [])]
    inside = {"name": "agent-gateway", "namespace": service["namespace"], "ports": [{"port": port}]}
    assert inside in runtime["kubernetes"]["egress"]


def test_argo_cd_has_an_application_for_each_part_and_environment() -> None:
    loaded = yaml.safe_load((GITOPS / "argocd" / "applicationset.yaml").read_text())
    spec = loaded["spec"]
    environments, parts = (
        generator["list"]["elements"] for generator in spec["generators"][0]["matrix"]["generators"]
    )
    assert tuple(each["environment"] for each in environments) == ENVIRONMENTS
    paths = {part["part"]: part["path"] for part in parts}
    assert (ROOT / paths.pop("release") / "kustomization.yaml").exists()
    for path in paths.values():
        for environment in ENVIRONMENTS:
            assert (GITOPS / path.replace("{{ .environment }}", environment)).is_dir()
    patch = yaml.safe_load(
        "\n".join(line for line in spec["templatePatch"].splitlines() if "{{" not in line)
    )
    assert patch["spec"]["syncPolicy"]["automated"]["prune"] is False
    assert spec["template"]["spec"]["syncPolicy"]["automated"]["prune"] is True
    assert spec["syncPolicy"]["preserveResourcesOnDeletion"] is True


def test_health_rules_join_what_argocd_cm_has(plane: ControlPlane) -> None:
    own = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"url": "https://argocd.example"}}
    plane.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argocd"}},
        {**own, "metadata": {"name": "argocd-cm", "namespace": "argocd"}},
    )
    plane.kubectl(
        *("patch", "configmap", "argocd-cm", "-n", "argocd", "--type=merge"),
        "--patch-file=/dev/stdin",
        stdin=plane.kubectl("kustomize", str(RULES.parent)),
    )
    data = plane.get("configmap", "argocd-cm", "-n", "argocd")["data"]
    assert data.pop("url") == "https://argocd.example"
    rule = (RULES / "VoiceClient" / "health.lua").read_text()
    assert data == {
        f"resource.customizations.health.voicefleet.dev_{kind}": rule
        for kind in ("VoiceClient", "PhoneNumber", "Fleet")
    }


def scripts(node: Any) -> Iterator[str]:
    """Every shell script of a pipeline's file."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("run", "script"):
                yield value if isinstance(value, str) else "\n".join(value)
            else:
                yield from scripts(value)
    elif isinstance(node, list):
        for value in node:
            yield from scripts(value)


@pytest.mark.parametrize("pipeline", ["github", "gitlab"])
def test_pipelines_run_what_is_there(pipeline: str) -> None:
    found = list(scripts(yaml.safe_load((GITOPS / "ci" / f"{pipeline}.yaml").read_text())))
    assert "before/ci/plan.sh" in "\n".join(found)
    for script in found:
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
