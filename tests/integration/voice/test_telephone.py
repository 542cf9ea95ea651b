"""Calls by real telephones, over LiveKit's SIP bridge: keys, and callers who want a person.

What each side hears is told apart by pitch: the agent's voice, the caller and the person whom the
caller is connected with are tones.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import shutil
import wave
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from livekit import api

from integration.voice.conftest import Agent
from integration.voice.test_talk import hears, record
from support.ports import free_port
from support.sip import Carrier, answering, bridge
from support.stand_ins import Gateways
from support.switchboard import CLIENT_ID, Gated, Switchboard
from voicefleet_cli.phone import Call, dial
from voicefleet_infra.platform import Platform

pytestmark = pytest.mark.integration

CALLER, NUMBER, OWNER = "+15005550006", "+14155550100", "+14155550177"
EXTENSION = f"{OWNER};ext=204"
RATE = 8000
VOICE, CALLERS, OWNERS = 300, 700, 1100
"""Hertz."""
UNREACHED = "I could not reach anyone. May I take a message?"
SUMMARY = "This is the assistant of Bright Smile, with 5 0 0, 5 5 5, 0 0 0 6 on the line."


@pytest.fixture(scope="module")
def livekit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Switchboard]:
    with bridge(tmp_path_factory.mktemp("sip"), Gated) as running:
        yield running


@dataclass
class Line:
    """An agent whose number rings."""

    platform: Platform
    agent: Agent
    lk: api.LiveKitAPI

    async def call(self, press: str, *, seconds: float, play: Path, heard: Path) -> Call:
        """By a telephone (baresip); returns when it has hung up."""
        return await asyncio.to_thread(
            dial, f"sip:{NUMBER}@{self.platform.address}:{self.platform.port('sip')}",
            caller=CALLER, address=self.platform.address, seconds=seconds, play=play,
            record=heard, press=press,
        )  # fmt: skip

    async def way_out(self, port: int, **config: Any) -> None:
        """Over a trunk to whoever answers there, as the operator makes one to the carrier.

        `config` is the agent's beside."""
        trunk = await self.lk.sip.create_outbound_trunk(
            api.CreateSIPOutboundTrunkRequest(
                trunk=api.SIPOutboundTrunkInfo(
                    name="out",
                    address=f"{self.platform.address}:{port}",
                    numbers=[NUMBER],
                    metadata=json.dumps({"voicefleet": {"clientID": CLIENT_ID}}),
                )
            )
        )
        self.agent.configure(outboundTrunk=trunk.sip_trunk_id, **config)


@pytest.fixture
async def line(
    livekit: Switchboard, agent: Agent, tones: Callable[[str], bytes]
) -> AsyncIterator[Line]:
    agent.configure(
        greeting="How can I help you?", contacts=[{"name": "the owner", "phone": OWNER}]
    )
    async with (
        Gateways(agent.models, hear=hears("yes"), speak=tones),
        livekit.livekit() as lk,
        livekit.number(NUMBER, agent.name),
    ):
        await agent.registered()
        await agent.logged("PhrasesReady")
        yield Line(livekit.platform, agent, lk)


