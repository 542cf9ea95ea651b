"""Clients' agents from outside: `down` stops them and `clean` removes them, with no operator left.

The names are the runtime drivers' (operator/, drivers/runtime): a client's pod, network, volume
and secrets begin with `vf-<client id>`, its folder is `<state>/podman/<client id>`, those of a
second agent with `vf-green-<client id>` and `green-<client id>`; a process has
its configuration's path in `VOICEFLEET_CONFIG`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess

import psutil

from voicefleet_infra.images.podman import write_containers_conf
from voicefleet_infra.platform import Platform

_GRACE_SECONDS = 5


def podman_environment(platform: Platform) -> dict[str, str]:
    """Environment of `podman` and `buildah`, with the platform's configuration."""
    config = write_containers_conf(platform.path("containers.conf"))
    return {**os.environ, "CONTAINERS_CONF": str(config)}


def stop_agents(platform: Platform) -> None:
    """Stop the agents of this platform; the operator starts them again."""
    _stop_processes(platform)
    pods = _names(platform)
    if pods:
        _podman(platform, "pod", "stop", "--ignore", f"--time={_GRACE_SECONDS}", *pods)


def remove_agents(platform: Platform) -> None:
    """Remove the agents of this platform with their networks, volumes and secrets."""
    _stop_processes(platform)
    pods = _names(platform)
    if not pods:
        return
    _podman(platform, "pod", "rm", "--force", "--ignore", *pods)
    for kind in ("network", "volume", "secret"):
        listed = _podman(platform, kind, "ls", "--format", "{{.Name}}").split()
        ours = [name for name in listed if name.startswith(tuple(pods))]
        if ours:
            _podman(platform, kind, "rm", *ours)


def _names(platform: Platform) -> list[str]:
    """Pods that this platform's operator may have made."""
    folder = platform.path("clients")
    if not shutil.which("podman"):
        return []
    units = {path.name for path in folder.glob("podman/*vc-*")}
    # What two agents of a client share has the client's name.
    units |= {unit.removeprefix("green-") for unit in units}
    return sorted(f"vf-{unit}" for unit in units)


def _podman(platform: Platform, *words: str) -> str:
    # What is gone already is no failure.
    return subprocess.run(
        ["podman", *words], capture_output=True, text=True, env=podman_environment(platform)
    ).stdout


def _stop_processes(platform: Platform) -> None:
    folder = f"{platform.path('clients')}{os.sep}"
    agents = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("VOICEFLEET_CONFIG", "").startswith(folder):
                process.terminate()
                agents.append(process)
    _, alive = psutil.wait_procs(agents, timeout=_GRACE_SECONDS)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
