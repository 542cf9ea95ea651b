"""A `Line` to an agent in a LiveKit room, without a telephone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

import numpy as np
from livekit import api, rtc

from voicefleet_cli.telephone.line import Taped
from voicefleet_cli.telephone.sound import RATE, Samples, decode

FRAME = RATE // 100
"""Samples in 10 ms."""


class RoomLine(Taped):
    """A participant of a LiveKit room, with the sound of a telephone (8 kHz, G.711)."""

    def __init__(self, noise: Samples) -> None:
        super().__init__(noise, FRAME)
        self.room = rtc.Room()
        self.gone = False
        self._source = rtc.AudioSource(RATE, 1, queue_size_ms=0)
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, url: str, token: str) -> None:
        """Join, and begin to send the noise; who dispatches the agent is the room's business."""
        self.room.on("track_subscribed", lambda track, *_: self._go(self._listen(track)))
        for event in ("participant_disconnected", "disconnected"):
            self.room.on(event, self._on_gone)
        self.began = time.monotonic()
        await self.room.connect(url, token)
        track = rtc.LocalAudioTrack.create_audio_track("caller", self._source)
        # The silence between two sentences is sent like everything else, as on a telephone line.
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE, dtx=False)
        await self.room.local_participant.publish_track(track, options)
        self._go(self._send())

    async def hang_up(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.room.disconnect()
        await self._source.aclose()

    async def _send(self) -> None:
        """A frame every 10 ms, by the clock."""
        async for coded in self._spoken():
            pcm = (decode(coded) * 32767).astype("<i2").tobytes()
            await self._source.capture_frame(rtc.AudioFrame(pcm, RATE, 1, FRAME))

    async def _listen(self, track: rtc.Track) -> None:
        stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1, frame_size_ms=10)
        async for event in stream:
            self._ear.add(np.frombuffer(event.frame.data, "<i2") / 32768, self.now)

    def _on_gone(self, _: object) -> None:
        """The agent has left, or has closed the room."""
        self.gone = True

    def _go(self, work: Awaitable[None]) -> None:
        self._tasks.add(asyncio.ensure_future(work))


def caller_token(room: str) -> str:
    """For the caller of that room; LIVEKIT_API_KEY and LIVEKIT_API_SECRET sign it."""
    grants = api.VideoGrants(room_join=True, room=room)
    return api.AccessToken().with_identity("caller").with_grants(grants).to_jwt()


async def dispatch(url: str, room: str, agent: str) -> None:
    """Ask for the agent."""
    async with api.LiveKitAPI(url.replace("ws", "http", 1)) as livekit:
        await livekit.agent_dispatch.create_dispatch(
            api.CreateAgentDispatchRequest(agent_name=agent, room=room, metadata="{}")
        )
