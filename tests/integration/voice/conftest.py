"""A real LiveKit server, the agent as a process, gateways that answer what the test wants."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
import time
import wave
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from support.media import LiveKit
from support.ports import free_port
from support.speech import speak
from support.stand_ins import TOKEN
from support.switchboard import CLIENT_ID
from voicefleet_agent.records.spool import Spool
from voicefleet_api.calls import CallRecord
from voicefleet_api.dispatch import agent_names

RATE = 16_000
LOUD = 400


@pytest.fixture(scope="session")
def livekit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKit]:
    server = LiveKit(tmp_path_factory.mktemp("livekit"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Words as a WAV file of a caller."""
    folder = tmp_path_factory.mktemp("voice")
    return lambda text: speak(text, folder / f"{abs(hash(text))}.wav")


@pytest.fixture
def tones() -> Callable[[str], bytes]:
    """A voice without pauses: a tone of 60 ms a character."""

    def speak(text: str) -> bytes:
        at = np.arange(int(0.06 * RATE * len(text)))
        return bytes((8000 * np.sin(2 * np.pi * 300 * at / RATE)).astype("<i2").tobytes())

    return speak


@dataclass
class Agent:
    """The client's agent, running."""

    livekit: LiveKit
    folder: Path
    config: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        return str(self.config["agentName"])

    @property
    def models(self) -> Path:
        return self.folder / "models"

    def configure(self, **changes: Any) -> None:
        """Replace the configuration, as the operator does."""
        self.config |= changes
        partial = self.folder / "agent.json.new"
        partial.write_text(json.dumps(self.config))
        partial.replace(self.folder / "agent.json")

    def start(self) -> None:
        self.models.mkdir()
        (self.folder / "secrets").mkdir()
        (self.folder / "secrets" / "MODELS_TOKEN").write_text(TOKEN)
        self.configure()
        self.launch()

    def launch(self) -> None:
        port = free_port()
        with (self.folder / "agent.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "voicefleet_agent"],
                env={
                    **os.environ,
                    **self.livekit.env,
                    "VOICEFLEET_CONFIG": str(self.folder / "agent.json"),
                    "VOICEFLEET_DATA": str(self.folder / "data"),
                    "VOICEFLEET_SECRETS": str(self.folder / "secrets"),
                    "VOICEFLEET_MODELS": str(self.models),
                    "VOICEFLEET_HEALTH_HOST": "127.0.0.1",
                    "VOICEFLEET_HEALTH_PORT": str(port),
                    "VOICEFLEET_DRAIN_SECONDS": "1",
                },
                stdout=log,
                stderr=log,
            )
        self._health = f"http://127.0.0.1:{port}/"

    def health(self) -> dict[str, Any]:
        """What the worker says of itself; raises httpx.HTTPError while it is not registered."""
        answer = httpx.get(self._health, timeout=2, trust_env=False).raise_for_status()
        return dict(answer.json())

    async def registered(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                await asyncio.to_thread(self.health)
                return
            except httpx.HTTPError:
                assert time.monotonic() < deadline, self.log()[-3000:]
            await asyncio.sleep(0.1)

    async def logged(self, action: str, key: str = "action") -> None:
        await self.until(lambda: f'"{key}": "{action}"' in self.log(), f"no {action}")

    def log(self) -> str:
        return (self.folder / "agent.log").read_text()

    def under_way(self) -> list[CallRecord]:
        """What is known so far of the calls that have not ended."""
        spool = Spool(self.folder / "data" / "spool")
        found = [spool.so_far(entry.call_id) for entry in spool.journal.entries()]
        return [record for record in found if record is not None]

    async def until(self, true: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + 120
        while not true():
            assert time.monotonic() < deadline, f"{what}:\n{self.log()[-3000:]}"
            await asyncio.sleep(0.05)

    def restart(self) -> None:
        """With what its files say now."""
        self.stop()
        self.launch()

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@pytest.fixture
async def agent(livekit: LiveKit, tmp_path: Path) -> AsyncIterator[Agent]:
    started = Agent(
        livekit,
        tmp_path,
        {
            "clientID": CLIENT_ID,
            "agentName": agent_names(CLIENT_ID)[0],
            "livekitURL": livekit.url,
            "businessName": "Bright Smile",
            "profession": "dentist",
            "timeZone": "America/New_York",
            "greeting": "Thank you for calling Bright Smile, the dentists on Main Street in"
            " Springfield, open from Monday to Friday. How can I help you?",
        },
    )
    started.start()
    yield started
    started.stop()


@dataclass(frozen=True)
class Call:
    """What a call was like for the caller."""

    events: list[tuple[float, dict[str, Any]]]
    heard: np.ndarray[Any, np.dtype[np.int16]]
    said: np.ndarray[Any, np.dtype[np.int16]]
    ended_by_agent: bool

    def at(self, step: str, which: int = 0) -> float:
        """When the `which`-th step of that kind began."""
        return [at for at, what in self.events if step in what][which]

    def sounds(self, gap: float = 0.15) -> list[tuple[float, float]]:
        """When the agent was heard: (from, to), silences shorter than `gap` not counted."""
        return _spans(self.heard, gap)

    def speech(self, gap: float = 0.15) -> list[tuple[float, float]]:
        """When the caller spoke."""
        return _spans(self.said, gap)


def _spans(samples: np.ndarray[Any, np.dtype[np.int16]], gap: float) -> list[tuple[float, float]]:
    loud = np.abs(samples.astype(np.int32)) > LOUD
    blocks = loud[: len(loud) // 160 * 160].reshape(-1, 160).any(axis=1)
    spans: list[tuple[float, float]] = []
    for index in np.flatnonzero(blocks):
        begin, end = index / 100, (index + 1) / 100
        if spans and begin - spans[-1][1] < gap:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((begin, end))
    return spans


@pytest.fixture
def call(livekit: LiveKit, agent: Agent, tmp_path: Path) -> Callable[..., Any]:
    async def place(*steps: dict[str, Any]) -> Call:
        room = f"call-{secrets.token_hex(4)}"
        out = tmp_path / f"{room}.wav"
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).parents[2] / "support" / "caller.py"),
            livekit.url,
            room,
            agent.name,
            json.dumps(steps, default=str),
            str(out),
            env=os.environ | livekit.env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        stdout, stderr = await process.communicate()
        assert stdout, stderr.decode()[-3000:]
        result = json.loads(stdout)
        assert result["error"] is None, f"{result}\n{agent.log()[-3000:]}"
        with wave.open(str(out), "rb") as wav:
            both = np.frombuffer(wav.readframes(wav.getnframes()), dtype=np.int16).reshape(-1, 2)
        return Call(
            [(at, step) for at, step in result["events"]],
            both[:, 0],
            both[:, 1],
            result["endedByAgent"],
        )

    return place
