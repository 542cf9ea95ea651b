"""Which platform and which cluster a command is about."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from voicefleet_infra.platform import Platform
from voicefleet_infra.up import known_platform

if TYPE_CHECKING:
    from voicefleet_operator.kube import Kube

_T = TypeVar("_T")


def known(home: Path) -> Platform:
    """The platform whose state is in that folder."""
    return known_platform(home.absolute())


def kubeconfig(home: Path) -> Path | None:
    """The local platform's; None where KUBECONFIG names the user's own choice."""
    return None if os.environ.get("KUBECONFIG") else known(home).kubeconfig


def in_cluster(home: Path, work: Callable[[Kube], Coroutine[Any, Any, _T]]) -> _T:
    """Done with the cluster that KUBECONFIG points at, else the local platform's."""
    # Slow to load: only the commands that need them do.
    from voicefleet_operator.kube import Kube
    from voicefleet_operator.shell.watch import connection

    if (own := kubeconfig(home)) is not None:
        os.environ["KUBECONFIG"] = str(own)

    async def run() -> _T:
        async with Kube(connection) as kube:
            return await work(kube)

    return asyncio.run(run())
