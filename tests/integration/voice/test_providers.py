"""Providers against stand-ins of their wire protocol, and our own gateways' contract."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.cloud import SECOND, Vendor
from support.stand_ins import TOKEN, Gateways
from voicefleet_agent.providers import Fit, ProviderFailed
from voicefleet_agent.providers.build import Providers
from voicefleet_agent.providers.chain import Resting
from voicefleet_agent.settings import Settings
from voicefleet_api.pipeline import Pipeline
from voicefleet_dialogue.acts import ModelUnavailable

pytestmark = pytest.mark.integration


@pytest.fixture
async def vendor() -> AsyncIterator[tuple[Vendor, str]]:
    made = Vendor()
    yield made, await made.start()
    await made.stop()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("VOICEFLEET_MODELS", str(tmp_path))
    monkeypatch.setenv("VOICEFLEET_SECRETS", str(tmp_path))
    monkeypatch.setenv("MODELS_TOKEN", TOKEN)
    (tmp_path / "PROVIDER_cloud").write_text("key-of-the-client\n")
    return Settings.from_env()


def pipeline(url: str, part: str, provider: str, **more: Any) -> Pipeline:
    spec = {"provider": provider, "url": url, "secretRef": {"name": "cloud"}, **more}
    return Pipeline.model_validate({part: [spec]})


async def spoken(providers: Providers, text: str) -> bytes:
    return b"".join([piece async for piece in providers.speaker.speak(text)])


async def thought(providers: Providers) -> str:
    pieces = providers.model.complete("Be brief.", "Do you?", max_tokens=20)
    return "".join([piece async for piece in pieces])


async def test_deepgram(vendor: tuple[Vendor, str], settings: Settings) -> None:
    stand_in, url = vendor
    chosen = pipeline(url, "stt", "Deepgram")
    providers = Providers(chosen, settings, Resting(), locale="es-US")
    try:
        assert (await providers.transcriber.transcribe(SECOND)).text == "on Tuesday"
        path, headers, body = stand_in.requests[0]
        assert path == "/v1/listen"
        assert headers["Authorization"] == "Token key-of-the-client"
        assert SECOND in body
        assert stand_in.languages == ["es"]
        stand_in.status = 401
        with pytest.raises(ProviderFailed):
            await providers.transcriber.transcribe(SECOND)
        assert len(stand_in.requests) == 2
    finally:
        await providers.aclose()


@pytest.mark.parametrize(
    ("provider", "header"), [("Cartesia", "X-API-Key"), ("ElevenLabs", "xi-api-key")]
)
async def test_voices(
    provider: str, header: str, vendor: tuple[Vendor, str], settings: Settings
) -> None:
    stand_in, url = vendor
    chosen = pipeline(url, "tts", provider, voice="voice-of-the-client")
    providers = Providers(chosen, settings, Resting(), locale="es-US")
    try:
        # The framework fills the last frame up with silence.
        assert (await spoken(providers, "Hello there.")).startswith(SECOND[:31_000])
        path, headers, body = stand_in.requests[0]
        assert headers[header] == "key-of-the-client"
        assert b"Hello there." in body
        assert "voice-of-the-client" in path + body.decode()
        # ElevenLabs hears the language in the words.
        assert provider == "ElevenLabs" or json.loads(body)["language"] == "es"
        stand_in.status = 500
        with pytest.raises(ProviderFailed):
            await spoken(providers, "Hello there.")
        assert len(stand_in.requests) == 2
    finally:
        await providers.aclose()


@pytest.mark.parametrize("provider", ["Cartesia", "ElevenLabs"])
async def test_a_voice_without_its_key_fails_and_does_not_end_the_call(
    provider: str,
    vendor: tuple[Vendor, str],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stand_in, url = vendor
    (settings.secrets / "PROVIDER_cloud").unlink()
    stand_in.status = 401
    chosen = pipeline(url, "tts", provider, voice="voice-of-the-client")
    for key, sent in ((None, "none"), ("key-of-the-process", "key-of-the-process")):
        if key is not None:
            # Where an agent is a plain process, its secrets are in its environment.
            monkeypatch.setenv("PROVIDER_cloud", key)
        providers = Providers(chosen, settings, Resting())
        try:
            with pytest.raises(ProviderFailed):
                await spoken(providers, "Hello there.")
        finally:
            await providers.aclose()
        assert sent in stand_in.requests[-1][1].values()


async def test_an_openai_compatible_model(vendor: tuple[Vendor, str], settings: Settings) -> None:
    stand_in, url = vendor
    providers = Providers(pipeline(url, "llm", "OpenAI", model="qwen"), settings, Resting())
    try:
        assert await thought(providers) == "Yes, we do."
        _, headers, body = stand_in.requests[0]
        assert headers["Authorization"] == "Bearer key-of-the-client"
        assert json.loads(body)["model"] == "qwen"
        stand_in.status = 429
        with pytest.raises(ModelUnavailable):
            await thought(providers)
    finally:
        await providers.aclose()


async def test_the_machines_model_is_briefed_while_callers_go_first(settings: Settings) -> None:
    asked: list[Any] = []
    stand_in = Gateways(settings.models, think=lambda body: str(asked.append(body)))
    providers = Providers(Pipeline(), settings, Resting())
    try:
        await providers.brief("The facts.")  # nobody is there, and nobody hears of it
        async with stand_in:
            await providers.brief("The facts.")
            [body] = asked
            assert body["messages"][0] == {"role": "system", "content": "The facts."}
            assert body["max_tokens"] == 1
            assert stand_in.ahead == ["llm"]
            stand_in.broken = {"llm"}
            await providers.brief("The facts.")
    finally:
        await providers.aclose()


async def test_another_providers_model_is_not_briefed(
    vendor: tuple[Vendor, str], settings: Settings
) -> None:
    stand_in, url = vendor
    providers = Providers(pipeline(url, "llm", "OpenAI"), settings, Resting())
    await providers.brief("The facts.")
    assert not stand_in.requests


class Asked:
    """For the day of the week, which is always a Wednesday."""

    likely = ("Wednesday",)

    def fit(self, heard: str) -> Fit:
        return "Surely" if heard == "Wednesday" else "Perhaps" if "sday" in heard else "No"


async def test_what_does_not_fit_is_heard_again_without_the_noise(settings: Settings) -> None:
    heard: list[bytes] = []
    texts = iter(["Lies they", "Wednesday", "Lies they", "Once they", "Lies they", "Tuesday"])

    async def hear(pcm: bytes) -> tuple[str, float]:
        heard.append(pcm)
        return next(texts), 0.5

    noise = bytes(random.Random(1).randbytes(32_000))
    providers = Providers(Pipeline(), settings, Resting())
    try:
        async with Gateways(settings.models, hear=hear):
            transcript = await providers.transcriber.transcribe(noise, Asked())
            assert transcript.text == "Wednesday"
            assert len(heard) == 2
            assert loudness(heard[1][16_000:]) < loudness(heard[0][16_000:]) / 2
            # Where neither fits, the first counts; where anything does, one is enough.
            neither = await providers.transcriber.transcribe(noise, Asked())
            assert neither.text == "Lies they"
            perhaps = await providers.transcriber.transcribe(noise, Asked())
            assert perhaps.text == "Tuesday"
        assert len(heard) == 6
    finally:
        await providers.aclose()


def loudness(pcm: bytes) -> float:
    return float(np.sqrt(np.mean(np.frombuffer(pcm, "<i2").astype(float) ** 2)))


async def test_sentences_made_ahead_let_callers_go_first(settings: Settings) -> None:
    providers = Providers(Pipeline(), settings, Resting())
    try:
        async with Gateways(settings.models, speak=lambda _: SECOND) as stand_in:
            for voice in (providers.speaker, providers.ahead):
                assert [piece async for piece in voice.speak("Hello")]
            assert stand_in.ahead == ["tts"]
            assert stand_in.spoken == ["Hello", "Hello"]
    finally:
        await providers.aclose()


async def test_our_gateways(settings: Settings) -> None:
    async def hear(pcm: bytes) -> tuple[str, float]:
        return f"{len(pcm)} bytes", 0.25

    providers = Providers(Pipeline(), settings, Resting())
    half_rate = Gateways(
        settings.models,
        hear=hear,
        speak=lambda _: b"\1\0" * 22_050,
        rate=22_050,
        think=lambda body: str(body["messages"][1]["content"]),
    )
    try:
        with pytest.raises(ProviderFailed):
            await providers.transcriber.transcribe(SECOND)
        async with half_rate:
            heard = await providers.transcriber.transcribe(SECOND)
            assert (heard.text, heard.end_of_turn) == ("32000 bytes", 0.25)
            assert abs(len(await spoken(providers, "Hello")) - len(SECOND)) < 200
            assert (await thought(providers)).strip() == "Do you?"
            half_rate.status = 503
            with pytest.raises(ProviderFailed):
                await spoken(providers, "Hello")
    finally:
        await providers.aclose()


def test_a_local_pipeline_loads_no_plugin() -> None:
    code = (
        "import sys, asyncio\n"
        "from voicefleet_agent import call, worker\n"
        "assert not [m for m in sys.modules if m.startswith('livekit.plugins.')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
