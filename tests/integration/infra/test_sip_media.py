"""A call into a room, on the platform's own LiveKit: sound both ways, and who is refused."""

from __future__ import annotations

import asyncio
import secrets
import wave
from array import array
from collections.abc import AsyncIterator, Iterator
from math import pi, sin
from pathlib import Path

import pytest
from livekit import api, rtc

from support.sip import bridge
from support.switchboard import Switchboard
from voicefleet_cli.phone import Call, dial
from voicefleet_infra import services
from voicefleet_infra.platform import Platform

pytestmark = pytest.mark.integration

CALLER, NUMBER, OTHER = "+15005550006", "+14155550100", "+14155550199"
RATE = 8000
CALLERS_TONE, OURS = 500, 900


@pytest.fixture(scope="module")
def switchboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Switchboard]:
    with bridge(tmp_path_factory.mktemp("sip")) as running:
        yield running


@pytest.fixture
def platform(switchboard: Switchboard) -> Platform:
    return switchboard.platform


@pytest.fixture
def room() -> str:
    """A room of the test's own: who called in another one may still be in that one's."""
    return f"room-{secrets.token_hex(4)}"


@pytest.fixture
async def number(switchboard: Switchboard, room: str) -> AsyncIterator[str]:
    """A number whose calls from this machine's address go into the room."""
    async with switchboard.number(NUMBER, room=room):
        yield NUMBER


def tone(hertz: int, seconds: float) -> array[int]:
    return array(
        "h", (int(12000 * sin(2 * pi * hertz * n / RATE)) for n in range(int(RATE * seconds)))
    )


def share(samples: array[int], hertz: int) -> float:
    """How much of the samples' energy is in one frequency (Goertzel's sum), 0 to 1."""
    window = samples[: RATE // 2]
    real = sum(v * sin(2 * pi * hertz * n / RATE) for n, v in enumerate(window))
    imaginary = sum(v * sin(2 * pi * hertz * n / RATE + pi / 2) for n, v in enumerate(window))
    energy = sum(v * v for v in window)
    return 2 * (real**2 + imaginary**2) / (len(window) * energy) if energy else 0.0


def best_share(samples: array[int], hertz: int) -> float:
    """The same, of the half second in which it is highest."""
    step = RATE // 2
    return max(share(samples[at : at + step], hertz) for at in range(0, len(samples) - step, step))


async def talk(platform: Platform, name: str, heard: array[int], ready: asyncio.Event) -> None:
    """Be in a room: say our tone without end, keep what is heard."""
    key, secret = services.livekit_keys(platform)
    token = api.AccessToken(key, secret).with_identity("us")
    token = token.with_grants(api.VideoGrants(room_join=True, room=name))
    room = rtc.Room()
    listening: list[asyncio.Task[None]] = []

    async def listen(track: rtc.Track) -> None:
        stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1)
        try:
            async for event in stream:
                heard.extend(event.frame.data)
        finally:
            await stream.aclose()

    @room.on("track_subscribed")
    def _(track: rtc.Track, *_: object) -> None:
        listening.append(asyncio.create_task(listen(track)))

    await room.connect(f"ws://127.0.0.1:{platform.port('livekit')}", token.to_jwt())
    source = rtc.AudioSource(RATE, 1)
    try:
        await room.local_participant.publish_track(
            rtc.LocalAudioTrack.create_audio_track("voice", source)
        )
        ready.set()
        frame = tone(OURS, 0.02)
        while True:
            await source.capture_frame(rtc.AudioFrame(frame.tobytes(), RATE, 1, len(frame)))
    finally:
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)
        await source.aclose()
        await room.disconnect()


async def ring(
    platform: Platform, number: str, *, source: str | None = None, seconds: float = 3,
    ring_seconds: float = 15, play: Path | None = None, record: Path | None = None,
) -> Call:  # fmt: skip
    return await asyncio.to_thread(
        dial,
        f"sip:{number}@{platform.address}:{platform.port('sip')}",
        caller=CALLER,
        address=source or platform.address,
        seconds=seconds,
        ring_seconds=ring_seconds,
        play=play,
        record=record,
    )


async def test_sound_goes_both_ways(
    platform: Platform, number: str, room: str, tmp_path: Path
) -> None:
    said, recorded = tmp_path / "said.wav", tmp_path / "heard.wav"
    with wave.open(str(said), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(tone(CALLERS_TONE, 3).tobytes())
    heard: array[int] = array("h")
    ready = asyncio.Event()
    us = asyncio.create_task(talk(platform, room, heard, ready))
    try:
        await asyncio.wait_for(ready.wait(), 60)
        call = await ring(platform, number, play=said, record=recorded)
    finally:
        us.cancel()
        await asyncio.gather(us, return_exceptions=True)
    assert call.answered, call
    with wave.open(str(recorded)) as file:
        callers_ear = array("h", file.readframes(file.getnframes()))
    assert best_share(callers_ear, OURS) > 0.8
    assert best_share(heard, CALLERS_TONE) > 0.8


async def test_a_stranger_is_refused(platform: Platform, number: str, room: str) -> None:
    """Somebody would answer: only the address it comes from is wrong."""
    heard: array[int] = array("h")
    ready = asyncio.Event()
    us = asyncio.create_task(talk(platform, room, heard, ready))
    try:
        await asyncio.wait_for(ready.wait(), 60)
        call = await ring(platform, number, source="127.0.0.2", ring_seconds=5)
    finally:
        us.cancel()
        await asyncio.gather(us, return_exceptions=True)
    assert not call.answered
    assert not heard


@pytest.mark.usefixtures("number")
async def test_a_number_that_nobody_has_is_refused(platform: Platform) -> None:
    assert not (await ring(platform, OTHER, ring_seconds=5)).answered
