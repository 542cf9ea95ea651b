"""A stand-in for vendors' wire protocols."""

from __future__ import annotations

import json

from aiohttp import web

SECOND = b"\1\0" * 16_000
"""16-bit mono PCM at 16 kHz."""


class Vendor:
    """Deepgram, Cartesia, ElevenLabs and OpenAI on one port, as far as we use them."""

    def __init__(self) -> None:
        self.status = 200
        self.heard = "on Tuesday"
        self.sound = SECOND
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.languages: list[str | None] = []
        """Deepgram's, of each request."""

    async def start(self) -> str:
        app = web.Application(client_max_size=2**24)
        app.router.add_post("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.requests.append((request.path, dict(request.headers), await request.read()))
        self.languages.append(request.query.get("language"))
        if self.status != 200:
            return web.json_response({"error": "no"}, status=self.status)
        if request.path == "/v1/listen":
            heard = {"transcript": self.heard, "confidence": 0.9, "words": []}
            return web.json_response(
                {
                    "metadata": {"request_id": "1"},
                    "results": {"channels": [{"alternatives": [heard]}]},
                }
            )
        if request.path == "/v1/chat/completions":
            pieces = [{"choices": [{"delta": {"content": word}}]} for word in ("Yes", ", we do.")]
            lines = [*map(json.dumps, pieces), "[DONE]"]
            return web.Response(
                text="".join(f"data: {line}\n\n" for line in lines),
                content_type="text/event-stream",
            )
        return web.Response(body=self.sound, content_type="audio/pcm")
