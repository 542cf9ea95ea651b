"""A call that is answered in the client's own voice; the vendor is the sandbox."""

from __future__ import annotations

import asyncio
import hashlib
import wave
from pathlib import Path
from typing import Any

import pytest

from support.speech import pitch_of, says, speak, transcribe
from support.stack import until
from voicefleet_api.names import OWN_VOICE, provider_secret
from voicefleet_operator.drivers.elevenlabs import ElevenLabsDriver
from voicefleet_operator.planning.observed import Mark
from voicefleet_sandbox.elevenlabs.speech import pitch
from voicefleet_sandbox.server import serve

pytestmark = pytest.mark.integration

MARK = Mark("vf-aaaaaaaa", "vc-0000000001", "default", "bright-smile")
# The sandbox reads no more of it than its beginning and its hash, which makes a high voice.
RECORDING = b"fLaC: 18"
SAMPLE = hashlib.sha256(RECORDING).hexdigest()
WORDS = "Good evening, this is the night service of Bright Smile in Springfield. Who is calling?"


@pytest.mark.timeout(400)
async def test_a_call_is_heard_in_the_own_voice_and_in_the_machines_once_that_is_gone(
    agent: Any, call: Any, tmp_path: Path
) -> None:
    async def heard() -> tuple[str, float]:
        """Words, and their pitch beside the machine's voice."""
        samples = (await call({"quiet": 1.0})).heard.tobytes()
        file = tmp_path / "heard.wav"
        plain = speak(agent.config["greeting"], tmp_path / "plain.wav")
        with wave.open(str(file), "wb") as out:
            out.setparams((1, 2, 16_000, 0, "NONE", ""))
            out.writeframes(samples)
        with wave.open(str(plain), "rb") as wav:
            usual = pitch_of(wav.readframes(wav.getnframes()))
        return await asyncio.to_thread(transcribe, file), pitch_of(samples) / usual

    async def started_anew(times: int, **changes: Any) -> None:
        await asyncio.to_thread(agent.stop)
        agent.configure(**changes)
        agent.launch()
        await agent.registered()
        await made_ahead(times)

    async def made_ahead(times: int) -> None:
        await asyncio.to_thread(
            until,
            lambda: agent.log().count('"action": "GreetingReady"') >= times,
            "the greeting is not made",
            seconds=120,
        )

    await made_ahead(1)
    async with serve() as (_, url):
        vendor = ElevenLabsDriver("sk_shop", base_url=url, fleet_id=MARK.fleet_id)
        voice = await vendor.clone(mark=MARK, sample=SAMPLE, recording=RECORDING)
        (agent.folder / "secrets" / provider_secret(OWN_VOICE)).write_text("sk_shop_speech")
        own = {
            "provider": "ElevenLabs",
            "url": f"{url}/elevenlabs",
            "voice": voice.id,
            "secretRef": {"name": OWN_VOICE},
        }
        await started_anew(2, pipeline={"tts": [own, {"provider": "Local"}]})
        words, factor = await heard()
        assert says(words, "How can I help you?")
        assert factor == pytest.approx(pitch(SAMPLE), rel=0.1)

        await vendor.delete(voice.id)
        await vendor.close()
        await started_anew(3, greeting=WORDS)
        words, factor = await heard()
        assert says(words, "this is the night service of Bright Smile")
        assert factor == pytest.approx(1.0, rel=0.1)