def tone(path: Path, hertz: int, *, after: float = 0, seconds: float = 30) -> Path:
    """A sound file: silence, then a tone."""
    at = np.arange(int(RATE * seconds))
    samples = np.concatenate(
        [np.zeros(int(RATE * after)), 8000 * np.sin(6.2832 * hertz * at / RATE)]
    )
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def pitches(recording: Path) -> list[set[int]]:
    """Which of the three tones is heard, in each quarter of a second."""
    with wave.open(str(recording)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)
        rate = file.getframerate()
    step = rate // 4
    heard = []
    for at in range(0, len(samples) - step, step):
        spectrum = np.abs(np.fft.rfft(samples[at : at + step] * np.hanning(step))) / step
        heard.append(
            {
                hz
                for hz in (VOICE, CALLERS, OWNERS)
                if spectrum[hz // 4 - 3 : hz // 4 + 4].max() > 300
            }
        )
    return heard


def said(left: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (turn["speaker"], turn["text"]) for turn in left["transcript"] if not turn.get("filler")
    ]


async def test_a_telephone_s_keys_are_understood(line: Line, tmp_path: Path) -> None:
    """RFC 4733 events of baresip, one by one, and a number."""
    call = await line.call(
        "2,,1", seconds=9, play=tone(tmp_path / "said.wav", CALLERS, seconds=0),
        heard=tmp_path / "heard.wav",
    )  # fmt: skip
    assert call.answered, call
    await line.agent.logged("CallEnded")
    spoken = said(record(line.agent))
    assert [text for speaker, text in spoken if speaker == "Caller"] == ["[2]", "[1]"]
    assert ("Agent", "We are open Monday to Friday from 9 AM to 5 PM.") in spoken
    assert spoken[-1] == ("Agent", "May I have your name, please?")


async def carried(
    line: Line, carrier: Carrier, until: Callable[[], Awaitable[None]]
) -> dict[str, Any]:
    """A call over that carrier, in which the caller asks for a person, and stays on the line until
    then; its record."""
    platform = line.platform
    await carrier.open(platform.address, platform.port("sip"), NUMBER, CALLER)
    try:
        await line.agent.logged("Greeted")
        await carrier.press("0")
        asked = await asyncio.wait_for(carrier.asked.get(), 60)
        await until()
    finally:
        await carrier.hang_up()
    await line.agent.logged("CallEnded")
    assert asked == f"tel:{OWNER}"
    return record(line.agent)


async def unreached(line: Line) -> None:
    """Return when the caller has been told so, and the agent listens: before it asks whether
    somebody is there."""

    def told() -> bool:
        return any(turn.text == UNREACHED for turn in line.agent.under_way()[0].transcript)

    await line.agent.until(told, "nothing was said")
    await asyncio.sleep(0.06 * len(UNREACHED) + 1)


async def test_the_carrier_connects_the_caller(line: Line) -> None:
    ended = partial(line.agent.logged, "CallEnded")
    left = await carried(line, Carrier("202 Accepted", "200 OK"), ended)
    assert left["outcome"] == "Transferred", line.agent.log()[-3000:]
    assert left["transferredTo"] == OWNER
    assert left["ended"] == "transferred"


@pytest.mark.parametrize(
    ("answer", "result"),
    [("202 Accepted", "486 Busy Here"), ("202 Accepted", "480 No Answer"), ("603 Decline", "")],
)
async def test_who_is_not_connected_is_offered_a_message(
    line: Line, answer: str, result: str
) -> None:
    left = await carried(line, Carrier(answer, result), partial(unreached, line))
    assert said(left)[-1] == ("Agent", UNREACHED)
    assert left.get("transferredTo") is None
    assert (left["outcome"], left["ended"]) == ("HungUp", "caller left")
    assert [change["state"] for change in left["states"]][-5:-2] == [
        "Transferring", "Responding", "Listening",
    ]  # fmt: skip


async def test_the_person_hears_who_calls_before_both_are_connected(
    line: Line, tmp_path: Path
) -> None:
    port = free_port()
    await line.way_out(port, transfer="Warm")
    plays = tone(tmp_path / "owner.wav", OWNERS)
    folder = tmp_path / "owner"
    with answering(folder, OWNER, line.platform.address, port, plays):
        call = await line.call(
            "0", seconds=18, play=tone(tmp_path / "said.wav", CALLERS, after=4),
            heard=tmp_path / "heard.wav",
        )  # fmt: skip
        await line.agent.logged("CallEnded")
    assert call.recording
    left = record(line.agent)
    assert said(left)[-1] == ("Agent", SUMMARY)
    assert (left["outcome"], left["transferredTo"]) == ("Transferred", OWNER)
    [dump] = folder.glob("dump-*-dec.wav")
    owner, caller = pitches(dump), pitches(call.recording)
    print(owner, caller, sep="\n")
    summary = [at for at, heard in enumerate(owner) if VOICE in heard]
    together = [at for at, heard in enumerate(owner) if CALLERS in heard]
    # The summary lasts 60 ms a character; meanwhile the caller is not heard.
    assert len(summary) > 4 * 0.06 * len(SUMMARY) * 0.8
    assert len(together) > 8
    assert together[0] > summary[-1] - 2
    # The caller hears the person, and never the summary: only what was said before.
    assert sum(OWNERS in heard for heard in caller) > 8
    before = next(at for at, heard in enumerate(caller) if OWNERS in heard)
    assert not any(VOICE in heard for heard in caller[before:])


async def test_an_extension_is_pressed_where_the_carrier_connects_all_others(
    line: Line, tmp_path: Path
) -> None:
    """A client without `transfer: Warm`; the switchboard is a phone that gets keys (RFC 4733)."""
    port = free_port()
    await line.way_out(port, contacts=[{"name": "billing", "phone": EXTENSION}])
    folder = tmp_path / "switchboard"
    plays = tone(tmp_path / "switchboard.wav", OWNERS)
    with answering(folder, OWNER, line.platform.address, port, plays):
        call = await line.call(
            "0", seconds=10, play=tone(tmp_path / "said.wav", CALLERS, seconds=0),
            heard=tmp_path / "heard.wav",
        )  # fmt: skip
        await line.agent.logged("CallEnded")
    assert call.answered, call
    pressed = re.findall(r"received event: '(.)' \(end=0\)", (folder / "log").read_text())
    assert [key for key, _ in itertools.groupby(pressed)] == ["2", "0", "4"]
    assert record(line.agent)["transferredTo"] == EXTENSION


async def test_an_extension_that_is_refused_is_not_left_to_the_carrier(
    line: Line, tmp_path: Path
) -> None:
    port = free_port()
    await line.way_out(port, contacts=[{"name": "billing", "phone": EXTENSION}])
    platform, carrier = line.platform, Carrier("202 Accepted", "200 OK")
    async with refusing(line, port, "403 Forbidden", tmp_path):
        await carrier.open(platform.address, platform.port("sip"), NUMBER, CALLER)
        try:
            await line.agent.logged("Greeted")
            await carrier.press("0")
            await unreached(line)
        finally:
            await carrier.hang_up()
    await line.agent.logged("CallEnded")
    assert said(record(line.agent))[-1] == ("Agent", UNREACHED)
    assert carrier.asked.empty()


async def test_nobody_answers_our_call(line: Line, tmp_path: Path) -> None:
    port = free_port()
    await line.way_out(port, transfer="Warm")
    async with refusing(line, port, "486 Busy Here", tmp_path):
        call = await line.call(
            "0", seconds=10, play=tone(tmp_path / "said.wav", CALLERS, seconds=0),
            heard=tmp_path / "heard.wav",
        )  # fmt: skip
        assert call.answered
    await line.agent.logged("CallEnded")
    left = record(line.agent)
    assert said(left)[-1] == ("Agent", UNREACHED)
    assert left.get("transferredTo") is None


@asynccontextmanager
async def refusing(line: Line, port: int, status: str, folder: Path) -> AsyncIterator[None]:
    """A phone (sipp) that refuses one call with that status; it must have come by the end."""
    scenario = folder / "refuses.xml"
    scenario.write_text(REFUSES.format(status=status))
    if not shutil.which("sipp"):
        pytest.skip("sipp is not installed")
    sipp = await asyncio.create_subprocess_exec(
        "sipp", "-sf", str(scenario), "-i", line.platform.address, "-p", str(port), "-m", "1",
        "-nostdin", stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        cwd=folder,
    )  # fmt: skip
    try:
        yield
        assert await asyncio.wait_for(sipp.wait(), 60) == 0
    finally:
        if sipp.returncode is None:
            sipp.kill()


REFUSES = """<?xml version="1.0"?>
<scenario name="refuses">
  <recv request="INVITE"/>
  <send><![CDATA[SIP/2.0 {status}
[last_Via:]
[last_From:]
[last_To:];tag=refused
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send>
  <recv request="ACK"/>
</scenario>
"""
