"""What a process of the platform is, and what it is made of."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from voicefleet_infra.tools import binary


@dataclass(frozen=True)
class Service:
    """One process. `environment` may hold secrets; `inputs` are the files that it reads, and is
    restarted for."""

    name: str
    command: tuple[str, ...]
    address: str
    """For people."""
    ready: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[Path, ...] = ()
    stop_seconds: int = 10
    ports: tuple[str, ...] = ()
    """Names of the ports that it listens on."""
    data: tuple[Path, ...] = ()
    """Folders of its own, in which it keeps what must not be lost."""
    shared: tuple[Path, ...] = ()
    """Folders that it and others of this machine use."""

    def fingerprint(self) -> str:
        """Changes when the process has to be restarted."""
        digest = hashlib.sha256()
        for file in self.inputs:
            digest.update(file.read_bytes())
        return digest.hexdigest()[:16]


def source(package: str) -> tuple[Path, ...]:
    """A package's files: a process of ours is restarted after `git pull`, too."""
    # Found, not imported: rooms do not import one another.
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    return tuple(
        sorted(
            file
            for folder in folders or ()
            for file in Path(folder).rglob("*")
            if file.is_file() and file.suffix != ".pyc"
        )
    )


def built_from(name: str) -> tuple[Path, ...]:
    """What says from what a Go program was built; its absence says nothing."""
    stamp = binary(name).with_name(f"{name}.stamp")
    return (stamp,) if stamp.exists() else ()


def program(name: str) -> str:
    """A program of the distribution; also where root's PATH is not ours."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")
    if path is None:
        raise FileNotFoundError(f"{name} is not installed")
    return path
