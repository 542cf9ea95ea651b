"""Chart, kustomize base and install.yaml: the same objects, and the API server takes them all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from support.controlplane import ControlPlane, Refused
from support.helm import CHART, DEPLOY, Objects, by_name, helm, kustomized, normal, rendered
from voicefleet_api.names import SYSTEM_NAMESPACE
from voicefleet_infra import chart
from voicefleet_models.settings import Models, ProviderSettings

pytestmark = pytest.mark.integration

NAMESPACE = ("Namespace", SYSTEM_NAMESPACE)
"""Helm makes its own."""
OPERATOR = ("Deployment", "voicefleet-operator")
GATEWAY = ("Deployment", "voicefleet-agent-gateway")
MODELS = ("Deployment", "voicefleet-models")
ALL = tuple(f"--set={part}.enabled=true" for part in ("sandbox", "agentGateway", "models"))


def without_namespace(objects: Objects) -> Objects:
    return {key: normal(value) for key, value in objects.items() if key != NAMESPACE}


def test_checked_in_files_are_the_generated_ones() -> None:
    assert chart.differing(DEPLOY, chart.render(DEPLOY)) == []


def test_a_check_finds_what_was_edited_or_left_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("crds/generated", "deploy"):
        source = DEPLOY.parent / name
        for file in source.rglob("*"):
            if file.is_file() and "chart" not in file.parts:
                copy = tmp_path / file.relative_to(DEPLOY.parent)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(file.read_bytes())
    copied = f"--deploy={tmp_path / 'deploy'}"
    assert chart.main([copied]) == 0
    assert chart.main(["--check", copied]) == 0
    edited = tmp_path / "deploy" / chart.INSTALL
    edited.write_text(edited.read_text() + "# edited\n")
    left_over = tmp_path / "deploy" / chart.TEMPLATES / "old.yaml"
    left_over.write_text("x")
    assert chart.main(["--check", copied]) == 1
    said = capsys.readouterr().err
    assert "install.yaml" in said
    assert "old.yaml" in said
    assert chart.main([copied]) == 0
    assert not left_over.exists()


@pytest.mark.parametrize(
    ("components", "options"),
    [
        ((), ()),
        (("monitoring",), ("--set=serviceMonitor.enabled=true",)),
        (("sandbox",), ("--set=sandbox.enabled=true",)),
        (("gateway",), ("--set=agentGateway.enabled=true",)),
        (("gateway", "models"), ("--set=agentGateway.enabled=true", "--set=models.enabled=true")),
    ],
    ids=["base", "monitoring", "sandbox", "gateway", "models"],
)
def test_the_chart_renders_what_the_base_is(
    tmp_path: Path, components: tuple[str, ...], options: tuple[str, ...]
) -> None:
    base = without_namespace(kustomized(tmp_path, *components))
    assert without_namespace(rendered(*options)) == base
    assert len(base) >= 20


def test_install_yaml_is_the_base(tmp_path: Path) -> None:
    assert by_name((DEPLOY / chart.INSTALL).read_text()) == kustomized(tmp_path)


def test_the_api_server_takes_each_form(bare: ControlPlane, tmp_path: Path) -> None:
    dry = ("apply", "--server-side", "--dry-run=server", "-f", "-")
    forms = {
        "install.yaml": by_name((DEPLOY / chart.INSTALL).read_text()),
        "base with all": kustomized(tmp_path, "gateway", "models", "sandbox"),
        "chart": rendered(*ALL),
    }
    for form, objects in forms.items():
        taken = bare.kubectl(*dry, stdin=yaml.safe_dump_all(objects.values()))
        assert taken.count("serverside-applied (server dry run)") == len(objects), form


def test_its_pods_are_admitted_under_pod_security_restricted(bare: ControlPlane) -> None:
    objects = rendered(*ALL)
    restricted = "pod-security.kubernetes.io/enforce=restricted"
    bare.kubectl("label", "namespace", SYSTEM_NAMESPACE, restricted, "--overwrite")

    def pod(deployment: str) -> dict:
        spec = objects["Deployment", deployment]["spec"]["template"]["spec"]
        metadata = {"name": "tried", "namespace": SYSTEM_NAMESPACE}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}

    for _, name in (OPERATOR, GATEWAY, MODELS, ("Deployment", "voicefleet-sandbox")):
        assert "created" in bare.apply(pod(name), dry_run=True)
    careless = pod("voicefleet-operator")
    del careless["spec"]["containers"][0]["securityContext"]["capabilities"]
    with pytest.raises(Refused, match="unrestricted capabilities"):
        bare.apply(careless, dry_run=True)


def test_values_reach_what_they_are_about() -> None:
    given = {
        "image": {"repository": "registry.example:5000/operator", "tag": "1.2.3"},
        "agent": {"image": {"repository": "registry.example/agent", "tag": "1.2.2"}},
        "imagePullSecrets": [{"name": "pull"}],
        "replicas": 1,
        "settings": {"WORKERS": "32", "LOG_LEVEL": "DEBUG"},
        "resources": {"limits": {"memory": "1Gi"}},
        "nodeSelector": {"disk": "ssd"},
        "podDisruptionBudget": {"enabled": False},
        "networkPolicy": {"enabled": False},
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    }
    found = rendered(*(f"--set-json={key}={json.dumps(value)}" for key, value in given.items()))
    spec = found[OPERATOR]["spec"]
    assert spec["replicas"] == 1
    pod = spec["template"]["spec"]
    assert (pod["imagePullSecrets"], pod["nodeSelector"]) == ([{"name": "pull"}], {"disk": "ssd"})
    [container] = pod["containers"]
    assert container["image"] == "registry.example:5000/operator:1.2.3"
    assert container["resources"]["limits"] == {"memory": "1Gi"}
    env = {e["name"]: e["value"] for e in container["env"]}
    assert env["VOICEFLEET_AGENT_IMAGE"] == "registry.example/agent:1.2.2"
    assert (env["VOICEFLEET_WORKERS"], env["VOICEFLEET_LOG_LEVEL"]) == ("32", "DEBUG")
    assert env["VOICEFLEET_METRICS_PORT"] == "8080"
    assert not {"PodDisruptionBudget", "NetworkPolicy"} & {kind for kind, _ in found}
    monitor = found["ServiceMonitor", "voicefleet-operator"]
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


def test_values_of_gateway_and_portal_reach_them() -> None:
    limits = {"limits": {"cpu": "1", "memory": "1Gi"}}
    given = {
        "agentGateway": {
            "enabled": True,
            "image": {"repository": "registry.example/gateway", "tag": "1"},
            "livekit": {"url": "wss://livekit.example", "secret": "theirs"},
            "egressPorts": [{"port": 7443}],
        },
        "portal": {
            "image": {"repository": "registry.example/portal", "tag": "2"},
            "resources": limits,
            "storage": "50Gi",
            "storageClassName": "ssd",
            "mailSecret": "mail",
        },
        "imagePullSecrets": [{"name": "pull"}],
    }
    found = rendered(*(f"--set-json={key}={json.dumps(value)}" for key, value in given.items()))
    pod = found[GATEWAY]["spec"]["template"]["spec"]
    assert pod["imagePullSecrets"] == [{"name": "pull"}]
    gateway, portal = pod["containers"]
    assert gateway["image"] == "registry.example/gateway:1"
    env = {each["name"]: each for each in gateway["env"]}
    assert env["LIVEKIT_URL"]["value"] == "wss://livekit.example"
    assert env["LIVEKIT_API_KEY"]["valueFrom"]["secretKeyRef"]["name"] == "theirs"
    assert "theirs" in {v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v}
    assert portal["image"] == "registry.example/portal:2"
    assert portal["resources"]["limits"] == limits["limits"]
    assert "--mail-file=/etc/voicefleet/mail/url" in portal["args"]
    assert {"name": "mail", "secret": {"secretName": "mail", "defaultMode": 0o440}} in pod[
        "volumes"
    ]
    mail = {"name": "mail", "mountPath": "/etc/voicefleet/mail", "readOnly": True}
    assert mail in portal["volumeMounts"]
    claim = found["PersistentVolumeClaim", "voicefleet-portal"]
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert claim["spec"]["storageClassName"] == "ssd"
    assert claim["spec"]["resources"]["requests"] == {"storage": "50Gi"}
    *_, out = found["NetworkPolicy", "voicefleet-agent-gateway"]["spec"]["egress"]
    assert out == {"ports": [{"port": 7443}]}
    closed = rendered("--set=agentGateway.enabled=true", "--set=networkPolicy.enabled=false")
    assert ("NetworkPolicy", "voicefleet-agent-gateway") not in closed


def test_values_of_the_models_reach_them() -> None:
    language = {"provider": "https://api.example", "model": "large"}
    limits = {"limits": {"memory": "8Gi"}}
    given = {
        "enabled": True,
        "image": {"repository": "registry.example/models", "tag": "3"},
        "replicas": 2,
        "settings": {"languageModel": language, "voices": {"piper/own": "/voices/own.onnx"}},
        "egressPorts": [{"port": 8000}],
        "nodeSelector": {"gpu": "no"},
        "resources": {"tts": limits},
    }
    found = rendered(f"--set-json=models={json.dumps(given)}")
    settings = yaml.safe_load(found["ConfigMap", "voicefleet-models"]["data"]["models.yaml"])
    models = Models.model_validate(settings)
    assert models.language_model == ProviderSettings(**language)
    # What is not said stays as it is.
    assert (models.threads.stt, models.threads.tts) == (2, 2)
    spec = found[MODELS]["spec"]
    pod = spec["template"]["spec"]
    assert (spec["replicas"], pod["nodeSelector"]) == (2, {"gpu": "no"})
    stt, tts, llm = pod["containers"]
    assert {each["image"] for each in (stt, tts, llm)} == {"registry.example/models:3"}
    assert tts["resources"]["limits"] == limits["limits"]
    assert stt["resources"]["limits"] != limits["limits"]
    *_, out = found["NetworkPolicy", "voicefleet-models"]["spec"]["egress"]
    assert out == {"ports": [{"port": 8000}]}

    def pods(*options: str) -> str:
        return json.dumps(
            rendered("--set=models.enabled=true", *options)[MODELS]["spec"]["template"]
        )

    assert pods() == pods("--set=models.replicas=3")
    assert pods() != pods("--set=models.settings.languageModel.model=another")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--set=replicas=many", "/replicas"),
        ("--set=replicas=-1", "/replicas"),
        ("--set=image.tag=latest", "/image/tag"),
        ("--set=image.repository=registry.example/operator:1", "/image/repository"),
        ("--set=resources.limits.memory=null", "/resources/limits"),
        ("--set=crds.keep=perhaps", "/crds/keep"),
        ("--set-string=settings.METRICS_PORT=1", "METRICS_PORT"),
        ("--set-string=settings.workers=32", "workers"),
        ("--set-string=settings.MODELS_KEY=/key", "MODELS_KEY"),
        ("--set=sandbox.size=large", "/sandbox"),
        ("--set=agentGateway.livekit.url=http://livekit", "/agentGateway/livekit/url"),
        ("--set=agentGateway.egressPorts[0]=7880", "/agentGateway/egressPorts/0"),
        ("--set=portal.storage=much", "/portal/storage"),
        ("--set=models.settings.languageModel=null", "/models/settings"),
        ("--set=models.settings.languageModel.provider=ollama", "/languageModel/provider"),
        ("--set=models.resources.stt.limits.memory=null", "/models/resources/stt/limits"),
        ("--set=serviceMonitor.interval=soon", "/serviceMonitor/interval"),
        ("--set=imagePullSecrets[0]=pull", "/imagePullSecrets/0"),
        ("--set=rbac.create=false", "rbac"),
    ],
)
def test_the_schema_refuses_and_says_where(option: str, said: str) -> None:
    with pytest.raises(Refused) as refused:
        rendered(option)
    assert said in str(refused.value)


def test_another_namespace_is_refused_with_the_remedy() -> None:
    with pytest.raises(Refused, match="--namespace voicefleet-system --create-namespace"):
        helm("template", "voicefleet", str(CHART), "--namespace=default")


def test_without_crds_none_are_rendered() -> None:
    kinds = {kind for kind, _ in rendered("--set=crds.enabled=false")}
    assert "CustomResourceDefinition" not in kinds
    assert "Deployment" in kinds


def test_helm_has_nothing_to_complain_of() -> None:
    helm("lint", "--strict", str(CHART), f"--namespace={SYSTEM_NAMESPACE}")
