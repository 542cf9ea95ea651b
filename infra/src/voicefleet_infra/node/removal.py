"""Stops what runs on the node and takes its traces off the machine, as a reboot would."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import psutil

from voicefleet_infra.node.containerd import containerd_socket
from voicefleet_infra.node.network import close_network
from voicefleet_infra.platform import Platform

_GRACE_SECONDS = 5
_LINKS = Path("/var/log/containers")
"""Where kubelet links containers' logs to; it has no setting for it."""


def stop_pods(platform: Platform) -> None:
    """End all pods' containers; with kubelet running it would start them again.

    Each container's first process is a child of its shim's, which goes when it is gone.
    """
    shims = _shims(platform)
    children = [child for shim in shims for child in _children(shim)]
    _end(children)
    _, left = psutil.wait_procs(shims, timeout=_GRACE_SECONDS)
    for shim in left:
        with contextlib.suppress(psutil.Error):
            shim.kill()
    psutil.wait_procs(left, timeout=_GRACE_SECONDS)


def remove_traces(platform: Platform) -> None:
    """Unmount what containerd and kubelet have mounted, and remove the pods' network; both must
    have ended. The folders stay: the node finds its images, volumes and pods again."""
    below = f"{platform.path('node')}/"
    for mounted in reversed(_mounts()):
        if mounted.startswith(below):
            subprocess.run(["umount", "--lazy", mounted], capture_output=True)
    close_network(platform)
    logs = platform.path("logs", "pods")
    for link in _LINKS.glob("*.log"):
        if link.readlink().is_relative_to(logs):
            link.unlink()


def _shims(platform: Platform) -> list[psutil.Process]:
    socket, found = str(containerd_socket(platform)), []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if words and Path(words[0]).name.startswith("containerd-shim") and socket in words:
                found.append(process)
    return found


def _children(shim: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return shim.children()
    return []


def _end(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, left = psutil.wait_procs(processes, timeout=_GRACE_SECONDS)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()


def _mounts() -> list[str]:
    """Where something is mounted, oldest first (proc_pid_mountinfo(5))."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    # A blank is written as \040.
    return [line.split()[4].encode().decode("unicode_escape") for line in lines]
