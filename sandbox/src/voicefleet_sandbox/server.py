"""One port for all vendors: routing, faults, the request log."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from voicefleet_sandbox.admin import Admin
from voicefleet_sandbox.connection import Protocol, cut
from voicefleet_sandbox.exchange import (
    ElevenLabsExchange,
    Exchange,
    StripeExchange,
    TwilioExchange,
)
from voicefleet_sandbox.faults import Faults, Rule
from voicefleet_sandbox.store import Document, Store
from voicefleet_sandbox.stripe.api import Api
from voicefleet_sandbox.stripe.context import Context
from voicefleet_sandbox.stripe.cycle import pass_time
from voicefleet_sandbox.twilio.voice import Voice
from voicefleet_sandbox.webhooks import Webhooks

logger = logging.getLogger(__name__)

_TICK = 15.0
"""Seconds between two looks at what has fallen due."""
_NO_REPLY = 0
"""Status in the request log where the connection was closed instead."""

Pairs = list[tuple[str, str]]


class Sandbox:
    """The application with its state."""

    def __init__(self, data: Path | None) -> None:
        self.store = Store(data)
        self.faults = Faults()
        self.webhooks = Webhooks(self.store)
        self.on_reply: Callable[[Exchange, Response], None] | None = None
        """Called with every vendor's answer, for tests."""
        self._stripe_api = Api(self.store)
        self._base_url = ""
        self._ticker: asyncio.Task[None] | None = None
        self._voice = Voice(self.store)
        admin = Admin(self.store, self.faults, self.webhooks, self._voice, self.pass_time)
        verbs = ["GET", "POST", "DELETE", "PUT", "PATCH"]
        self.app = Starlette(
            routes=[
                Route("/stripe/{path:path}", self._stripe, methods=verbs),
                Route("/twilio/api/{path:path}", self._twilio, methods=verbs),
                Route("/twilio/trunking/{path:path}", self._twilio, methods=verbs),
                Route("/elevenlabs/{path:path}", self._elevenlabs, methods=verbs),
                *admin.routes(),
            ]
        )
        speech = "/elevenlabs/v1/text-to-speech/{path:path}"
        self.speech_app = Starlette(routes=[Route(speech, self._elevenlabs, methods=["POST"])])
        """Speech alone, for agents in pods: a client's code must not get at faults and ledger."""

    def start(self, base_url: str) -> None:
        """Begin with what is due: renewals, deliveries of a former process."""
        self._base_url = base_url
        self.webhooks.poke()
        self._ticker = asyncio.create_task(self._tick())

    async def close(self) -> None:
        """Stop deliveries and close the file."""
        if self._ticker is not None:
            self._ticker.cancel()
            with suppress(asyncio.CancelledError):
                await self._ticker
        await self.webhooks.close()
        await self._voice.close()
        self.store.close()

    async def _tick(self) -> None:
        while True:
            self.pass_time()
            await asyncio.sleep(_TICK)

    def pass_time(self) -> None:
        """Let happen what has fallen due."""
        kinds = ("subscription", "invoice", "checkout.session")
        accounts = {name for kind in kinds for name in self.store.accounts("stripe", kind)}
        with self.store.transaction():
            self.store.forget_old_answers()
            for account in sorted(accounts):
                pass_time(Context(self.store, account, {}, self._base_url))
        self.webhooks.poke()

    # --- vendors ------------------------------------------------------------------------------

    async def _stripe(self, request: Request) -> Response:
        self._base_url = str(request.base_url).rstrip("/")
        pairs = await _pairs(request)
        return await self._answer(
            request, StripeExchange(self._stripe_api, request, pairs, self._base_url)
        )

    async def _twilio(self, request: Request) -> Response:
        return await self._answer(
            request, TwilioExchange(self.store, request, await _pairs(request))
        )

    async def _elevenlabs(self, request: Request) -> Response:
        return await self._answer(request, await ElevenLabsExchange.of(self.store, request))

    async def _answer(self, request: Request, exchange: Exchange) -> Response:
        """Carry the request out with the fault that meets it."""
        rule = self.faults.match(exchange.vendor, request.method, exchange.path)
        if rule is not None and rule.kind == "delay" and exchange.begin() is None:
            try:
                await asyncio.sleep(rule.seconds)
            finally:
                exchange.finish()
        response = self._booked(exchange, rule)
        if rule is None or response is None:
            return response or await cut(request, reset=rule is not None and rule.kind == "reset")
        if rule.kind == "hang":
            await asyncio.sleep(rule.seconds)
        elif rule.kind == "pause":
            await self._hold(rule, exchange, response)
        return response

    def _booked(self, exchange: Exchange, rule: Rule | None) -> Response | None:
        """What is answered, with all that it changes written; None: the line is cut."""
        with self.store.transaction():
            response = self._carried_out(exchange, rule)
            if self.on_reply is not None and response is not None:
                self.on_reply(exchange, response)
            if rule is not None and rule.kind in ("drop", "reset"):
                response = None
            self._log(exchange, response.status_code if response else _NO_REPLY, rule)
        self.webhooks.poke()
        return response

    def _carried_out(self, exchange: Exchange, rule: Rule | None) -> Response | None:
        if rule is not None and rule.kind == "reset":
            return None
        if rule is not None and rule.refuses:
            return exchange.refuse(rule, done=False)
        response = exchange.begin()
        if response is None:
            try:
                with self.store.transaction():
                    response = exchange.execute()
            except Exception:
                # A mistake of ours must not pass for a vendor's failure that is to be repeated.
                logger.exception("%s %s", exchange.method, exchange.path)
                response = Response(json.dumps({"error": {"message": "sandbox failed"}}), 501)
            finally:
                exchange.finish()
        if rule is not None and rule.kind == "error":
            return exchange.refuse(rule, done=True)
        return response

    def _log(self, exchange: Exchange, status: int, rule: Rule | None) -> None:
        self.store.log_request(
            vendor=exchange.vendor,
            method=exchange.method,
            path=exchange.path,
            idempotency_key=exchange.key,
            parameters=json.dumps({name: _digest(value) for name, value in exchange.pairs}),
            status=status,
            fault=rule.kind if rule else None,
        )

    async def _hold(self, rule: Rule, exchange: Exchange, response: Response) -> None:
        entry: Document = {
            "rule": rule.id, "vendor": exchange.vendor, "method": exchange.method,
            "path": exchange.path, "status": response.status_code,
        }  # fmt: skip
        self.faults.waiting.append(entry)
        try:
            await rule.released.wait()
        finally:
            self.faults.waiting.remove(entry)


async def _pairs(request: Request) -> Pairs:
    pairs = list(request.query_params.multi_items())
    if request.method != "GET":
        form = await request.form()
        pairs += [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
    return pairs


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()[:12]


@asynccontextmanager
async def serve(
    data: Path | None = None, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[tuple[Sandbox, str]]:
    """Run a sandbox inside this process; the sandbox and its base address."""
    sandbox = Sandbox(data)
    server = uvicorn.Server(config(sandbox.app, host, port))
    sock = socket.create_server((host, port))
    url = f"http://{host}:{sock.getsockname()[1]}"
    sandbox.start(url)
    task = asyncio.create_task(server.serve(sockets=[sock]))
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    try:
        yield sandbox, url
    finally:
        sandbox.faults.clear()
        server.should_exit = True
        await task
        await sandbox.close()


def config(app: Starlette, host: str, port: int) -> uvicorn.Config:
    """uvicorn's configuration: no access log (the sandbox keeps its own), our protocol."""
    return uvicorn.Config(
        app, host=host, port=port, http=Protocol, access_log=False, log_level="warning",
        timeout_graceful_shutdown=2, lifespan="off",
    )  # fmt: skip
