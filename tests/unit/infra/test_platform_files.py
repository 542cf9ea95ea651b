"""Files, ports and secrets of a local platform."""

from __future__ import annotations

import configparser
import json
import shlex
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509

from voicefleet_api.fleet import Fleet
from voicefleet_infra import cluster, node, services
from voicefleet_infra import edge as edges
from voicefleet_infra.agent_gateway import agent_gateway
from voicefleet_infra.carrier import carrier, switch, voice
from voicefleet_infra.controlplane import write_control_plane
from voicefleet_infra.node import containerd, images
from voicefleet_infra.overflow import overflow
from voicefleet_infra.platform import RTP_PORTS, Platform, default_home
from voicefleet_infra.service import Service
from voicefleet_infra.supervision import Supervisor
from voicefleet_infra.up import _pending, known_platform

pytestmark = pytest.mark.unit


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return Platform(tmp_path / "state folder")


@pytest.fixture
def every_service(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> list[Service]:
    """All of them, on a machine that has the distribution's programs."""
    for module in (services, edges, containerd):
        monkeypatch.setattr(module, "program", lambda name: f"/usr/bin/{name}")
    # What its image is named after.
    monkeypatch.setattr(images, "program", lambda _: __file__)
    config = platform.folder() / "operator.kubeconfig"
    config.write_text("")
    return [
        *services.control_plane(platform),
        services.redis(platform),
        services.livekit(platform),
        *(services.livekit_sip(platform, node) for node in services.SIP_NODES),
        edges.edge(platform, [services.sip_uris(platform)], ["192.0.2.0/24"]),
        services.dns(platform),
        services.sandbox(platform),
        carrier(platform),
        switch(platform),
        voice(platform),
        *(services.gateway(platform, name) for name in services.GATEWAYS),
        services.podman(platform),
        agent_gateway(platform),
        overflow(platform),
        services.operator(platform, config, "localhost/voicefleet-agent:1"),
        services.portal(platform, config),
        *node.node_services(platform),
    ]


def test_no_two_services_want_one_port(platform: Platform) -> None:
    ports = platform.ports()
    numbers = [number for number, _ in ports.values()]
    assert len(set(numbers)) == len(numbers)
    for name in ("rtp", "rtp-backup"):
        rtp = range(platform.port(name), platform.port(name) + RTP_PORTS)
        assert [number for number in numbers if number in rtp] == [platform.port(name)]


def test_every_port_belongs_to_a_service(
    platform: Platform, every_service: Sequence[Service]
) -> None:
    # Or a port that is taken would show in a log and not by name. Ollama is a home lab's alone.
    used = [name for service in every_service for name in service.ports]
    assert sorted([*used, "ollama"]) == sorted(platform.ports())


def test_two_platforms_share_no_port(tmp_path: Path) -> None:
    one = {number for number, _ in Platform(tmp_path).ports().values()}
    other = {number for number, _ in Platform(tmp_path, base_port=26000).ports().values()}
    assert not one & other


def test_home_is_where_the_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEFLEET_HOME", str(tmp_path / "here"))
    assert default_home() == tmp_path / "here"
    monkeypatch.delenv("VOICEFLEET_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_home() == tmp_path / "voicefleet"


def test_a_secret_is_made_once_and_private(platform: Platform) -> None:
    made = platform.secret("redis-password")
    assert platform.secret("redis-password") == made
    assert Platform(platform.home).secret("redis-password") == made
    assert _mode(platform.path("secrets", "redis-password")) == 0o600


def test_secrets_are_on_no_command_line_and_in_no_environment(
    platform: Platform, every_service: Sequence[Service]
) -> None:
    secrets = [file.read_text() for file in platform.path("secrets").iterdir()]
    assert secrets
    shown = " ".join(
        word for s in every_service for word in (*s.command, *s.environment.values(), s.address)
    )
    assert not [secret for secret in secrets if secret in shown]


@pytest.mark.usefixtures("every_service")
def test_files_with_secrets_are_for_their_owner_alone(platform: Platform) -> None:
    secrets = [file.read_text() for file in platform.path("secrets").iterdir()]
    keys = list(platform.path("pki").rglob("*.key"))
    private = [
        file
        for file in platform.home.rglob("*")
        if file.is_file() and any(secret in file.read_text() for secret in secrets)
    ]
    assert len(private) > len(secrets), "no configuration holds a secret: what is tested here?"
    loose = [file for file in (*private, *keys, platform.kubeconfig) if _mode(file) & 0o077]
    assert not loose


def test_the_control_plane_keeps_its_keys(platform: Platform) -> None:
    files = write_control_plane(platform)
    before = {file: file.read_bytes() for file in platform.path("pki").iterdir()}
    write_control_plane(platform)
    assert {file: file.read_bytes() for file in platform.path("pki").iterdir()} == before
    authority = x509.load_pem_x509_certificate(files.ca.read_bytes())
    for leaf in (files.server_cert, files.admin_cert):
        x509.load_pem_x509_certificate(leaf.read_bytes()).verify_directly_issued_by(authority)


def test_secrets_are_encrypted_before_anything_else_is_tried(platform: Platform) -> None:
    config = yaml.safe_load(write_control_plane(platform).encryption.read_text())
    (rule,) = config["resources"]
    assert rule["resources"] == ["secrets"]
    # The first provider is the one that writes.
    assert next(iter(rule["providers"][0])) == "secretbox"


def test_a_service_is_restarted_only_for_its_own_inputs(
    platform: Platform, every_service: Sequence[Service]
) -> None:
    before = {service.name: service.fingerprint() for service in every_service}
    changed = platform.path("redis.conf")
    changed.write_text(changed.read_text() + "# changed\n")
    after = {service.name: service.fingerprint() for service in every_service}
    assert [name for name in before if before[name] != after[name]] == ["redis"]


def test_our_own_processes_are_restarted_for_new_code(every_service: Sequence[Service]) -> None:
    inputs = {service.name: {file.name for file in service.inputs} for service in every_service}
    assert "controller.py" in inputs["operator"]
    assert "server.py" in inputs["sandbox"]
    assert not {name for names in inputs.values() for name in names if name.endswith(".pyc")}


def test_supervisor_reads_what_we_write(platform: Platform) -> None:
    service = Service(
        "odd",
        ("/bin/sh", "-c", "echo 100% 'two words'", str(platform.path("a b"))),
        "",
        lambda: True,
        environment={"PERCENT": "50%", "COMMA": "a,b"},
    )
    Supervisor(platform)._write([service])
    parser = configparser.RawConfigParser()
    parser.read(platform.path("supervisord.conf"))
    command = parser["program:odd"]["command"] % {}
    assert shlex.split(command) == list(service.command)
    assert 'PERCENT="50%"' in parser["program:odd"]["environment"] % {}


def test_the_fleet_is_a_fleet(platform: Platform) -> None:
    manifest = cluster.fleet(platform)
    fleet = Fleet.model_validate({"spec": manifest["spec"]})
    assert {account.mode for account in fleet.spec.telephony.accounts} == {"Sandbox"}
    # An INVITE from anywhere else is refused.
    assert fleet.spec.telephony.carrier_networks == [f"{platform.address}/32"]


def test_wiring_is_the_part_of_the_fleet_that_the_machine_decides(platform: Platform) -> None:
    spec = cluster.fleet(platform)["spec"]
    patch = cluster._unflatten(cluster._wiring(platform))
    assert patch["telephony"] == {
        key: spec["telephony"][key]
        for key in ("originationURIs", "carrierNetworks", "voiceWebhookURL")
    }
    assert "plans" not in patch
    assert "billing" not in patch


@pytest.mark.parametrize("secure", [False, True])
def test_what_the_machine_has_changed_is_written_once_and_encrypted_stays_encrypted(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, secure: bool
) -> None:
    patches: list[Any] = []

    def kubectl(_: cluster.Cluster, verb: str, *words: str, **__: Any) -> str:
        if verb == "patch":
            patches.append(json.loads(words[-1])["spec"])
        return json.dumps({"spec": {"telephony": {"secure": secure}}}) if verb == "get" else ""

    monkeypatch.setattr(cluster.Cluster, "kubectl", kubectl)
    for _ in range(2):
        cluster.Cluster(platform).apply_fleet()
    [patch] = patches
    [uri] = patch["telephony"]["originationURIs"]
    assert uri.endswith(";transport=tls") is secure


def test_the_platform_is_remembered(tmp_path: Path) -> None:
    (tmp_path / "platform.json").write_text(
        '{"basePort": 26000, "runtime": "process", "cluster": "/etc/kube"}'
    )
    platform = known_platform(tmp_path)
    assert (platform.base_port, platform.runtime) == (26000, "process")
    assert platform.kubeconfig == Path("/etc/kube")
    assert known_platform(tmp_path, 36000, "podman").base_port == 36000


@pytest.mark.parametrize(
    ("conditions", "pending"),
    [
        ([], True),
        ([("Answering", "False", "WorkerMissing")], True),
        ([("Answering", "True", "Answering")], False),
        ([("Answering", "False", "X"), ("Stalled", "True", "NoNumbers")], False),
        ([("Answering", "False", "X"), ("Stalled", "False", "NoNumbers")], True),
        ([("Answering", "False", "Suspended")], False),
        ([("Answering", "False", "X"), ("Ready", "False", "AwaitingPayment")], False),
    ],
)
def test_who_is_waited_for(conditions: list[tuple[str, str, str]], pending: bool) -> None:
    listed: list[dict[str, Any]] = [
        {"type": kind, "status": status, "reason": reason} for kind, status, reason in conditions
    ]
    assert _pending({"status": {"conditions": listed}}) is pending


def _mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_a_changed_models_file_restarts_the_gateways(platform: Platform) -> None:
    before = services.gateway(platform, "tts")
    file = platform.path("models.yaml")
    file.write_text("voices: {}")
    after = services.gateway(platform, "tts")
    assert f"--models={file}" in after.command
    assert before.fingerprint() != after.fingerprint()
    # Pods reach the folder as another user; the key stays ours.
    assert stat.S_IMODE(services.models_folder(platform).stat().st_mode) == 0o755
    assert stat.S_IMODE(services.models_key(platform).stat().st_mode) == 0o600
