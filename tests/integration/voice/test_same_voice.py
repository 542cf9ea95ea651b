"""A client's voice is the same over its calls, in what was made ahead and in what is made now."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest

from support.gateways import Gateways
from support.speakers import RATE, SAME, Array, embedding, likeness
from voicefleet_agent import ahead
from voicefleet_agent.phrases import Phrases, essential
from voicefleet_agent.providers.build import Providers
from voicefleet_agent.providers.chain import Resting
from voicefleet_agent.settings import Settings
from voicefleet_api import tokens
from voicefleet_api.pipeline import Pipeline
from voicefleet_cli.telephone.sound import telephone

pytestmark = pytest.mark.integration

CALLS = (
    (
        "That is a cleaning on Tuesday, the first of December, at half past three.",
        "Please come ten minutes early if you are new to us.",
    ),
    (
        "I have your message from Margaret Miller, about the bill of last month.",
        "We are open from Monday to Friday, from eight in the morning.",
    ),
)
VOICES = (None, "kokoro/jm_kumo", "kokoro/jf_gongitsune")
"""The machine's first one, and others that a client can choose."""


@pytest.fixture(scope="module")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateways]:
    with Gateways(tmp_path_factory.mktemp("models"), "tts") as started:
        yield started


@asynccontextmanager
async def providers(voice: str | None) -> AsyncIterator[Providers]:
    settings = Settings.from_env()
    chosen = Pipeline.model_validate({"tts": [{"provider": "Local", "voice": voice}]})
    made = Providers(chosen, settings, Resting())
    try:
        yield made
    finally:
        await made.aclose()


async def calls(gateways: Gateways, voice: str | None, folder: Path) -> list[Array]:
    """Who speaks: first what is made ahead, then each call's own sentences."""
    phrases = Phrases(folder)
    async with providers(voice) as chosen:
        await ahead.speak(phrases, chosen.ahead, essential("en-US"))
        found = [ahead.find(phrases, chosen.speaker, text) for text in essential("en-US")]
        sounds = [b"".join(sound for sound in found if sound is not None)]
        for sentences in CALLS:
            # On a busy machine a voice may be late, and another says it: not what is asked here.
            speaker = chosen.speaker.preferred
            pieces = [p for text in sentences async for p in speaker.speak(text)]
            sounds.append(b"".join(pieces))
    return [embedding(over_the_phone(sound)) for sound in sounds]


def over_the_phone(pcm: bytes) -> bytes:
    """As the caller hears it, at 16 kHz again."""
    narrow = telephone(np.frombuffer(pcm, "<i2") / 32768, RATE)
    wide = np.interp(np.arange(2 * len(narrow)) / 2, np.arange(len(narrow)), narrow)
    return (wide * 32767).astype("<i2").tobytes()


async def test_every_call_has_the_clients_voice(
    gateways: Gateways, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICEFLEET_MODELS", str(gateways.folder))
    monkeypatch.setenv("MODELS_TOKEN", tokens.mint(gateways.key, "vc-0000000001"))
    heard = [await calls(gateways, voice, tmp_path / str(voice)) for voice in VOICES]
    same = [likeness(*pair) for speaker in heard for pair in combinations(speaker, 2)]
    other = [likeness(*pair) for speakers in combinations(heard, 2) for pair in product(*speakers)]
    print(f"same {min(same):.2f} to {max(same):.2f}, other {min(other):.2f} to {max(other):.2f}")
    assert min(same) >= SAME
    assert max(other) < SAME
