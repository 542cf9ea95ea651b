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

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from voicefleet_infra.images import sbom
from voicefleet_infra.images.recipes import Recipe

PYTHON = "/usr/bin/python3.11"
SUITE = "bookworm"
DEBIAN_PACKAGES = ("python3.11", "libstdc++6", "base-files", "netbase")
UID = 10001
PREFIX = "/opt/voicefleet"

_PASSWD = f"root:x:0:0::/:/nonexistent\nvoicefleet:x:{UID}:{UID}::/data:/nonexistent\n"
_GROUP = f"root:x:0:\nvoicefleet:x:{UID}:\n"
# What scanners read where there is no dpkg: a file a package, as Distroless has them.
_STATUS = "/var/lib/dpkg/status.d"
_STATUS_HOOK = (
    f'cd "$1" && mkdir -p .{_STATUS} && for deb in var/cache/apt/archives/*.deb; do'
    f' dpkg-deb --field "$deb" > ".{_STATUS}/$(dpkg-deb --field "$deb" Package)"; done'
)

Progress = Callable[[str], None]


class BuildFailed(Exception):
    """A step did not work; the message has its last words."""


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
    run = _Tools(dict(env if env is not None else os.environ))
    requirements = _export(run, recipe, root, "requirements.txt", "--no-emit-workspace")
    sources = list(recipe.sources(root))
    config = _config(recipe, version(root))
    base = _name("python", [SUITE, *DEBIAN_PACKAGES, _PASSWD, _GROUP])
    deps = _name(f"{recipe.room}-deps", [base, requirements])
    recipes = [recipe.proof, *config, Path(sbom.__file__).read_text()]
    image = _name(recipe.room, [deps, *recipes, *_contents(sources)])
    if run.has(image):
        return image
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / "images.lock"):
        if not run.has(base):
            with _step(progress, f"Python {SUITE} from Debian's packages"):
                _build_base(run, base, cache)
        if not run.has(deps):
            with _step(progress, f"the {recipe.room}'s dependencies"):
                _build_deps(run, deps, base, requirements, cache)
        if not run.has(image):
            with _step(progress, f"the {recipe.room}'s image"):
                exported = _export(run, recipe, root, "cyclonedx1.5")
                _build_app(run, image, deps, recipe, config, sources, exported)
    return image


def version(root: Path) -> str:
    """The release that the checkout is."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def _export(run: _Tools, recipe: Recipe, root: Path, form: str, *more: str) -> str:
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


def _build_base(run: _Tools, ref: str, cache: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        tar = Path(folder) / "rootfs.tar"
        run(
            "mmdebstrap", "--quiet", "--variant=extract",
            f"--include={','.join(DEBIAN_PACKAGES)}",
            # What a container does not read.
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/man/*",
            f"--extract-hook={_STATUS_HOOK}",
            SUITE, str(tar), *_apt_sources(),
        )  # fmt: skip
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


def _build_deps(run: _Tools, ref: str, base: str, requirements: str, cache: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        listed = Path(folder) / "requirements.txt"
        listed.write_text(requirements)
        site = Path(folder) / "site"
        run(
            "uv", "pip", "install", "--quiet", "--target", str(site), "--python-version", "3.11",
            "--only-binary", ":all:", "--no-deps", "--require-hashes", "-r", str(listed),
        )  # fmt: skip
        shutil.rmtree(site / "bin", ignore_errors=True)
        with run.container(base) as container:
            lib = f"{PREFIX}/lib"
            run("buildah", "add", "--quiet", container, str(site), lib)
            run.compile(container, lib)
            run.commit(container, ref)


def _build_app(
    run: _Tools,
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
        run.inside(container, "-c", f"import {recipe.proof}")
        run.commit(container, ref)


def _controls(run: _Tools, container: str) -> list[str]:
    """Control files of the Debian packages in a container."""
    program = (
        "import json, pathlib;"
        f" print(json.dumps([p.read_text() for p in pathlib.Path('{_STATUS}').iterdir()]))"
    )
    controls: list[str] = json.loads(run.inside(container, "-c", program))
    return controls


class _Tools:
    """Runs the tools, with their last words as the error."""

    def __init__(self, env: dict[str, str]) -> None:
        self._env = env

    def __call__(self, *command: str, cwd: Path | None = None) -> str:
        try:
            done = subprocess.run(
                command, cwd=cwd, env=self._env, capture_output=True, text=True, check=True
            )
        except FileNotFoundError as error:
            raise BuildFailed(f"{command[0]} is not installed") from error
        except subprocess.CalledProcessError as error:
            words = "\n".join((error.stderr or error.stdout).strip().splitlines()[-8:])
            raise BuildFailed(f"{' '.join(command[:3])}: {words}") from error
        return done.stdout

    def has(self, ref: str) -> bool:
        try:
            self("buildah", "inspect", "--type", "image", ref)
        except BuildFailed:
            return False
        return True

    @contextmanager
    def container(self, image: str) -> Iterator[str]:
        """A working container from an image of ours."""
        name = self("buildah", "from", "--pull-never", image).strip()
        try:
            yield name
        finally:
            self("buildah", "rm", name)

    def inside(self, container: str, *arguments: str) -> str:
        """What the image's Python prints in the container, without a container runtime."""
        run = ("buildah", "run", "--isolation=chroot", container, "--", PYTHON)
        return self(*run, *arguments)

    def compile(self, container: str, folder: str) -> None:
        """Byte code beside the source: imports take half the time with it."""
        # Files never change in an image, so no start has to compare them with their source.
        self.inside(
            container, "-m", "compileall", "-q", "-j0", "--invalidation-mode", "unchecked-hash",
            folder,
        )  # fmt: skip

    def commit(self, container: str, ref: str) -> None:
        self("buildah", "commit", "--quiet", "--omit-timestamp", container, ref)


def _apt_sources() -> list[str]:
    """This machine's package sources where it runs the same Debian; else mmdebstrap's own."""
    release = Path("/etc/os-release")
    if not release.exists() or f"VERSION_CODENAME={SUITE}" not in release.read_text().split():
        return []
    listed = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("debian*")]
    return [str(path) for path in listed if path.is_file() and path.stat().st_size]


def _contents(sources: Sequence[Path]) -> Iterator[str]:
    for source in sources:
        for path in sorted(source.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                yield f"{path.relative_to(source.parent)} {digest}"


def _name(part: str, inputs: Sequence[str]) -> str:
    # The recipe itself is an input, too.
    text = "\0".join([Path(__file__).read_text(), *inputs])
    return f"localhost/voicefleet-{part}:{hashlib.sha256(text.encode()).hexdigest()[:16]}"


@contextmanager
def _step(progress: Progress, what: str) -> Iterator[None]:
    progress(f"building {what} …")
    begun = time.monotonic()
    yield
    progress(f"built {what} in {time.monotonic() - begun:.0f} s")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
