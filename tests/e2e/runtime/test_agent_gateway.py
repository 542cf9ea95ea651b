"""From inside a pod: LiveKit's key is nowhere, and the neighbour's calls are out of reach."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from support import intruder, stack
from support.media import LiveKit, own_address
from support.ports import free_port
from support.speech import says
from voicefleet_api import tokens
from voicefleet_infra.probes import tcp_open
from voicefleet_operator.drivers.runtime.podman import PodmanRuntime
from voicefleet_operator.planning.observed import UnitSpec

pytestmark = pytest.mark.e2e

_KEY = "k" * 48
# All that a process of the pod can read of it, but for the image's libraries.
_READ = """
import pathlib, sys
proc = pathlib.Path("/proc")
files = [*proc.glob("[0-9]*/environ"), *proc.glob("[0-9]*/cmdline")]
for folder in ("/config", "/secrets", "/data", "/tmp", "/run", "/etc", "/opt/voicefleet/app"):
    files += [file for file in pathlib.Path(folder).rglob("*") if file.is_file()]
for file in files:
    try:
        sys.stdout.buffer.write(file.read_bytes())
    except OSError:
        pass
"""


@dataclass
class Gateway:
    """The agent gateway before the test's LiveKit."""

    url: str
    process: subprocess.Popen[bytes]


@pytest.fixture(scope="module")
def gateway(livekit: LiveKit, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder, host, port = tmp_path_factory.mktemp("gateway"), own_address(), free_port()
    (folder / "livekit").write_text(livekit.secret)
    (folder / "clients").write_text(_KEY)
    with (folder / "log").open("wb") as log, subprocess.Popen(
        [
            sys.executable, "-m", "voicefleet_gateway", f"--host={host}", f"--port={port}",
            f"--livekit={livekit.url}", f"--room-url={livekit.url}",
            f"--livekit-key={livekit.key}", f"--livekit-secret-file={folder / 'livekit'}",
            f"--secret-file={folder / 'clients'}",
        ],
        stdout=log,
        stderr=log,
    ) as process:  # fmt: skip
        try:
            stack.until(lambda: tcp_open(port, host), "the agent gateway does not listen")
            yield Gateway(f"ws://{host}:{port}", process)
        finally:
            process.terminate()


def through(gateway: Gateway, spec: UnitSpec) -> UnitSpec:
    """As the operator makes it."""
    config = json.loads(spec.config_json) | {"livekitURL": gateway.url}
    token = tokens.mint(_KEY, spec.client_id)
    key = {"LIVEKIT_API_KEY": spec.client_id, "LIVEKIT_API_SECRET": token}
    return replace(spec, config_json=json.dumps(config), secrets=key)


def inside(client_id: str, program: str, *words: str) -> bytes:
    """What a program in the client's pod prints."""
    command = ["podman", "exec", f"vf-{client_id}-agent", "/usr/bin/python3.11", "-c", program]
    return subprocess.run([*command, *words], capture_output=True, check=True, timeout=120).stdout


@pytest.fixture
async def pods(
    runtime: PodmanRuntime, make_spec: Any, until: Any, gateway: Gateway
) -> tuple[UnitSpec, UnitSpec]:
    """Two clients, registered through the gateway."""
    own, neighbour = through(gateway, make_spec()), through(gateway, make_spec())
    await asyncio.gather(runtime.apply(own), runtime.apply(neighbour))
    for spec in (own, neighbour):
        await until(runtime, spec.client_id, lambda unit: unit.registered, 60)
    return own, neighbour


async def test_a_pod_has_no_key_of_livekits_and_does_nothing_as_its_neighbour(
    pods: tuple[UnitSpec, UnitSpec], call: Any, livekit: LiveKit, gateway: Gateway
) -> None:
    own, neighbour = pods
    under_way = asyncio.create_task(call(f"voicefleet-{own.client_id}", 10))
    # While a call has its process, too.
    await asyncio.sleep(4)
    found = await asyncio.to_thread(inside, own.client_id, _READ)
    assert own.secrets["LIVEKIT_API_SECRET"].encode() in found
    assert livekit.secret.encode() not in found

    program = await asyncio.to_thread(Path(intruder.__file__).read_text)
    for url, refused in ((gateway.url, ("403 ", "1008 ")), (livekit.url, ("401 ",))):
        words = (url, own.client_id, neighbour.client_id, "ST_theirs")
        refusals = json.loads(await asyncio.to_thread(inside, own.client_id, program, *words))
        for attempt, refusal in refusals.items():
            print(f"{attempt}, at {url}: {refusal}")
            # Whose trunk it is LiveKit cannot say: it keeps none without Redis.
            looked_up = url == gateway.url and "the neighbour's way" in attempt
            assert (refusal or "").startswith("503 " if looked_up else refused), attempt
    # The client's own call went on meanwhile.
    assert says((await under_way).words, "calling Bright Smile")
