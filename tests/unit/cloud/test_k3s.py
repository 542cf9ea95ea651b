"""k3s on a server, as text."""

from __future__ import annotations

import pytest
import yaml

from voicefleet_infra.components.cloud import k3s

pytestmark = pytest.mark.unit
ACCESS = k3s.Access(
    admins=["203.0.113.0/24", "2001:db8::/64"],
    carriers=["54.172.60.0/30", "54.244.51.0/30"],
    media=["168.86.128.0/18"],
)
HEAD = k3s.Node("198.51.100.20", "t0ken")
OTHER = k3s.Node("198.51.100.21", "t0ken", first="198.51.100.20", firewall="table inet x {}")


def test_the_first_server_is_the_head_and_takes_the_media() -> None:
    config = k3s.configuration(HEAD)
    assert "server" not in config
    assert config["tls-san"] == ["198.51.100.20"]
    assert config["node-label"] == ["voicefleet.dev/media=true"]
    assert config["secrets-encryption"] is True
    assert config["flannel-backend"] == "wireguard-native"


def test_others_join_the_first_and_take_no_media() -> None:
    assert k3s.configuration(OTHER) == {
        "server": "https://198.51.100.20:6443",
        "token": "t0ken",
        "node-external-ip": "198.51.100.21",
    }


def test_the_script_installs_one_version_in_the_nodes_role_after_its_configuration() -> None:
    for node, role in ((HEAD, "server"), (OTHER, "agent")):
        text = k3s.script(node)
        assert f"INSTALL_K3S_VERSION='{k3s.VERSION}' INSTALL_K3S_EXEC={role}" in text
        assert text.index("config.yaml") < text.index("get.k3s.io")
        # The token is in a file that only root reads.
        assert text.index("umask 077") < text.index("t0ken")


def test_the_firewall_is_up_before_k3s_and_is_left_out_where_the_cloud_has_one() -> None:
    text = k3s.script(OTHER)
    assert text.index("systemctl restart voicefleet-firewall") < text.index("get.k3s.io")
    assert "voicefleet-firewall" not in k3s.script(HEAD)


def test_cloud_init_writes_the_script_and_runs_it() -> None:
    text = k3s.cloud_init(HEAD)
    assert text.startswith("#cloud-config\n")
    data = yaml.safe_load(text)
    (file,) = data["write_files"]
    assert file["content"] == k3s.script(HEAD)
    assert file["permissions"] == "0700"
    assert data["runcmd"] == [[file["path"]]]


def test_the_firewall_lets_in_what_is_named_from_where_it_is_named_and_nothing_else() -> None:
    text = k3s.firewall(ACCESS, ["198.51.100.20", "198.51.100.21"])
    assert "policy drop" in text
    let_in = [line.strip() for line in text.splitlines() if "saddr" in line]
    assert let_in == [
        "ip saddr { 198.51.100.20, 198.51.100.21 } accept",
        "ip saddr { 203.0.113.0/24 } tcp dport 22 accept",
        "ip6 saddr { 2001:db8::/64 } tcp dport 22 accept",
        "ip saddr { 203.0.113.0/24 } tcp dport 6443 accept",
        "ip6 saddr { 2001:db8::/64 } tcp dport 6443 accept",
        "ip saddr { 54.172.60.0/30, 54.244.51.0/30 } udp dport 5060 accept",
        "ip saddr { 54.172.60.0/30, 54.244.51.0/30 } tcp dport 5060-5061 accept",
        "ip saddr { 168.86.128.0/18 } udp dport 10000-10399 accept",
    ]


def test_the_administrators_kubeconfig_is_for_the_public_address() -> None:
    own = yaml.safe_dump({"clusters": [{"cluster": {"server": "https://127.0.0.1:6443"}}]})
    moved = yaml.safe_load(k3s.kubeconfig(own, "198.51.100.20"))
    assert moved["clusters"][0]["cluster"]["server"] == "https://198.51.100.20:6443"


@pytest.mark.parametrize("text", ["", "cat: no such file", "kind: Config"])
def test_what_is_no_kubeconfig_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="sent no kubeconfig"):
        k3s.kubeconfig(text, "198.51.100.20")
