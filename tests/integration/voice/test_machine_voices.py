"""Which of the machine's voices and transcribers a client gets, and who comes after them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.stand_ins import TOKEN, Gateways
from voicefleet_agent.providers import ProviderFailed
from voicefleet_agent.providers.build import Providers
from voicefleet_agent.providers.chain import Resting
from voicefleet_agent.settings import Settings
from voicefleet_api.pipeline import Pipeline

pytestmark = pytest.mark.integration

JOE, KUMO = "piper/en_US-joe-medium", "kokoro/jm_kumo"
SPANISH, OTHER_SPANISH = "kokoro/es/jm_kumo", "kokoro/es/jf_gongitsune"

CARTESIA = {
    "provider": "Cartesia",
    "url": "http://127.0.0.1:1",
    "secretRef": {"name": "cartesia"},
}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("VOICEFLEET_MODELS", str(tmp_path))
    monkeypatch.setenv("VOICEFLEET_SECRETS", str(tmp_path))
    monkeypatch.setenv("MODELS_TOKEN", TOKEN)
    (tmp_path / "PROVIDER_cartesia").write_text("key-of-the-client")
    return Settings.from_env()


@pytest.mark.parametrize(
    ("locale", "chosen", "wanted"),
    [
        ("en-US", {"provider": "Local"}, [JOE, KUMO]),
        ("es-ES", {"provider": "Local"}, [SPANISH, OTHER_SPANISH]),
        ("en-US", {"provider": "Local", "voice": KUMO}, [KUMO, JOE]),
        # Nothing listens there.
        ("es-US", CARTESIA, [SPANISH, OTHER_SPANISH]),
    ],
)
async def test_another_voice_of_the_language_speaks_where_one_fails(
    settings: Settings, locale: str, chosen: dict[str, Any], wanted: list[str]
) -> None:
    pipeline = Pipeline.model_validate({"tts": [chosen]})
    heard: list[str] = []
    async with Gateways(settings.models, speak=lambda _: bytes(6400)) as stand_in:
        for _ in (*wanted, "nobody"):
            providers = Providers(pipeline, settings, Resting(), locale=locale)
            stand_in.voices.clear()
            try:
                assert [piece async for piece in providers.speaker.speak("Hello")]
            except ProviderFailed:
                heard.append("nobody")
            else:
                [voice] = stand_in.voices - stand_in.mute
                heard.append(voice)
                stand_in.mute.add(voice)
            finally:
                await providers.aclose()
    assert heard == [*wanted, "nobody"]


@pytest.mark.parametrize(
    ("locale", "model", "asked"),
    [
        ("en-US", None, {"language": "en"}),
        ("en-US", "whisper", {"language": "en", "model": "whisper"}),
        ("es-ES", None, {"language": "es"}),
    ],
)
async def test_the_ears_are_told_language_and_model(
    settings: Settings, locale: str, model: str | None, asked: dict[str, str]
) -> None:
    async def hear(_: bytes) -> tuple[str, float]:
        return "Hello", 0.5

    pipeline = Pipeline.model_validate({"stt": [{"provider": "Local", "model": model}]})
    providers = Providers(pipeline, settings, Resting(), locale=locale)
    try:
        async with Gateways(settings.models, hear=hear) as stand_in:
            await providers.transcriber.transcribe(bytes(32_000))
            assert stand_in.queries == [{**asked, "endOfTurn": "true"}]
    finally:
        await providers.aclose()


async def test_a_transcriber_that_was_chosen_is_loaded_before_a_call(settings: Settings) -> None:
    async def hear(_: bytes) -> tuple[str, float]:
        return "", 0.5

    chosen = [{"provider": "Local"}, {"provider": "Local", "model": "whisper"}]
    providers = Providers(Pipeline.model_validate({"stt": chosen}), settings, Resting())
    try:
        await providers.warm()  # nobody is there, and nobody hears of it
        async with Gateways(settings.models, hear=hear) as stand_in:
            await providers.warm()
            assert [query.get("model") for query in stand_in.queries] == ["whisper"]
    finally:
        await providers.aclose()
