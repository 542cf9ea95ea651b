"""Images of ours: Debian's Python, the locked wheels, our source; no registry, no shell.

Three layers, each named after the hash of all that goes into it, so that a change of our source
costs a second and nothing else is done twice:

1. `voicefleet-python`: Python 3.11 and what it needs, unpacked from Debian's packages
   (mmdebstrap, variant `extract`: no package manager, no shell, no setuid program);
2. `voicefleet-<room>-deps`: the wheels that `uv.lock` names for the room, hashes checked,
   compiled by the Python that will run them;
3. `voicefleet-<room>`: our packages, and the bill of materials of all three.

`Containerfile` beside this module builds the same for those who have a registry.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from voicefleet_infra.images import sbom
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
from voicefleet_infra.images.recipes import Recipe

UID = 10001

_PASSWD = f"root:x:0:0::/:/nonexistent\nvoicefleet:x:{UID}:{UID}::/data:/nonexistent\n"
_GROUP = f"root:x:0:\nvoicefleet:x:{UID}:\n"
_BELIEVES = "assert ssl.create_default_context().get_ca_certs()"
"""Or no vendor is reached by TLS."""
# What scanners read where there is no dpkg: a file a package, as Distroless has them.
_STATUS = "/var/lib/dpkg/status.d"
_STATUS_HOOK = (
    f'cd "$1" && mkdir -p .{_STATUS} && for deb in var/cache/apt/archives/*.deb; do'
    f' dpkg-deb --field "$deb" > ".{_STATUS}/$(dpkg-deb --field "$deb" Package)"; done'
)


def build_image(
    recipe: Recipe,
    root: Path,
    cache: Path,
    progress: Progress = print,
    env: Mapping[str, str] | None = None,
) -> str:
    """Build what is missing and return the image's name, `localhost/voicefleet-<room>:<hash>`.

    `root` is the repository, `cache` a folder outside it, `env` the environment of the tools
    (`CONTAINERS_CONF`). Safe to call at any time and from two processes: one waits.
    Needs `buildah` and `uv`, and `mmdebstrap` for the first layer. Raises BuildFailed.
    """
    run = Tools(dict(env if env is not None else os.environ))
    requirements = _export(run, recipe, root, "requirements.txt", "--no-emit-workspace")
    sources = list(recipe.sources(root))
    config = _config(recipe, version(root))
    base = image_name("python", [SUITE, *DEBIAN_PACKAGES, _PASSWD, _GROUP])
    deps = image_name(f"{recipe.room}-deps", [base, requirements])
    recipes = [recipe.proof, *config, Path(sbom.__file__).read_text()]
    image = image_name(recipe.room, [deps, *recipes, *contents(sources)])
    if run.has(image):
        return image
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / "images.lock"):
        if not run.has(base):
            with step(progress, f"Python {SUITE} from Debian's packages"):
                _build_base(run, base, cache)
        if not run.has(deps):
            with step(progress, f"the {recipe.room}'s dependencies"):
                build_deps(run, deps, base, requirements, cache)
        if not run.has(image):
            with step(progress, f"the {recipe.room}'s image"):
                exported = _export(run, recipe, root, "cyclonedx1.5")
                _build_app(run, image, deps, recipe, config, sources, exported)
    return image


def version(root: Path) -> str:
    """The release that the checkout is."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def _export(run: Tools, recipe: Recipe, root: Path, form: str, *more: str) -> str:
    """What `uv.lock` says that the image holds."""
    unwanted = [f"--no-emit-package={name}" for name in recipe.without]
    return run(
        "uv", "export", "--frozen", "--package", f"voicefleet-{recipe.room}", "--no-dev",
        "--no-header", "--quiet", f"--format={form}", *unwanted, *more, cwd=root,
    )  # fmt: skip


def _config(recipe: Recipe, release: str) -> tuple[str, ...]:
    """Options of buildah-config(1)."""
    return (
        f"--user={UID}:{UID}",
        "--workingdir=/data",
        f"--env=PYTHONPATH={PREFIX}/app:{PREFIX}/lib",
        "--env=PYTHONDONTWRITEBYTECODE=1",
        "--env=PYTHONUNBUFFERED=1",
        CERTIFICATES,
        f'--entrypoint=["{PYTHON}", "-P", "-s", "-m", "{recipe.module}"]',
        "--cmd=",
        f"--port={recipe.port}",
        "--stop-signal=SIGTERM",
        f"--label=org.opencontainers.image.title=voicefleet-{recipe.room}",
        f"--label=org.opencontainers.image.version={release}",
        "--label=org.opencontainers.image.licenses=Apache-2.0",
        f"--label=dev.voicefleet.sbom={sbom.SBOM_FILE}",
        *recipe.config,
    )


def _build_base(run: Tools, ref: str, cache: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        tar = Path(folder) / "rootfs.tar"
        unpack(run, DEBIAN_PACKAGES, tar, f"--extract-hook={_STATUS_HOOK}")
        etc = Path(folder) / "etc"
        etc.mkdir()
        (etc / "passwd").write_text(_PASSWD)
        (etc / "group").write_text(_GROUP)
        data = Path(folder) / "data"
        data.mkdir()
        with run.container("scratch") as container:
            run("buildah", "add", "--quiet", container, str(tar), "/")
            run("buildah", "add", "--quiet", container, str(etc), "/etc")
            run("buildah", "add", "--quiet", f"--chown={UID}:{UID}", container, str(data), "/data")
            run("buildah", "add", "--quiet", container, str(data), "/config")
            run.commit(container, ref)


def _build_app(
    run: Tools,
    ref: str,
    deps: str,
    recipe: Recipe,
    config: Sequence[str],
    sources: Sequence[Path],
    exported: str,
) -> None:
    with tempfile.TemporaryDirectory() as folder, run.container(deps) as container:
        app = Path(folder) / "app"
        for source in sources:
            shutil.copytree(source, app / source.name, ignore=shutil.ignore_patterns("__pycache__"))
        run("buildah", "add", "--quiet", container, str(app), f"{PREFIX}/app")
        run.compile(container, f"{PREFIX}/app")
        bill = Path(folder) / "sbom.json"
        bill.write_text(sbom.bill(exported, _controls(run, container), SUITE))
        run("buildah", "add", "--quiet", container, str(bill), sbom.SBOM_FILE)
        run("buildah", "config", *config, container)
        run.inside(container, "-c", f"import {recipe.proof}, ssl; {_BELIEVES}")
        run.commit(container, ref)


def _controls(run: Tools, container: str) -> list[str]:
    """Control files of the Debian packages in a container."""
    program = (
        "import json, pathlib;"
        f" print(json.dumps([p.read_text() for p in pathlib.Path('{_STATUS}').iterdir()]))"
    )
    controls: list[str] = json.loads(run.inside(container, "-c", program))
    return controls
