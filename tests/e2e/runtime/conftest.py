"""A real LiveKit server, a real Podman service, the agent's image."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.media import CACHE, LiveKit
from support.speech import transcribe
from voicefleet_api.callers import room_prefix
from voicefleet_infra.images import AGENT, build_image, write_containers_conf
from voicefleet_operator.drivers.runtime.podman import PodmanRuntime
from voicefleet_operator.planning.observed import AgentUnit, Mark, UnitSpec

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def livekit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKit]:
    server = LiveKit(tmp_path_factory.mktemp("livekit"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def podman_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if shutil.which("podman") is None or os.geteuid() != 0:
        pytest.skip("needs Podman and root")
    folder = tmp_path_factory.mktemp("podman")
    path = folder / "podman.sock"
    with pytest.MonkeyPatch.context() as patch:
        # For the image's build, too: it shares the storage.
        patch.setenv("CONTAINERS_CONF", str(write_containers_conf(folder / "containers.conf")))
        service = subprocess.Popen(["podman", "system", "service", "--time=0", f"unix://{path}"])
        while not path.exists():
            time.sleep(0.05)
            assert service.poll() is None, "podman system service ended"
        yield path
        service.terminate()
        service.wait()


@pytest.fixture(scope="session")
def agent_image(podman_socket: Path) -> str:
    return build_image(AGENT, ROOT, CACHE)


@pytest.fixture
async def runtime(
    podman_socket: Path, agent_image: str, tmp_path: Path
) -> AsyncIterator[PodmanRuntime]:
    driver = PodmanRuntime(tmp_path / "state", podman_socket, agent_image)
    yield driver
    for client_id in await driver.list():
        # Only what this test has made: others may use the same Podman.
        if (tmp_path / "state/podman" / client_id).exists():
            await driver.remove(client_id)


@pytest.fixture
def make_spec(livekit: LiveKit) -> Callable[..., UnitSpec]:
    def make(client_id: str = "", greeting: str = "", **changes: Any) -> UnitSpec:
        client_id = client_id or f"vc-{secrets.token_hex(5)}"
        config = {
            "clientID": client_id,
            "agentName": f"voicefleet-{client_id}",
            "livekitURL": livekit.url,
            "businessName": "Bright Smile",
            "greeting": greeting or "Thank you for calling Bright Smile. How can I help you?",
        }
        values: dict[str, Any] = {
            "client_id": client_id,
            "mark": Mark("vf-test0000", client_id, "default", client_id),
            "config_json": json.dumps(config, sort_keys=True),
            "memory_mib": 1024,
            "secrets": livekit.env,
        }
        return UnitSpec(**values | changes)

    return make


@pytest.fixture
def until() -> Callable[..., Any]:
    async def wait(
        runtime: Any, client_id: str, holds: Callable[[AgentUnit], bool], seconds: float
    ) -> float:
        """Seconds until the unit is so."""
        begun = time.monotonic()
        while True:
            unit = (await runtime.list()).get(client_id)
            if unit is not None and holds(unit):
                return time.monotonic() - begun
            assert time.monotonic() - begun < seconds, f"still {unit}"
            await asyncio.sleep(0.1)

    return wait


@dataclass(frozen=True)
class Heard:
    """What a caller heard."""

    first_sound: float
    """Seconds from dispatch."""
    words: str


@pytest.fixture
def call(livekit: LiveKit, tmp_path: Path) -> Callable[..., Any]:
    async def place(agent_name: str, seconds: float = 7) -> Heard:
        client_id = agent_name.removeprefix("voicefleet-").removeprefix("green-")
        room = f"{room_prefix(client_id)}{secrets.token_hex(4)}"
        wav = tmp_path / f"{room}.wav"
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("caller.py")),
            livekit.url,
            room,
            agent_name,
            str(seconds),
            str(wav),
            env=os.environ | livekit.env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        stdout, stderr = await process.communicate()
        assert stdout, stderr.decode()
        said = json.loads(stdout)
        assert said["firstSoundSeconds"] is not None, "no sound"
        return Heard(said["firstSoundSeconds"], await asyncio.to_thread(transcribe, wav))

    return place
