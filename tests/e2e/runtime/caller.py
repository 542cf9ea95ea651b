"""A caller in a LiveKit room: asks for the agent, listens, writes what it heard, says how long.

`caller.py URL ROOM AGENT SECONDS WAV` with LIVEKIT_API_KEY and LIVEKIT_API_SECRET set; prints JSON.
A program of its own, since LiveKit's native library shares its process with nobody gladly.
"""

from __future__ import annotations

import array
import asyncio
import json
import sys
import time
import wave

from livekit import api, rtc

LOUD = 500
"""Of 32,767: above what a silent track carries, below any speech."""


async def main(url: str, room_name: str, agent: str, seconds: float, path: str) -> None:
    room = rtc.Room()
    heard = bytearray()
    first_sound: list[float] = []
    listening: list[asyncio.Task[None]] = []

    async def listen(track: rtc.Track) -> None:
        async for event in rtc.AudioStream(track, sample_rate=16_000, num_channels=1):
            heard.extend(event.frame.data)
            if not first_sound and max(map(abs, array.array("h", bytes(event.frame.data)))) > LOUD:
                first_sound.append(time.monotonic())

    room.on(
        "track_subscribed", lambda track, *_: listening.append(asyncio.create_task(listen(track)))
    )
    grants = api.VideoGrants(room_join=True, room=room_name)
    token = api.AccessToken().with_identity("caller").with_grants(grants).to_jwt()
    await room.connect(url, token)
    async with api.LiveKitAPI(url.replace("ws", "http", 1)) as livekit:
        asked = time.monotonic()
        await livekit.agent_dispatch.create_dispatch(
            api.CreateAgentDispatchRequest(agent_name=agent, room=room_name, metadata="{}")
        )
    await asyncio.sleep(seconds)
    participants = [p.identity for p in room.remote_participants.values()]
    await room.disconnect()
    for task in listening:
        task.cancel()
    with wave.open(path, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(bytes(heard))
    wait = round(first_sound[0] - asked, 2) if first_sound else None
    print(json.dumps({"firstSoundSeconds": wait, "participants": participants}), flush=True)


if __name__ == "__main__":
    url, room_name, agent, seconds, path = sys.argv[1:]
    asyncio.run(main(url, room_name, agent, float(seconds), path))
