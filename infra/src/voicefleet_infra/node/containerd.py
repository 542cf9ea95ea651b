"""containerd of the node's own: configuration, socket, and what its client `ctr` says."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from voicefleet_infra.images.layers import Tools
from voicefleet_infra.node.images import node_image, node_image_name
from voicefleet_infra.node.network import PLUGINS, write_network
from voicefleet_infra.platform import Platform, write_private
from voicefleet_infra.probes import unix_open
from voicefleet_infra.service import Service, program
from voicefleet_infra.tools import ToolMissing

# As containerd 1.6 reads it (containerd-config.toml(5), docs/cri/config.md). Machines that are
# containers themselves may not lower `oom_score_adj`, and AppArmor's profiles are the machine's.
_CONFIG = """\
version = 2
root = "{folder}/root"
state = "{folder}/state"

[grpc]
address = "{socket}"

[plugins."io.containerd.internal.v1.opt"]
path = "{folder}/opt"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
restrict_oom_score_adj = true
disable_apparmor = true
netns_mounts_under_state_dir = true
stream_server_address = "127.0.0.1"
stream_server_port = "0"

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{network}"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
Root = "{folder}/runc"
SystemdCgroup = false
"""


def containerd_socket(platform: Platform) -> Path:
    """Where it listens; a socket's path has 107 characters at most."""
    return platform.folder("run") / "containerd.sock"


def containerd(platform: Platform) -> Service:
    """Runs pods' containers; they outlive it."""
    socket = containerd_socket(platform)
    network = write_network(platform)
    config = write_private(
        platform.folder("node") / "containerd.toml",
        _CONFIG.format(
            folder=platform.folder("node", "containerd"),
            socket=socket,
            pause=node_image_name(),
            plugins=PLUGINS,
            network=network.parent,
        ),
    )
    return Service(
        "containerd",
        (program("containerd"), "--config", str(config), "--log-level=warn"),
        str(socket),
        lambda: unix_open(socket),
        inputs=(config, network),
    )


def ctr(platform: Platform, *words: str) -> str:
    """What containerd's own client says of Kubernetes' containers; raises `ToolMissing`."""
    address = f"--address={containerd_socket(platform)}"
    done = subprocess.run(
        [program("ctr"), address, "--namespace=k8s.io", *words], capture_output=True, text=True
    )
    if done.returncode:
        raise ToolMissing(f"ctr {' '.join(words)}: {done.stderr.strip()[-800:]}")
    return done.stdout


def import_images(platform: Platform, agent: str, env: Mapping[str, str]) -> None:
    """Hand the node, which has no registry, its own image and the agent's from Podman's storage."""
    for name in (node_image(env), agent):
        if name not in ctr(platform, "images", "ls", "--quiet").split():
            _import(platform, name, env)


def _import(platform: Platform, name: str, env: Mapping[str, str]) -> None:
    with tempfile.TemporaryDirectory(dir=platform.folder("node")) as folder:
        archive = Path(folder) / "image.tar"
        Tools(dict(env))("buildah", "push", "--quiet", name, f"docker-archive:{archive}:{name}")
        ctr(platform, "images", "import", str(archive))
