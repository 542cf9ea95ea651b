"""Speech to text: Moonshine (tiny, English), and whether the speaker has ended, by LiveKit.

Both models are inside their wheels (moonshine-voice, livekit-local-inference).
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import numpy as np
import numpy.typing as npt
from aiohttp import web
from livekit.local_inference import EOT, EOT_MAX_SAMPLES
from moonshine_voice import ModelArch, Transcriber, get_model_path

from voicefleet_models.gateway import THREADS, TIMES, BadRequest, turn, whole
from voicefleet_models.queueing import FairQueue

RATE = 16_000
"""Hz; of what is sent, and what both models want."""
MAX_SECONDS = 30
LANGUAGES = ("en",)
# Its other steps are the agent's business (finding speech) or nobody's (telling speakers apart).
_OPTIONS = {"identify_speakers": "false", "return_audio_data": "false", "vad_threshold": "0.0"}


_QUIET = np.zeros(RATE // 5, np.int16)
"""Silence after the words: without it Moonshine takes their end for the middle of a sentence (on
telephone speech: 30 words wrong of 100 without, 23 with 0.2 s of it, 26 with 0.5 s)."""


class SpeechToText:
    """A `gateway.Service`. One transcription at a time: it uses all cores."""

    name = "stt"
    path = "/v1/transcriptions"
    max_body = MAX_SECONDS * RATE * 2
    deadline_ms = 5_000

    def __init__(self) -> None:
        self.queue = FairQueue(running=1, per_client=8)
        self._transcriber: Any = None
        self._end_of_turn: Any = None

    async def load(self) -> None:
        await asyncio.to_thread(self._load)

    async def close(self) -> None:
        """Nothing outlives the process."""

    def _load(self) -> None:
        if THREADS == 1:
            os.environ["MOONSHINE_ORT_SINGLE_THREAD"] = "1"
        model = get_model_path("tiny-en")
        self._transcriber = Transcriber(model, ModelArch.TINY, options=_OPTIONS)
        self._end_of_turn = EOT()
        # The first run of each is several times slower than the others.
        silence = np.zeros(RATE, np.int16)
        self._text(silence)
        self._ended(silence)

    def state(self) -> dict[str, Any]:
        return {"model": "moonshine/tiny-en", "languages": LANGUAGES}

    async def serve(self, request: web.Request) -> web.Response:
        """A body of 16-bit samples to text and the probability that the turn has ended.

        Who knows that by the words (`endOfTurn=false`) has them sooner.
        """
        language = request.query.get("language", "en")
        if language.partition("-")[0] not in LANGUAGES:
            raise BadRequest(f"language: only {', '.join(LANGUAGES)} is there")
        wanted = request.query.get("endOfTurn", "true")
        if wanted not in ("true", "false"):
            raise BadRequest("endOfTurn: want true or false")
        with_end = wanted == "true"
        _check_type(request.headers.get("Content-Type", ""))
        body = await request.read()
        if not body or len(body) % 2:
            raise BadRequest("the body: want 16-bit samples, at least one")
        samples = np.frombuffer(body, "<i2")
        async with turn(self, request):
            text = await whole(lambda: self._text(samples))
            ended = await whole(lambda: self._ended(samples)) if with_end else None
        times = request[TIMES]
        return web.json_response(
            {
                "text": text,
                "endOfTurn": None if ended is None else round(ended, 4),
                "audioSeconds": round(len(samples) / RATE, 3),
                "queueMs": times.queue_ms,
                "computeMs": times.compute_ms,
            }
        )

    def _text(self, samples: npt.NDArray[np.int16]) -> str:
        audio = (np.concatenate([samples, _QUIET]) / np.float32(32768)).tolist()
        lines = self._transcriber.transcribe_without_streaming(audio, RATE).lines
        return " ".join(line.text.strip() for line in lines)

    def _ended(self, samples: npt.NDArray[np.int16]) -> float:
        """Of the last 1.2 s; shorter audio is filled with silence before it."""
        last = samples[-EOT_MAX_SAMPLES:]
        padded = np.pad(last, (EOT_MAX_SAMPLES - len(last), 0))
        return float(self._end_of_turn.predict(padded))


def _check_type(content_type: str) -> None:
    """`audio/l16;rate=16000` (RFC 2586, but little-endian), in any writing."""
    kind, *parameters = (part.strip().lower() for part in content_type.split(";"))
    given = dict(parameter.partition("=")[::2] for parameter in parameters)
    mono = given.get("channels", "1") == "1"
    if kind != "audio/l16" or given.get("rate") != str(RATE) or not mono:
        raise BadRequest(f"Content-Type: want audio/l16;rate={RATE}, one channel")
