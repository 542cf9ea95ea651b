"""The image of what a node needs itself."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from voicefleet_infra.images.layers import Tools, image_name
from voicefleet_infra.service import program

_APPLETS = ("sh", "mkdir", "rm")


def node_image_name() -> str:
    """The image of what a node needs itself, by what is in it."""
    programs = [Path(program(name)).read_bytes() for name in ("catatonit", "busybox")]
    digests = [hashlib.sha256(content).hexdigest() for content in programs]
    return image_name("node", [*digests, Path(__file__).read_text()])


def node_image(env: Mapping[str, str]) -> str:
    """Build it where it is missing; its name. Raises `BuildFailed`.

    catatonit is the first process of every pod (`/pause`), and a shell makes and removes volumes'
    folders (`local-path-provisioner`); both are static programs of Debian's.
    """
    run, name = Tools(dict(env)), node_image_name()
    if run.has(name):
        return name
    with tempfile.TemporaryDirectory() as folder, run.container("scratch") as container:
        bin_folder = Path(folder) / "bin"
        bin_folder.mkdir()
        shutil.copy2(program("catatonit"), Path(folder) / "pause")
        shutil.copy2(program("busybox"), bin_folder / "busybox")
        for applet in _APPLETS:
            (bin_folder / applet).symlink_to("busybox")
        run("buildah", "add", "--quiet", container, folder, "/")
        run("buildah", "config", '--entrypoint=["/pause", "-P"]', "--cmd=", container)
        run.commit(container, name)
    return name
