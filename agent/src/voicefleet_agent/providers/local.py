"""The machine's own gateways (docs/models.md)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import get_args
from urllib.parse import urlencode

import aiohttp

from voicefleet_agent.audio import resampled, without_noise
from voicefleet_agent.providers.base import Asked, Fit, ProviderFailed, Transcript
from voicefleet_agent.providers.http import TIMEOUT, Endpoint

DEADLINE_MS = 1500
"""How long a transcript or the first sound of a sentence is of use."""
CREDIBLE = 5.0
"""A reading that is so much less likely (in log probability) than the best is not considered."""
FITS: tuple[Fit, ...] = get_args(Fit)
AHEAD = {"Voicefleet-Priority": "ahead", "Voicefleet-Deadline-Ms": "60000"}
"""Headers of what no caller waits for: callers come first."""
AHEAD_TIMEOUT = aiohttp.ClientTimeout(total=90)
VOICE = "piper/en_US-joe-medium"
VOICES = {"en": (VOICE, "kokoro/jm_kumo"), "es": ("kokoro/es/jm_kumo", "kokoro/es/jf_gongitsune")}
"""Language -> the machine's voices: a client's that names none, and another where that fails."""
SLOW_SECONDS = 4.0
"""To a sound of Kokoro's: it makes a second of speech in half a second, and is loaded when it is
first asked for. The caller hears a filler meanwhile."""


class LocalTranscriber:
    """A `Transcriber`."""

    def __init__(self, endpoint: Endpoint, language: str, model: str | None = None) -> None:
        self.name = f"Local/{model}" if model else "Local"
        self._endpoint = endpoint
        self._query = {"language": language} | ({"model": model} if model else {})

    async def transcribe(self, pcm: bytes, asked: Asked | None = None) -> Transcript:
        """Of several readings the one that answers what was asked.

        Where none surely does, the noise is taken off: that helps noisy speech and harms clean.
        """
        if asked is None:
            return (await self._readings(pcm))[0]
        first = await self._readings(pcm, asked.likely, ended=False)
        best, fit = _choose(first, asked)
        if fit == "Surely":
            return best
        quiet = await asyncio.to_thread(without_noise, pcm)
        second = await self._readings(quiet, asked.likely)
        other, other_fit = _choose(second, asked)
        if other_fit == "Surely" or (fit, other_fit) == ("No", "Perhaps"):
            best = other
        return Transcript(best.text, other.end_of_turn)

    async def _readings(
        self, pcm: bytes, likely: Sequence[str] = (), *, ended: bool = True
    ) -> list[Transcript]:
        """Most likely first; those that are much less likely are left out."""
        async with self._endpoint.post(
            f"/v1/transcriptions?{urlencode(self._query | {'endOfTurn': str(ended).lower()})}",
            data=pcm,
            headers={
                "Content-Type": "audio/l16;rate=16000",
                "Voicefleet-Deadline-Ms": str(DEADLINE_MS),
                "Voicefleet-Likely": json.dumps(list(likely)),
            },
        ) as response:
            answer = await response.json()
        try:
            end = float(answer["endOfTurn"]) if ended else None
            readings = [(str(one["text"]), float(one["score"])) for one in answer["readings"]]
            least = readings[0][1] - CREDIBLE
        except (KeyError, TypeError, ValueError, IndexError):
            raise ProviderFailed("unexpected answer of the speech-to-text gateway") from None
        return [Transcript(text, end) for text, score in readings if score >= least]


def _choose(readings: Sequence[Transcript], asked: Asked) -> tuple[Transcript, Fit]:
    """The first of the best fit, and that fit."""
    fits = [asked.fit(reading.text) for reading in readings]
    best = min(fits, key=FITS.index)
    return readings[fits.index(best)], best


class LocalSpeaker:
    """A `Speaker`; one that speaks `ahead` lets callers go first."""

    def __init__(self, endpoint: Endpoint, voice: str, *, ahead: bool = False) -> None:
        self.name = f"Local/{voice}"
        self._endpoint = endpoint
        self._voice = voice
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


def is_slow(name: str) -> bool:
    """Whether the speaker of that name may take `SLOW_SECONDS`."""
    return name.startswith("Local/kokoro/")
