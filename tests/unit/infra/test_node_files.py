"""Files of a Kubernetes node on this machine."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import NameOID

from voicefleet_api.fleet import Fleet
from voicefleet_infra import cluster, services
from voicefleet_infra.node import containerd, images, kubelet, network, node_objects, storage
from voicefleet_infra.platform import Platform

pytestmark = pytest.mark.unit

ADDRESS = "192.0.2.7"


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    for module in (containerd, images):
        monkeypatch.setattr(module, "program", lambda _: __file__)
    return _at(ADDRESS, tmp_path)


def _at(address: str, home: Path) -> Platform:
    platform = Platform(home, runtime="kubernetes")
    vars(platform)["address"] = address
    return platform


def test_containerd_keeps_to_the_platforms_folder(platform: Platform) -> None:
    service = containerd.containerd(platform)
    config = tomllib.loads(service.inputs[0].read_text())
    plugins = config["plugins"]
    cri = plugins["io.containerd.grpc.v1.cri"]
    options = cri["containerd"]["runtimes"]["runc"]["options"]
    kept = (
        config["root"],
        config["state"],
        config["grpc"]["address"],
        plugins["io.containerd.internal.v1.opt"]["path"],
        cri["cni"]["conf_dir"],
        options["Root"],
    )
    assert {Path(path).is_relative_to(platform.home) for path in kept} == {True}
    assert cri["sandbox_image"] == images.node_image_name()


def test_two_platforms_share_no_network(platform: Platform) -> None:
    others = [Platform(platform.home, base_port=port) for port in (16000, 16004, 26000, 63000)]
    for made in (network.pod_network, network.bridge_name, network.network_name):
        assert len({made(other) for other in others}) == len(others)
    assert all(len(network.bridge_name(other)) < 16 for other in others)
    config = json.loads(network.write_network(others[0]).read_text())
    [bridge] = config["plugins"]
    assert bridge["ipam"]["ranges"] == [[{"subnet": network.pod_network(others[0])}]]


def test_a_kubelet_serves_who_is_let_and_keeps_to_its_folder(platform: Platform) -> None:
    service = kubelet.kubelet(platform)
    config = yaml.safe_load(service.inputs[0].read_text())
    assert config["authentication"]["anonymous"] == {"enabled": False}
    assert config["address"] == ADDRESS
    outside = [
        value
        for value in config.values()
        if isinstance(value, str)
        and value.startswith(os.sep)
        and not Path(value).is_relative_to(platform.home)
    ]
    assert outside == []
    # One tree of groups a machine: a kubelet ends what it does not know in there.
    assert config["cgroupsPerQOS"] is False


def test_a_node_is_known_by_its_certificate(platform: Platform, tmp_path: Path) -> None:
    def certificate(address: str) -> x509.Certificate:
        made = kubelet.kubelet(_at(address, tmp_path)).inputs[1]
        return x509.load_pem_x509_certificate(made.read_bytes())

    first = certificate(ADDRESS)
    names = {each.oid: each.value for each in first.subject}
    assert names[NameOID.COMMON_NAME] == f"system:node:{kubelet.NODE}"
    assert names[NameOID.ORGANIZATION_NAME] == "system:nodes"
    assert certificate(ADDRESS) == first
    # The API server asks it at its address, and that may change.
    second = certificate("198.51.100.7")
    assert second.serial_number != first.serial_number


def test_a_node_needs_an_address(tmp_path: Path) -> None:
    with pytest.raises(kubelet.ToolMissing, match="not loopback's"):
        kubelet.kubelet(_at("127.0.0.1", tmp_path))


def test_the_api_server_makes_accounts_for_pods_only_with_a_node(
    platform: Platform, tmp_path: Path
) -> None:
    _, with_node = services.control_plane(platform)
    _, without = services.control_plane(Platform(tmp_path / "other"))
    assert "--authorization-mode=Node,RBAC" in with_node.command
    assert "--disable-admission-plugins=ServiceAccount" not in with_node.command
    assert "--disable-admission-plugins=ServiceAccount" in without.command


def test_a_node_stays_when_the_runtime_is_another(platform: Platform) -> None:
    assert not Platform(platform.home).has_node
    kubelet.kubelet(platform)
    assert Platform(platform.home).has_node
    assert not Platform(platform.home, cluster=Path("/etc/kube")).has_node


def test_agents_on_the_node_reach_the_machine_and_nothing_else(platform: Platform) -> None:
    manifest = cluster.fleet(platform)
    fleet = Fleet.model_validate({"spec": manifest["spec"]})
    assert fleet.spec.runtime.class_name == "kubernetes"
    kubernetes = fleet.spec.runtime.kubernetes
    assert kubernetes is not None
    assert kubernetes.storage_class_name == storage.CLASS
    [egress] = kubernetes.egress
    assert egress.cidr == f"{ADDRESS}/32"
    open_ports = {(port.protocol, port.port) for port in egress.ports}
    assert ("TCP", platform.port("agent-gateway")) in open_ports
    assert ("UDP", platform.port("livekit-udp")) in open_ports
    assert ("TCP", platform.port("portal")) not in open_ports


def test_whoever_signs_in_is_given_rights() -> None:
    """A binding to another name would show as volumes that nobody makes."""
    bound: dict[str, list[Any]] = {}
    for each in node_objects():
        for subject in each.get("subjects", []):
            bound.setdefault(subject["name"], []).append(each["roleRef"]["name"])
    assert bound == {
        "kube-apiserver": ["system:kubelet-api-admin"],
        storage.USER: [storage.USER, storage.USER],
    }
