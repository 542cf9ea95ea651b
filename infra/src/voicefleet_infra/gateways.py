"""A model gateway of one's own for a while, beside those of a platform: to measure with."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from voicefleet_api import tokens
from voicefleet_infra.platform import cache_dir, write_private
from voicefleet_infra.probes import gateway_state
from voicefleet_infra.services import LANGUAGE
from voicefleet_infra.supervision import StartFailed
from voicefleet_models.settings import Models

_NICENESS = 5
"""On a machine that does nothing else it changes nothing; a call that comes goes first."""
_START_SECONDS = 180.0
_STOP_SECONDS = 10.0
_LOG_LINES = 5


@asynccontextmanager
async def own_gateway(
    name: str, models: Models, folder: Path, say: Callable[[dict[str, Any]], None]
) -> AsyncIterator[str]:
    """One of `services.GATEWAYS` on a socket in `folder`, until the block ends; yields a token.

    `say` gets its state while it loads, which takes minutes where a model is fetched first.
    Raises `StartFailed`.
    """
    key = write_private(folder / "key", secrets.token_hex(32))
    file = write_private(folder / "models.yaml", yaml.safe_dump(models.to_yaml()))
    command = ["nice", "-n", str(_NICENESS), sys.executable, "-m", "voicefleet_models", name]
    command += [f"--socket={folder / name}.sock", f"--secret-file={key}", f"--models={file}"]
    if name == LANGUAGE:
        command.append(f"--cache={cache_dir() / 'models'}")
    log = folder / f"{name}.log"
    with log.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(*command, stdout=sink, stderr=sink)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not (state := gateway_state(folder / f"{name}.sock")).get("ready"):
            say(state)
            if state.get("state") == "Fetching":
                deadline = time.monotonic() + _START_SECONDS
            if process.returncode is not None or time.monotonic() > deadline:
                end = "\n".join(log.read_text().splitlines()[-_LOG_LINES:])
                raise StartFailed(f"the gateway {name} does not start:\n{end}")
            await asyncio.sleep(0.2)
        yield tokens.mint(key.read_text(), "tune")
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
