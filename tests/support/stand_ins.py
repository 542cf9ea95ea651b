"""Stand-ins for the machine's gateways, on Unix sockets: what they answer is up to the test."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from voicefleet_api import tokens

KEY = "k" * 32
"""Of the clients' tokens."""
TOKEN = tokens.mint(KEY, "client")
Hear = Callable[[bytes], Awaitable[tuple[str, float]]]
"""PCM to words and probability that they sound ended."""


class Gateways:
    """`async with Gateways(folder, hear=…, speak=…)`; a part that is None does not exist."""

    def __init__(
        self,
        folder: Path,
        *,
        hear: Hear | None = None,
        speak: Callable[[str], bytes] | None = None,
        rate: int = 16_000,
        think: Callable[[dict[str, Any]], str] | None = None,
    ) -> None:
        self.folder = folder
        self.heard: list[str] = []
        self.spoken: list[str] = []
        self.delay = 0.0
        """Seconds before each answer."""
        self.status = 200
        self.broken: set[str] = set()
        """Parts that refuse everything: stt, tts, llm."""
        self.ahead: list[str] = []
        """Parts that were asked for what no caller waits for, one entry a request."""
        self.voices: set[str] = set()
        """That were asked for."""
        self.mute: set[str] = set()
        """Voices that refuse everything."""
        self.queries: list[dict[str, str]] = []
        """What a transcript was asked for with."""
        self._hear, self._speak, self._rate, self._think = hear, speak, rate, think
        self._runners: list[web.AppRunner] = []

    async def __aenter__(self) -> Gateways:
        parts = {
            "stt": ("/v1/transcriptions", self._stt, self._hear),
            "tts": ("/v1/speech", self._tts, self._speak),
            "llm": ("/v1/chat/completions", self._llm, self._think),
        }
        for name, (path, handler, there) in parts.items():
            if there is None:
                continue
            app = web.Application(client_max_size=2**24)
            app.router.add_post(path, handler)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            await web.UnixSite(runner, str(self.folder / f"{name}.sock")).start()
            self._runners.append(runner)
        return self

    async def __aexit__(self, *_: object) -> None:
        for runner in self._runners:
            await runner.cleanup()

    async def _before(self, request: web.Request) -> None:
        tokens.bearer(KEY, request.headers.get("Authorization"))
        await asyncio.sleep(self.delay)
        part = {"/v1/transcriptions": "stt", "/v1/speech": "tts"}.get(request.path, "llm")
        if request.headers.get("Voicefleet-Priority") == "ahead":
            self.ahead.append(part)
        if self.status != 200 or part in self.broken:
            raise web.HTTPServiceUnavailable(text='{"error": {"message": "no"}}')

    async def _stt(self, request: web.Request) -> web.Response:
        pcm = await request.read()
        self.queries.append(dict(request.query))
        await self._before(request)
        assert self._hear is not None
        text, end_of_turn = await self._hear(pcm)
        self.heard.append(text)
        readings = [{"text": text, "score": 0.0}]
        return web.json_response({"text": text, "readings": readings, "endOfTurn": end_of_turn})

    async def _tts(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        text = asked["text"]
        self.voices.add(asked["voice"])
        await self._before(request)
        if asked["voice"] in self.mute:
            raise web.HTTPServiceUnavailable(text='{"error": {"message": "no"}}')
        assert self._speak is not None
        self.spoken.append(text)
        response = web.StreamResponse(
            headers={"Content-Type": f"audio/l16;rate={self._rate};channels=1"}
        )
        await response.prepare(request)
        pcm = self._speak(text)
        for at in range(0, len(pcm), 6401):
            await response.write(pcm[at : at + 6401])
        return response

    async def _llm(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        await self._before(request)
        assert self._think is not None
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for word in self._think(body).split(" "):
            piece = json.dumps({"choices": [{"delta": {"content": word + " "}}]})
            await response.write(f"data: {piece}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response
