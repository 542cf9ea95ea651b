"""The caller robot in a real room, against an agent whose answers come after known gaps."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest
from livekit import api, rtc

from bench.line import RoomLine, caller_token
from support.controlplane import ControlPlane
from voicefleet_cli.telephone.hearing import LOUD, judge
from voicefleet_cli.telephone.sound import LOUDNESS, RATE, Samples, levels, telephone
from voicefleet_infra import services

pytestmark = pytest.mark.integration

NETWORK = 0.6
"""Seconds that sound takes to the agent and back, on a busy machine, at the most."""
FRAME = RATE // 50


class Server(ControlPlane):
    """LiveKit alone."""

    def __enter__(self) -> Server:
        for make in (services.redis, services.livekit):
            self._start(make(self.platform))
        return self


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, Server(tmp_path_factory.mktemp("line")) as server:
        key, secret = services.livekit_keys(server.platform)
        patch.setenv("LIVEKIT_API_KEY", key)
        patch.setenv("LIVEKIT_API_SECRET", secret)
        yield f"ws://{server.platform.address}:{server.platform.port('livekit')}"


def tone(seconds: float) -> Samples:
    voice = telephone(np.random.default_rng(3).standard_normal(round(seconds * RATE)), RATE)
    return voice * LOUDNESS / voice.std()


async def answering(room: rtc.Room, gap: float, stop: asyncio.Event) -> None:
    """Answers `gap` after it has last heard something, once per sound; silent in between."""
    heard = asyncio.Queue[rtc.Track]()
    room.on("track_subscribed", lambda track, *_: heard.put_nowait(track))
    source = rtc.AudioSource(RATE, 1, queue_size_ms=100)
    track = rtc.LocalAudioTrack.create_audio_track("agent", source)
    await room.local_participant.publish_track(track)
    stream = rtc.AudioStream(await heard.get(), sample_rate=RATE, num_channels=1, frame_size_ms=10)
    loop, due = asyncio.get_running_loop(), 0.0
    async for event in stream:
        now = loop.time()
        if levels(np.frombuffer(event.frame.data, "<i2") / 32768).max() > LOUD:
            due = now + gap
        if due and now >= due:
            due = 0.0
            voice = (tone(0.6) * 32767).astype("<i2")
            for at in range(0, len(voice), FRAME):
                block = voice[at : at + FRAME].tobytes()
                await source.capture_frame(rtc.AudioFrame(block, RATE, 1, FRAME))
        if stop.is_set():
            break
    await stream.aclose()


@pytest.mark.parametrize("gap", [0.3, 0.9])
async def test_the_gap_that_the_caller_hears(url: str, gap: float) -> None:
    room = f"gap-{gap}"
    grants = api.VideoGrants(room_join=True, room=room)
    agent, stop = rtc.Room(), asyncio.Event()
    await agent.connect(url, api.AccessToken().with_identity("a").with_grants(grants).to_jwt())
    line = RoomLine(np.zeros(RATE))
    task = asyncio.create_task(answering(agent, gap, stop))
    await line.open(url, caller_token(room))
    await asyncio.sleep(1)
    turns = []
    for _ in range(2):
        start, end = await line.say(tone(0.5))
        turns.append((start, end))
        await asyncio.sleep(gap + 1.2)
    until = line.now
    stop.set()
    async with asyncio.timeout(60):
        await task
    mouth, ear = line.recordings()
    await line.hang_up()
    await agent.disconnect()
    for (start, end), limit in zip(turns, (turns[1][0], until), strict=True):
        said = mouth[round(start * RATE) : round(end * RATE)]
        assert levels(said).min() > LOUD
        heard = judge(ear, start, end, limit)
        assert heard.answer is not None
        assert gap <= heard.answer <= gap + NETWORK
        assert not heard.cut_off
