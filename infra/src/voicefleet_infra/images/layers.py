"""What every image is made with: Debian's packages, locked wheels, buildah, names by content."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PYTHON = "/usr/bin/python3.11"
SUITE = "bookworm"
# libgomp1 is for llama.cpp, which the models' image has.
DEBIAN_PACKAGES = ("python3.11", "libstdc++6", "libgomp1", "base-files", "netbase")
PREFIX = "/opt/voicefleet"
# Debian's own bundle is made when its package is configured, which none here is.
CERTIFICATES = f"--env=SSL_CERT_FILE={PREFIX}/lib/certifi/cacert.pem"

Progress = Callable[[str], None]


class BuildFailed(Exception):
    """A step did not work; the message has its last words."""


def unpack(run: Tools, packages: Sequence[str], tar: Path, *options: str) -> None:
    """A root filesystem of Debian's packages and what they need, unpacked and not configured."""
    run(
        "mmdebstrap", "--quiet", "--variant=extract", f"--include={','.join(packages)}",
        # What a container does not read.
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        *options, SUITE, str(tar), *_apt_sources(),
    )  # fmt: skip


def build_deps(run: Tools, ref: str, base: str, requirements: str, cache: Path) -> None:
    """The layer of the wheels that `requirements` names, compiled, on `base`."""
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


class Tools:
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
        """Whether there is such an image."""
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
        """Make an image of a container."""
        self("buildah", "commit", "--quiet", "--omit-timestamp", container, ref)


def _apt_sources() -> list[str]:
    """This machine's package sources where it runs the same Debian; else mmdebstrap's own."""
    release = Path("/etc/os-release")
    if not release.exists() or f"VERSION_CODENAME={SUITE}" not in release.read_text().split():
        return []
    listed = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("debian*")]
    return [str(path) for path in listed if path.is_file() and path.stat().st_size]


def contents(sources: Sequence[Path]) -> Iterator[str]:
    """Each file of packages with its hash."""
    for source in sources:
        for path in sorted(source.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                yield f"{path.relative_to(source.parent)} {digest}"


def image_name(part: str, inputs: Sequence[str]) -> str:
    """An image's reference, which tells all that it is made of."""
    # The recipes themselves are inputs, too.
    recipes = [Path(__file__).with_name(file).read_text() for file in ("layers.py", "build.py")]
    text = "\0".join([*recipes, *inputs])
    return f"localhost/voicefleet-{part}:{hashlib.sha256(text.encode()).hexdigest()[:16]}"


@contextmanager
def step(progress: Progress, what: str) -> Iterator[None]:
    """Say what is being built, and how long it took."""
    progress(f"building {what} …")
    begun = time.monotonic()
    yield
    progress(f"built {what} in {time.monotonic() - begun:.0f} s")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
