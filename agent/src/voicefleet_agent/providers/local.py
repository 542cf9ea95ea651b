"""The machine's own gateways, by Unix sockets in one folder (docs/plan.md, "Gateways")."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

from voicefleet_agent.audio import resampled, without_noise
from voicefleet_agent.providers.base import Fits, ProviderFailed, Transcript
from voicefleet_agent.providers.http import TIMEOUT, Endpoint

DEADLINE_MS = 1500
"""How long a transcript or the first sound of a sentence is of use."""
AHEAD = {"Voicefleet-Priority": "ahead", "Voicefleet-Deadline-Ms": "60000"}
"""Headers of what no caller waits for: callers come first."""
AHEAD_TIMEOUT = aiohttp.ClientTimeout(total=90)
VOICE = "piper/en_US-joe-medium"


def gateway(folder: Path, name: str, token: str) -> Endpoint:
    """`stt`, `llm` or `tts`."""
    return Endpoint("http://gateway", token, socket=folder / f"{name}.sock")


class LocalTranscriber:
    """A `Transcriber`."""

    name = "Local"

    def __init__(self, endpoint: Endpoint, language: str = "en") -> None:
        self._endpoint = endpoint
        self._language = language

    async def transcribe(self, pcm: bytes, fits: Fits | None = None) -> Transcript:
        """The noise is taken off only where that helps: clean speech loses by it."""
        if fits is None:
            return await self._transcribe(pcm)
        first = await self._transcribe(pcm, ended=False)
        if fits(first.text):
            return first
        second = await self._transcribe(await asyncio.to_thread(without_noise, pcm))
        return second if fits(second.text) else Transcript(first.text, second.end_of_turn)

    async def _transcribe(self, pcm: bytes, *, ended: bool = True) -> Transcript:
        async with self._endpoint.post(
            f"/v1/transcriptions?language={self._language}&endOfTurn={str(ended).lower()}",
            data=pcm,
            headers={
                "Content-Type": "audio/l16;rate=16000",
                "Voicefleet-Deadline-Ms": str(DEADLINE_MS),
            },
        ) as response:
            answer = await response.json()
        try:
            return Transcript(str(answer["text"]), float(answer["endOfTurn"]) if ended else None)
        except (KeyError, TypeError, ValueError):
            raise ProviderFailed("unexpected answer of the speech-to-text gateway") from None


class LocalSpeaker:
    """A `Speaker`; one that speaks `ahead` lets callers go first."""

    def __init__(
        self, endpoint: Endpoint, voice: str | None = None, *, ahead: bool = False
    ) -> None:
        self.name = f"Local/{voice or VOICE}"
        self._endpoint = endpoint
        self._voice = voice or VOICE
        self._headers = AHEAD if ahead else {"Voicefleet-Deadline-Ms": str(DEADLINE_MS)}
        self._limit = AHEAD_TIMEOUT if ahead else TIMEOUT

    async def speak(self, text: str) -> AsyncIterator[bytes]:
        async with self._endpoint.post(
            "/v1/speech",
            json={"text": text, "voice": self._voice},
            headers=self._headers,
            limit=self._limit,
        ) as response:
            async for piece in resampled(response.content.iter_any(), _rate(response)):
                yield piece


async def brief(endpoint: Endpoint, briefing: str) -> None:
    """Have the language gateway read `briefing`; raises ProviderFailed."""
    roles = {"system": briefing, "user": ""}
    messages = [{"role": role, "content": content} for role, content in roles.items()]
    body = {"messages": messages, "max_tokens": 1}
    async with endpoint.post(
        "/v1/chat/completions", json=body, headers=AHEAD, limit=AHEAD_TIMEOUT
    ) as response:
        await response.read()


def _rate(response: aiohttp.ClientResponse) -> int:
    """Of `audio/l16;rate=…;channels=1`."""
    for part in response.headers.get("Content-Type", "").split(";"):
        key, _, value = part.strip().partition("=")
        if key == "rate" and value.isdigit():
            return int(value)
    raise ProviderFailed("the speech gateway does not say its rate")
