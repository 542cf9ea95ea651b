"""A caller in a LiveKit room who follows a script, and records both directions.

`caller.py URL ROOM AGENT SCRIPT OUT` with LIVEKIT_API_KEY and LIVEKIT_API_SECRET set. SCRIPT is a
JSON list of steps; OUT.wav gets the agent's sound on the left and the caller's on the right, on
one clock; what is printed is a JSON list of `[seconds, step]`.

    {"say": "file.wav"}       16 kHz, 16 bit, mono
    {"sleep": 1.5}            seconds
    {"sound": 20}             until the agent makes a sound; fails after so many seconds
    {"quiet": 0.8}            until the agent has made a sound and then none for so long
    {"attributes": {…}}       what the room knows of the caller

A program of its own, since LiveKit's native library shares its process with nobody gladly.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import json
import sys
import time
import wave
from typing import Any

import numpy as np
from livekit import api, rtc

RATE = 16_000
BLOCK = RATE // 100
LOUD = 400
"""Of 32,767: above what a silent track carries, below any speech."""
PATIENCE = 30.0


class Caller:
    def __init__(self) -> None:
        self.begun = 0.0
        self.heard = np.zeros(RATE * 300, dtype=np.int16)
        self.said = np.zeros(RATE * 300, dtype=np.int16)
        self.last_sound = 0.0
        self.speaking: list[bytes] = []
        self.gone = asyncio.Event()

    def now(self) -> float:
        return time.monotonic() - self.begun

    async def listen(self, track: rtc.Track) -> None:
        """Frames come without a break; the first one's time places them all."""
        at = None
        async for event in rtc.AudioStream(track, sample_rate=RATE, num_channels=1):
            samples = array.array("h", bytes(event.frame.data))
            if at is None:
                at = int(self.now() * RATE)
            self.heard[at : at + len(samples)] = samples
            at += len(samples)
            if max(map(abs, samples)) > LOUD:
                self.last_sound = self.now()

    async def speak(self, source: rtc.AudioSource) -> None:
        """A microphone: sound or silence, 10 ms every 10 ms."""
        while True:
            block = self.speaking.pop(0) if self.speaking else b"\0\0" * BLOCK
            at = int(self.now() * RATE)
            self.said[at : at + BLOCK] = np.frombuffer(block, dtype=np.int16)
            await source.capture_frame(rtc.AudioFrame(block, RATE, 1, BLOCK))

    async def step(self, step: dict[str, Any], room: rtc.Room) -> None:
        if "say" in step:
            with wave.open(step["say"], "rb") as wav:
                pcm = wav.readframes(wav.getnframes())
            size = 2 * BLOCK
            blocks = [pcm[at : at + size].ljust(size, b"\0") for at in range(0, len(pcm), size)]
            self.speaking.extend(blocks)
            while self.speaking and not self.gone.is_set():  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        elif "attributes" in step:
            await room.local_participant.set_attributes(step["attributes"])
        elif "sleep" in step:
            await asyncio.sleep(step["sleep"])
        elif "sound" in step:
            begun = self.now()
            async with asyncio.timeout(step["sound"]):
                while self.last_sound <= begun:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
        else:
            begun = self.now()
            async with asyncio.timeout(PATIENCE):
                while self.last_sound <= begun or self.now() - self.last_sound < step["quiet"]:
                    if self.gone.is_set():
                        return
                    await asyncio.sleep(0.01)


async def main(url: str, room_name: str, agent: str, script: str, out: str) -> None:
    room = rtc.Room()
    caller = Caller()
    tasks: list[asyncio.Task[Any]] = []
    room.on(
        "track_subscribed",
        lambda track, *_: tasks.append(asyncio.create_task(caller.listen(track))),
    )
    room.on("disconnected", lambda *_: caller.gone.set())
    grants = api.VideoGrants(room_join=True, room=room_name, can_update_own_metadata=True)
    token = api.AccessToken().with_identity("caller").with_grants(grants).to_jwt()
    await room.connect(url, token)
    source = rtc.AudioSource(RATE, 1, queue_size_ms=20)
    await room.local_participant.publish_track(
        rtc.LocalAudioTrack.create_audio_track("microphone", source),
        rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE),
    )
    caller.begun = time.monotonic()
    tasks.append(asyncio.create_task(caller.speak(source)))
    async with api.LiveKitAPI(url.replace("ws", "http", 1)) as livekit:
        await livekit.agent_dispatch.create_dispatch(
            api.CreateAgentDispatchRequest(agent_name=agent, room=room_name, metadata="{}")
        )
    events: list[tuple[float, Any]] = []
    error = None
    try:
        for step in json.loads(script):
            events.append((round(caller.now(), 3), step))
            await caller.step(step, room)
    except TimeoutError:
        error = f"timed out in {events[-1]}"
    ended_by_agent = caller.gone.is_set()
    length = int(caller.now() * RATE)
    with contextlib.suppress(Exception):
        await room.disconnect()
    for task in tasks:
        task.cancel()
    with wave.open(out, "wb") as wav:
        wav.setnchannels(2)
        wav.setsampwidth(2)
        wav.setframerate(RATE)
        both = np.stack([caller.heard[:length], caller.said[:length]], axis=1)
        wav.writeframes(both.tobytes())
    said = {"events": events, "error": error, "endedByAgent": ended_by_agent}
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
