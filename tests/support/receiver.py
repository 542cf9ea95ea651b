"""What the agent delivers to, in place of the portal: the same contract, and faults on demand."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Literal, Self

from aiohttp import web

Fault = Literal["lose reply", "slow"] | int


class Receiver:
    """Keeps calls by their ID; `faults` are met by the next deliveries, one each."""

    def __init__(self, socket: Path, token: str = "token") -> None:  # noqa: S107
        self.calls: dict[str, dict[str, Any]] = {}
        self.audio: dict[tuple[str, str], bytes] = {}
        self.events: list[dict[str, Any]] = []
        self.requests: list[tuple[str, str]] = []
        self.faults: list[Fault] = []
        self.refused: set[str] = set()
        self._socket, self._token = socket, token
        app = web.Application(client_max_size=2**30)
        app.router.add_put("/v1/calls/{call}", self._put)
        app.router.add_put("/v1/calls/{call}/audio/{side}", self._put)
        app.router.add_post("/v1/calls/{call}/events", self._put)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    async def __aenter__(self) -> Self:
        self._socket.unlink(missing_ok=True)
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self._socket)).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _put(self, request: web.Request) -> web.Response:
        call, side = request.match_info["call"], request.match_info.get("side")
        self.requests.append((request.method, request.path))
        if request.headers.get("Authorization") != f"Bearer {self._token}":
            return web.Response(status=401)
        fault = self.faults.pop(0) if self.faults and request.method == "PUT" else None
        if isinstance(fault, int):
            return web.Response(status=fault)
        if call in self.refused:
            return web.Response(status=400)
        if fault == "slow":
            await asyncio.sleep(30)
        if request.method == "POST":
            self.events.append(await request.json())
        elif side:
            self.audio[call, side] = await request.read()
        else:
            try:
                self.calls[call] = json.loads(await request.read())
            except ValueError:
                return web.Response(status=400)
        if fault == "lose reply" and request.transport is not None:
            request.transport.abort()
        return web.Response(status=204)
