"""k3s on a server, as text: its configuration, its firewall, and the script that installs it.

Pure: cloud-init runs the script on servers that code makes, SSH on those that people order. Pages:
https://docs.k3s.io/installation/configuration, https://docs.k3s.io/installation/requirements,
https://cloudinit.readthedocs.io/en/latest/reference/modules.html (write_files, runcmd).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from voicefleet_infra.livekit_config import RTP_PORTS, SIP_PORT, SIPS_PORT

VERSION = "v1.34.1+k3s1"
API_PORT = 6443
MEDIA_LABEL = "voicefleet.dev/media"
"""Of the node with the public address that the carrier calls: the first server."""
KUBECONFIG = "/etc/rancher/k3s/k3s.yaml"
SCRIPT = "/usr/local/sbin/voicefleet-k3s"

_FIREWALL = """\
# Made by voicefleet. Kubernetes' own tables are others and stay as they are.
table inet voicefleet
delete table inet voicefleet
table inet voicefleet {
  chain input {
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    iif lo accept
    iifname { "cni0", "flannel.1", "flannel-wg" } accept
    meta l4proto { icmp, ipv6-icmp } accept
RULES
  }
}
"""
_UNIT = """\
[Unit]
Description=Who may reach this server
Wants=network-pre.target
Before=network-pre.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f /etc/voicefleet.nft
[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True)
class Access:
    """Which networks (CIDR) reach what of the servers."""

    admins: Sequence[str]
    """SSH and the Kubernetes API."""
    carriers: Sequence[str]
    """SIP signalling. LiveKit believes the host in From, so the network has to keep others out."""
    media: Sequence[str]
    """Calls' sound (RTP)."""


@dataclass(frozen=True)
class Opening:
    """One thing that is let in."""

    what: str
    protocol: str
    first: int
    last: int
    networks: tuple[str, ...]


def openings(access: Access) -> tuple[Opening, ...]:
    """All that a server lets in from outside; an AWS security group and nftables say the same."""
    admins, carriers, media = map(tuple, (access.admins, access.carriers, access.media))
    return (
        Opening("SSH", "tcp", 22, 22, admins),
        Opening("Kubernetes API", "tcp", API_PORT, API_PORT, admins),
        Opening("SIP", "udp", SIP_PORT, SIP_PORT, carriers),
        Opening("SIP by TCP and TLS", "tcp", SIP_PORT, SIPS_PORT, carriers),
        Opening("RTP", "udp", RTP_PORTS[0], RTP_PORTS[1], media),
    )


def firewall(access: Access, servers: Iterable[str]) -> str:
    """An nftables file: openings, everything from the cluster's other servers, nothing else."""
    rules = [_rule(servers, "accept")]
    for each in openings(access):
        ports = f"{each.first}-{each.last}" if each.first != each.last else f"{each.first}"
        rules.append(_rule(each.networks, f"{each.protocol} dport {ports} accept"))
    return _FIREWALL.replace("RULES", "\n".join(filter(None, rules)))


def _rule(sources: Iterable[str], rest: str) -> str:
    families: dict[str, list[str]] = {"ip": [], "ip6": []}
    for source in sources:
        families["ip6" if ":" in source else "ip"].append(source)
    return "\n".join(
        f"    {family} saddr {{ {', '.join(networks)} }} {rest}"
        for family, networks in families.items()
        if networks
    )


@dataclass(frozen=True)
class Node:
    """One server of the cluster."""

    address: str
    """Public."""
    token: str
    """Shared by the cluster's servers; a secret."""
    first: str | None = None
    """Address of the first server, which this one joins; None: it is the first."""
    firewall: str | None = None
    """nftables file; None where the cloud's own firewall does it."""


def configuration(node: Node) -> dict[str, Any]:
    """`/etc/rancher/k3s/config.yaml`."""
    shared = {"token": node.token, "node-external-ip": node.address}
    if node.first is not None:
        return {"server": f"https://{node.first}:{API_PORT}", **shared}
    return {
        **shared,
        "tls-san": [node.address],
        "write-kubeconfig-mode": "0600",
        "secrets-encryption": True,
        # Servers of different places see one another over the internet alone.
        "flannel-backend": "wireguard-native",
        "node-label": [f"{MEDIA_LABEL}=true"],
        # Nothing of ours is reached over HTTP from outside.
        "disable": ["traefik", "servicelb"],
    }


def script(node: Node) -> str:
    """Install k3s, or bring it to this version and configuration; safe to repeat."""
    role = "server" if node.first is None else "agent"
    settings = yaml.safe_dump(configuration(node), sort_keys=False)
    lines = [
        "#!/bin/sh",
        "set -eu",
        "umask 077",
        "export DEBIAN_FRONTEND=noninteractive",
        "apt-get update -qq && apt-get install -y -qq ca-certificates curl nftables",
        "mkdir -p /etc/rancher/k3s",
        _file("/etc/rancher/k3s/config.yaml", settings),
    ]
    if node.firewall is not None:
        lines += [
            _file("/etc/voicefleet.nft", node.firewall),
            _file("/etc/systemd/system/voicefleet-firewall.service", _UNIT),
            "systemctl daemon-reload",
            "systemctl enable voicefleet-firewall",
            "systemctl restart voicefleet-firewall",
        ]
    lines += [
        # It checks the binary's SHA-256 against the release's list.
        "curl --proto '=https' -sfL https://get.k3s.io -o /run/k3s-install",
        f"INSTALL_K3S_VERSION='{VERSION}' INSTALL_K3S_EXEC={role} sh /run/k3s-install",
    ]
    return "\n".join(lines) + "\n"


def _file(path: str, text: str) -> str:
    return f"cat >{path} <<'VOICEFLEET'\n{text.rstrip()}\nVOICEFLEET"


def removal(first: bool) -> str:
    """Shell commands that take k3s, what ran in it, and the firewall away again."""
    program = "k3s-uninstall.sh" if first else "k3s-agent-uninstall.sh"
    return (
        f"/usr/local/bin/{program}\n"
        "systemctl disable voicefleet-firewall\n"
        "nft delete table inet voicefleet\n"
        "rm -f /etc/voicefleet.nft /etc/systemd/system/voicefleet-firewall.service\n"
        "systemctl daemon-reload\n"
    )


def cloud_init(node: Node) -> str:
    """User data of a server that installs itself at its first start."""
    data = {
        "write_files": [{"path": SCRIPT, "permissions": "0700", "content": script(node)}],
        "runcmd": [[SCRIPT]],
    }
    return "#cloud-config\n" + yaml.safe_dump(data, sort_keys=False)


def kubeconfig(text: str, address: str) -> str:
    """k3s's own kubeconfig, for elsewhere; ValueError where the text is none."""
    config = yaml.safe_load(text)
    if not isinstance(config, dict) or not config.get("clusters"):
        raise ValueError("the server has sent no kubeconfig: is k3s installed on it?")
    for cluster in config["clusters"]:
        cluster["cluster"]["server"] = f"https://{address}:{API_PORT}"
    return yaml.safe_dump(config, sort_keys=False)
