"""Providers are switched while a call runs: the next turn uses the new, nothing is forgotten."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.cloud import Vendor
from support.stand_ins import Gateways

pytestmark = pytest.mark.integration

CLEANING = "I need a cleaning"
NAME = "Anna Miller"
PHONE = "415 555 0142"
TIME = "next Tuesday at ten in the morning"
OPEN = "do you think it takes long to heal afterwards"
WHEN = "What day and time would suit you?"


@pytest.mark.timeout(240)
async def test_a_call_goes_on_across_every_switch(
    agent: Any, call: Any, voice: Callable[[str], Path], tones: Any
) -> None:
    """From our own models to Deepgram, an OpenAI-compatible one, Cartesia, then ElevenLabs."""
    vendor = Vendor()
    url = await vendor.start()
    vendor.sound = tones("a second of a voice")
    (agent.folder / "secrets" / "PROVIDER_cloud").write_text("key-of-the-client")
    pipeline: dict[str, Any] = {}

    async def hear(_: bytes) -> tuple[str, float]:
        return CLEANING, 0.9

    def is_answered(text: str) -> bool:
        turns = [turn for record in agent.under_way() for turn in record.transcript]
        heard = [turn.text == text and turn.speaker == "Caller" for turn in turns]
        return True in heard and any(
            turn.speaker == "Agent" and not turn.filler for turn in turns[heard.index(True) :]
        )

    async def answered(text: str) -> None:
        """By its words: who stalls in the middle of a sentence is answered twice."""
        await agent.until(lambda: is_answered(text), text)

    def switch(part: str, provider: str, hears: str, **more: Any) -> None:
        spec = {"provider": provider, "url": url, "secretRef": {"name": "cloud"}, **more}
        pipeline[part] = [spec]
        agent.configure(pipeline=pipeline)
        vendor.heard = hears
        vendor.requests.clear()

    def asked(path: str, words: str = "") -> int:
        return sum(path in at and words.encode() in body for at, _, body in vendor.requests)

    think = ['{"meaning": "question"}', "It is on the third floor."]
    gateways = Gateways(
        agent.models,
        hear=hear,
        speak=tones,
        think=lambda body: think["response_format" not in body],
    )
    line = await asyncio.to_thread(voice, f"{CLEANING}.")
    try:
        async with gateways:
            await agent.registered()
            await agent.logged("PhrasesReady")
            talking = asyncio.create_task(
                call(*[{"quiet": 1.2}, {"say": line}] * 5, {"quiet": 1.2}, {"sleep": 0.5})
            )
            await answered(CLEANING)
            assert gateways.heard
            switch("stt", "Deepgram", NAME)
            await answered(NAME)
            assert asked("/v1/listen")
            gateways.heard.clear()
            switch("llm", "OpenAI", OPEN, model="qwen")
            await answered(OPEN)
            assert asked("/v1/chat/completions")
            gateways.spoken.clear()
            switch("tts", "Cartesia", PHONE, voice="voice-of-the-client")
            await answered(PHONE)
            await agent.until(lambda: asked("/tts/bytes", WHEN), "Cartesia")
            switch("tts", "ElevenLabs", TIME, voice="voice-of-the-client")
            await answered(TIME)
            await agent.until(
                lambda: asked("/v1/text-to-speech", f"The name is {NAME}"), "ElevenLabs"
            )
            await talking
    finally:
        await vendor.stop()
    assert gateways.heard == []
    assert gateways.spoken == []
    await agent.logged("CallEnded")
    [path] = (agent.folder / "data" / "spool").glob("*.json")
    left = json.loads(path.read_text())
    assert left["slots"] == {"name": NAME, "phone": "+14155550142"}
    used = {use["provider"].split("/")[0] for use in left["providers"] if use["requests"]}
    # Cartesia may have spoken its sentence ahead, as soon as it was chosen: for no call.
    assert used - {"Cartesia"} == {"Local", "Deepgram", "OpenAI", "ElevenLabs"}
