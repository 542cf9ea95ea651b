"""`python -m voicefleet_infra.images [ROOM …]`: builds images, and says how large they are.

Each is tagged with the release. How soon one starts is the median of three containers.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from voicefleet_infra.images import RECIPES, BuildFailed, Recipe, build_image, write_containers_conf
from voicefleet_infra.images.build import version
from voicefleet_infra.images.layers import PYTHON
from voicefleet_infra.platform import cache_dir
from voicefleet_infra.tools import repository

_STARTS = 3


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0, or 1 where an image cannot be built or does not start."""
    parser = argparse.ArgumentParser(
        prog="python -m voicefleet_infra.images",
        description="Build images, localhost/voicefleet-ROOM:<release>, without a registry.",
    )
    parser.add_argument("rooms", nargs="*", metavar="ROOM", help=f"of {', '.join(RECIPES)}; or all")
    rooms = parser.parse_args(arguments).rooms or list(RECIPES)
    if unknown := set(rooms) - RECIPES.keys():
        parser.error(f"no such image: {', '.join(sorted(unknown))}")
    config = write_containers_conf(cache_dir() / "containers.conf")
    env = {**os.environ, "CONTAINERS_CONF": str(config)}
    say = Console(stderr=True, highlight=False)
    table = Table("Image", "MB", "Starts within")
    try:
        for room in rooms:
            table.add_row(*_row(RECIPES[room], say, env))
    except (BuildFailed, FileNotFoundError, subprocess.CalledProcessError) as error:
        say.print(f"[red]error:[/red] {getattr(error, 'stderr', None) or error}", soft_wrap=True)
        return 1
    Console().print(table)
    return 0


def _row(recipe: Recipe, say: Console, env: Mapping[str, str]) -> tuple[str, str, str]:
    root = repository()
    built = build_image(recipe, root, cache_dir(), say.print, env)
    image = f"localhost/voicefleet-{recipe.room}:{version(root)}"
    _podman(env, "tag", built, image)
    size = int(_podman(env, "image", "inspect", "--format={{.Size}}", image))
    seconds = statistics.median(_start(recipe, image, env) for _ in range(_STARTS))
    return image, f"{size / 1e6:.0f}", f"{seconds:.1f} s"


def _start(recipe: Recipe, image: str, env: Mapping[str, str]) -> float:
    """Seconds until a container has imported all that its process imports, and ended."""
    begun = time.monotonic()
    run = ("run", "--rm", "--network=none", f"--entrypoint={PYTHON}", image)
    _podman(env, *run, "-P", "-s", "-c", f"import {recipe.proof}")
    return time.monotonic() - begun


def _podman(env: Mapping[str, str], *words: str) -> str:
    return subprocess.run(
        ["podman", *words], env=env, capture_output=True, text=True, check=True
    ).stdout


if __name__ == "__main__":
    sys.exit(main())
