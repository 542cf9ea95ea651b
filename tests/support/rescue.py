"""Calls by telephone whose agent dies: what the caller says, and how long nothing is heard."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import wave
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import psutil

from support.stand_ins import Gateways
from support.switchboard import Switchboard
from voicefleet_api import professions
from voicefleet_cli.telephone.hearing import sounds
from voicefleet_cli.telephone.signalling import SipCall
from voicefleet_cli.telephone.sip import SipLine
from voicefleet_cli.telephone.sound import RATE, Samples

CALLER = "+12125550100"
BOOKING = (
    "Hi, I'd like to book a cleaning, please.",
    "No, no pain at all.",
    "Yes, I have.",
    "My name is Susan Miller.",
    "March fourth, nineteen eighty two.",
    "It's three one two, five five five, zero one four two.",
    "I have Delta Dental.",
    "Next Tuesday at ten in the morning.",
)
"""What a caller says to the dentist's questions, up to the read-back."""
PATIENCE = 30.0


def beep(text: str) -> bytes:
    """A voice of 15 ms a character, without pauses."""
    at = np.arange(int(0.015 * 16_000 * len(text)))
    return bytes((8000 * np.sin(2 * np.pi * 300 * at / 16_000)).astype("<i2").tobytes())


@dataclass
class Phone:
    """The caller, whom the transcriber understands perfectly."""

    switchboard: Switchboard
    agent: Any
    """Of tests/integration/voice/conftest.py."""
    speech: Samples
    number: str = ""
    """What the client takes calls to."""
    door: str = "sip"
    """Name of the platform's port that is called."""
    words: str = ""
    kills: list[float] = field(default_factory=list)
    """When a process was killed, by the line's clock."""
    idle: set[int] = field(default_factory=set)
    """The worker's processes that are in no call."""
    call: SipCall = field(default_factory=SipCall)
    line: SipLine = field(default_factory=lambda: SipLine(np.zeros(RATE)))
    calling: bool = False

    async def hear(self, _: bytes) -> tuple[str, float]:
        return self.words, 0.9

    async def ring(self, number: str, caller: str = CALLER) -> None:
        self.call = SipCall()
        self.line = SipLine(np.zeros(RATE), self.call)
        self.kills = []
        platform = self.switchboard.platform
        await self.line.open(platform.address, platform.port(self.door), number, caller)
        self.calling = True
        await self.quiet()

    async def hang_up(self, *, network: bool = True) -> None:
        """A telephone without a network says no goodbye."""
        if self.calling:
            self.calling = False
            if not network:
                self.call.gone.set()
            await self.line.hang_up()

    async def quiet(self, gap: float = 0.8) -> None:
        """Until the agent has said something, and then nothing for so long."""
        begun = self.line.now
        async with asyncio.timeout(PATIENCE):
            while True:
                last = self.line.last_loud or 0.0
                if self.line.gone or (last > begun and self.line.now - last > gap):
                    return
                await asyncio.sleep(0.02)

    async def says(self, *words: str) -> None:
        """One turn after the other, each answered."""
        for self.words in words:
            await self.line.say(self.speech)
            await self.quiet()

    def processes(self) -> list[psutil.Process]:
        """Of calls."""
        worker = psutil.Process(self.agent.process.pid)
        return [c for c in worker.children(recursive=True) if c.pid not in self.idle]

    def kill(self) -> None:
        """The call's process, without a goodbye."""
        [process] = self.processes()
        process.kill()
        self.kills.append(self.line.now)

    def silences(self) -> list[float]:
        """Seconds from each kill to the next sound that begins."""
        heard = sounds(self.line.recordings()[1])
        return [min(s.start for s in heard if s.start > at) - at for at in self.kills]

    def records(self) -> list[dict[str, Any]]:
        """Of the calls that are over, in order."""
        paths = sorted((self.agent.folder / "data" / "spool").glob("*.json"), key=_modified)
        return [json.loads(path.read_text()) for path in paths]

    def events(self) -> list[Path]:
        """The appointments."""
        return [*(self.agent.folder / "data" / "calendar" / "events").glob("*.ics")]

    async def until(self, true: Callable[[], object], what: str, pause: float = 0.1) -> None:
        """Fails with the agent's log."""
        deadline = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < deadline, f"no {what}:\n{self.agent.log()[-4000:]}"
            await asyncio.sleep(pause)


def _modified(path: Path) -> float:
    return path.stat().st_mtime


def samples(wav: Path) -> Samples:
    """A file of 16 kHz at the telephone's rate."""
    with wave.open(str(wav)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return cast(Samples, pcm[::2] / 32768)


@contextlib.asynccontextmanager
async def phone(
    switchboard: Switchboard, agent: Any, speech: Samples, number: str, door: str = "sip"
) -> AsyncIterator[Phone]:
    """A client that takes calls to that number, and somebody who calls it at `door`."""
    caller = Phone(switchboard, agent, speech, number, door)
    agent.configure(questions=[each.text for each in professions.load("dentist").questions])
    async with (
        Gateways(agent.models, hear=caller.hear, speak=beep),
        switchboard.number(number, agent.name),
    ):
        await agent.registered()
        await agent.logged("PhrasesReady")
        caller.idle = {c.pid for c in psutil.Process(agent.process.pid).children(recursive=True)}
        yield caller
        await caller.hang_up()
