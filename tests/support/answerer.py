"""`answerer.py URL TOKEN`: somebody in a room, who is silent; calls into the room are answered."""

from __future__ import annotations

import asyncio
import sys

from livekit import rtc

_RATE = 8000


async def main(url: str, token: str) -> None:
    room = rtc.Room()
    await room.connect(url, token)
    source = rtc.AudioSource(_RATE, 1)
    await room.local_participant.publish_track(
        rtc.LocalAudioTrack.create_audio_track("voice", source)
    )
    print("here", flush=True)
    silence = rtc.AudioFrame.create(_RATE, 1, _RATE // 10)
    while True:
        await source.capture_frame(silence)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
