"""Speech to text, and whether the speaker has ended, by LiveKit (livekit-local-inference)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from aiohttp import web
from livekit.local_inference import EOT, EOT_MAX_SAMPLES
from pydantic import Field, TypeAdapter, ValidationError

from voicefleet_api.pipeline import LOCAL_HEARS
from voicefleet_models.gateway import TIMES, BadRequest, turn, whole
from voicefleet_models.moonshine import RATE
from voicefleet_models.queueing import FairQueue
from voicefleet_models.settings import THREADS
from voicefleet_models.transcribers import Model, Moonshine, Whisper

MAX_SECONDS = 30
DEFAULT_MODEL = "moonshine"
LIKELY = "Voicefleet-Likely"
"""Header: a JSON list, in ASCII, of words and phrases that the speaker is likely to say."""
_Likely = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=80)]], Field(max_length=1_000)
]
_MOST_CHARACTERS = 12_000
"""Of all together: they are cut into tokens while others wait for their turn."""
_LIKELY: TypeAdapter[list[str]] = TypeAdapter(_Likely)


class SpeechToText:
    """A `gateway.Service`. One transcription at a time: it uses all cores.

    Whisper is loaded when it is first asked for: it costs memory.
    """

    name = "stt"
    path = "/v1/transcriptions"
    max_body = MAX_SECONDS * RATE * 2
    deadline_ms = 5_000

    def __init__(self, threads: int = THREADS) -> None:
        self.queue = FairQueue(running=1, per_client=8)
        self._models: Mapping[str, Model] = {
            DEFAULT_MODEL: Moonshine(threads),
            "whisper": Whisper(threads),
        }
        self._end_of_turn: Any = None

    async def load(self) -> None:
        await asyncio.to_thread(self._load)

    async def close(self) -> None:
        """Nothing outlives the process."""

    def _load(self) -> None:
        self._models[DEFAULT_MODEL].load()
        self._end_of_turn = EOT()
        # The first run is several times slower than the others.
        self._ended(np.zeros(RATE, np.int16))

    def state(self) -> dict[str, Any]:
        loaded = [name for name, model in self._models.items() if model.loaded]
        return {"models": list(self._models), "loaded": loaded, "languages": LOCAL_HEARS}

    async def serve(self, request: web.Request) -> web.Response:
        """A body of 16-bit samples to text and the probability that the turn has ended.

        Who knows that by the words (`endOfTurn=false`) has them sooner.
        """
        language = request.query.get("language", "en")
        if language.partition("-")[0] not in LOCAL_HEARS:
            raise BadRequest(f"language: only {', '.join(LOCAL_HEARS)} is there")
        model = self._models.get(request.query.get("model", DEFAULT_MODEL))
        if model is None:
            raise BadRequest(f"model: there is none of that name; choose {', '.join(self._models)}")
        wanted = request.query.get("endOfTurn", "true")
        if wanted not in ("true", "false"):
            raise BadRequest("endOfTurn: want true or false")
        with_end = wanted == "true"
        _check_type(request.headers.get("Content-Type", ""))
        likely = _likely(request.headers.get(LIKELY))
        body = await request.read()
        if not body or len(body) % 2:
            raise BadRequest("the body: want 16-bit samples, at least one")
        samples = np.frombuffer(body, "<i2")
        async with turn(self, request):
            readings = await whole(lambda: model.read(samples, likely))
            ended = await whole(lambda: self._ended(samples)) if with_end else None
        times = request[TIMES]
        return web.json_response(
            {
                "text": readings[0].text,
                "readings": [
                    {"text": reading.text, "score": round(reading.score, 2)} for reading in readings
                ],
                "endOfTurn": None if ended is None else round(ended, 4),
                "audioSeconds": round(len(samples) / RATE, 3),
                "queueMs": times.queue_ms,
                "computeMs": times.compute_ms,
            }
        )

    def _ended(self, samples: npt.NDArray[np.int16]) -> float:
        """Of the last 1.2 s; shorter audio is filled with silence before it."""
        last = samples[-EOT_MAX_SAMPLES:]
        padded = np.pad(last, (EOT_MAX_SAMPLES - len(last), 0))
        return float(self._end_of_turn.predict(padded))


def _likely(header: str | None) -> list[str]:
    if header is None:
        return []
    wrong = BadRequest(
        f"{LIKELY}: want a JSON list of at most 1,000 texts of 1 to 80 characters,"
        f" {_MOST_CHARACTERS:,} together"
    )
    try:
        likely = _LIKELY.validate_json(header)
    except ValidationError:
        raise wrong from None
    if sum(map(len, likely)) > _MOST_CHARACTERS:
        raise wrong
    return likely


def _check_type(content_type: str) -> None:
    """`audio/l16;rate=16000` (RFC 2586, but little-endian), in any writing."""
    kind, *parameters = (part.strip().lower() for part in content_type.split(";"))
    given = dict(parameter.partition("=")[::2] for parameter in parameters)
    mono = given.get("channels", "1") == "1"
    if kind != "audio/l16" or given.get("rate") != str(RATE) or not mono:
        raise BadRequest(f"Content-Type: want audio/l16;rate={RATE}, one channel")
