"""Configuration of Podman for machines on which its defaults do not work."""

from __future__ import annotations

import shutil
from pathlib import Path

# Debian 12's crun (1.8.1) refuses machines that mount cgroup v1 controllers one by one; runc runs
# there. Limits are named because a container may not ask for more than the machine's own (a
# container host is often itself limited), which is what Podman's defaults do.
_TEMPLATE = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]

[engine]
{runtime}events_logger = "file"
cgroup_manager = "cgroupfs"
"""


def write_containers_conf(path: Path) -> Path:
    """Write a containers.conf(5); make it Podman's with the variable `CONTAINERS_CONF`.

    It must be in the environment of `podman system service` too, and of every `podman` and
    `buildah` that shares its storage.
    """
    runtime = 'runtime = "runc"\n' if shutil.which("runc") else ""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_TEMPLATE.format(runtime=runtime))
    return path
