"""The pods' network: a bridge of the platform's own (cni.dev, plugins `bridge` and `host-local`).

Names and addresses follow the base port, so that two platforms do not share any.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from voicefleet_infra.platform import Platform, write_private
from voicefleet_infra.service import program

PLUGINS = Path("/usr/lib/cni")
_RESULTS = Path("/var/lib/cni/results")
"""Where libcni keeps what it has given to whom; containerd has no setting for it."""


def network_name(platform: Platform) -> str:
    """The network's name."""
    return f"voicefleet-{platform.base_port}"


def bridge_name(platform: Platform) -> str:
    """The bridge; an interface's name has 15 characters at most."""
    return f"vf{platform.base_port}"


def pod_network(platform: Platform) -> str:
    """Of 10.128.0.0/10 the /24 that is the platform's."""
    step = platform.base_port >> 2
    return f"10.{128 + (step >> 8)}.{step & 255}.0/24"


def write_network(platform: Platform) -> Path:
    """Write the network's configuration; its file."""
    bridge = {
        "type": "bridge",
        "bridge": bridge_name(platform),
        "isGateway": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": pod_network(platform)}]],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": str(platform.folder("node", "cni", "addresses")),
        },
    }
    config = {"cniVersion": "1.0.0", "name": network_name(platform), "plugins": [bridge]}
    file = platform.folder("node", "cni", "net.d") / "voicefleet.conflist"
    return write_private(file, json.dumps(config, indent=2))


def open_network(platform: Platform) -> None:
    """Let pods reach what is beyond this machine, under its address.

    One rule instead of `bridge`'s own, one a pod: this one is found again when it is to go.
    """
    if _iptables("-C", platform).returncode:
        _iptables("-A", platform).check_returncode()


def close_network(platform: Platform) -> None:
    """Remove bridge and rule; pods' ends of it have gone with their network namespaces."""
    _iptables("-D", platform)
    subprocess.run([program("ip"), "link", "delete", bridge_name(platform)], capture_output=True)
    for file in _RESULTS.glob(f"{network_name(platform)}-*-eth0"):
        pod = file.name.removeprefix(f"{network_name(platform)}-").removesuffix("-eth0")
        file.unlink()
        (_RESULTS / f"cni-loopback-{pod}-lo").unlink(missing_ok=True)


def _iptables(action: str, platform: Platform) -> subprocess.CompletedProcess[bytes]:
    pods = pod_network(platform)
    rule = ("-s", pods, "!", "-d", pods, "-j", "MASQUERADE")
    mark = ("-m", "comment", "--comment", network_name(platform))
    command = [program("iptables"), "-w", "-t", "nat", action, "POSTROUTING", *rule, *mark]
    return subprocess.run(command, capture_output=True)
