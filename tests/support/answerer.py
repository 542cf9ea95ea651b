"""`answerer.py URL TOKEN`: somebody in a room, who says what is said; calls into the room are
answered."""

from __future__ import annotations

import asyncio
import sys

from livekit import rtc

_RATE = 8000


async def _voice(room: rtc.Room) -> rtc.AudioSource:
    source = rtc.AudioSource(_RATE, 1)
    await room.local_participant.publish_track(
        rtc.LocalAudioTrack.create_audio_track("voice", source)
    )
    return source


async def _repeat(room: rtc.Room, track: rtc.Track) -> None:
    voice = await _voice(room)
    async for event in rtc.AudioStream(track, sample_rate=_RATE, num_channels=1):
        await voice.capture_frame(event.frame)


async def main(url: str, token: str) -> None:
    room, repeating = rtc.Room(), set[asyncio.Task[None]]()

    @room.on("track_subscribed")
    def _(track: rtc.Track, *_: object) -> None:
        repeating.add(asyncio.create_task(_repeat(room, track)))

    await room.connect(url, token)
    # Who says nothing is not there, for the SIP bridge.
    source = await _voice(room)
    print("here", flush=True)
    silence = rtc.AudioFrame.create(_RATE, 1, _RATE // 10)
    while True:
        await source.capture_frame(silence)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
