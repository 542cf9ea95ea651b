"""Who asks, what they may, and what they are told."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial

from aiohttp import WSCloseCode, web
from livekit import api

from voicefleet_api import tokens
from voicefleet_gateway import operations
from voicefleet_gateway.livekit import LiveKit
from voicefleet_gateway.refusals import STATUS, Refused
from voicefleet_gateway.services import Services
from voicefleet_gateway.workers import from_worker, relay, to_worker

logger = logging.getLogger("voicefleet.gateway")

_AT_ONCE = 64
"""Requests and workers of one client: what it has open is not open for others."""
_HEARTBEAT = 30.0
"""Seconds; a pod that is lost without a goodbye is offered no calls for longer."""
_CLOSE_BYTES = 123
"""RFC 6455, section 5.5: what a close frame may say."""
_CLIENT = web.RequestKey("client", str)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Shown = Callable[[str, str | None], str]
"""The client that an `Authorization` header shows, by the key; raises `tokens.Unauthorized`."""


class AgentGateway:
    """For all clients of one LiveKit server; `key` is the one that their tokens are signed with."""

    def __init__(self, livekit: LiveKit, services: Services | None, key: str) -> None:
        """Without `services` there are none to pass on to. Raises ValueError for a short key."""
        tokens.mint(key, tokens.PLATFORM)  # a bad key is better found now
        self._livekit = livekit
        self._services = services
        self._key = key
        self._open: Counter[str] = Counter()

    def app(self) -> web.Application:
        """The aiohttp application; to be served with `handler_cancellation`."""
        app = web.Application(middlewares=[_refusing])
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/agent", self._worker)
        app.router.add_post("/twirp/livekit.{method:.+}", self._operation)
        if self._services is not None:
            app.router.add_route("*", "/services/{service}/v1/{path:.*}", self._service)
        app.router.add_route("*", "/{path:.*}", self._other)
        return app

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"service": "agent-gateway", "ready": True})

    async def _worker(self, request: web.Request) -> web.WebSocketResponse:
        with self._admitted(request) as client:
            worker = web.WebSocketResponse(heartbeat=_HEARTBEAT)
            if not worker.can_prepare(request):
                raise Refused("want a WebSocket", "malformed")
            livekit = await self._livekit.register()
            down = partial(
                to_worker,
                room_url=self._livekit.room_url,
                room_token=self._livekit.room_token,
            )
            try:
                await worker.prepare(request)
                await relay(worker, livekit, partial(from_worker, client), down)
            except Refused as refusal:
                _log(request, refusal)
                reason = str(refusal).encode()[:_CLOSE_BYTES]
                await worker.close(code=WSCloseCode.POLICY_VIOLATION, message=reason)
            except ConnectionError:
                logger.info("connection lost", extra={"clientID": client})
            finally:
                await livekit.close()
            return worker

    async def _operation(self, request: web.Request) -> web.Response:
        with self._admitted(request) as client:
            if request.content_type != "application/protobuf":
                raise Refused("want application/protobuf", "malformed")
            method = request.match_info["method"]
            asked, room = operations.check(client, method, await request.read())
            if isinstance(asked, api.CreateSIPParticipantRequest):
                await self._livekit.check_trunk(client, asked.sip_trunk_id)
            return await self._livekit.ask(method, asked, room)

    async def _service(self, request: web.Request) -> web.StreamResponse:
        assert self._services is not None
        with self._admitted(request, tokens.bearer) as client:
            if client == tokens.PLATFORM:
                raise Refused("the platform's own token is not for agents")
            return await self._services.ask(request, request.match_info["service"])

    async def _other(self, request: web.Request) -> web.Response:
        with self._admitted(request):
            raise Refused(f"{request.path} is not for agents")

    @contextmanager
    def _admitted(self, request: web.Request, shown: Shown = tokens.signer) -> Iterator[str]:
        """Whoever asks, as `shown`, counted; raises `Refused`."""
        try:
            client = shown(self._key, request.headers.get("Authorization"))
        except tokens.Unauthorized as error:
            raise Refused(str(error), "unauthenticated") from None
        request[_CLIENT] = client
        if self._open[client] >= _AT_ONCE:
            raise Refused("this client has too much open at the same time", "resource_exhausted")
        self._open[client] += 1
        try:
            yield client
        finally:
            self._open[client] -= 1


@web.middleware
async def _refusing(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refused as refusal:
        _log(request, refusal)
        body = {"code": refusal.code, "msg": str(refusal)}
        return web.json_response(body, status=STATUS[refusal.code])


def _log(request: web.Request, refusal: Refused) -> None:
    extra = {
        "clientID": request.get(_CLIENT),
        "path": request.path,
        "code": refusal.code,
        "reason": str(refusal),
    }
    logger.warning("refused", extra=extra)
