"""One port for all vendors: routing, faults, the request log."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from voicefleet_sandbox.admin import Admin
from voicefleet_sandbox.faults import Faults, Rule
from voicefleet_sandbox.store import Document, Store, new_id
from voicefleet_sandbox.stripe import api as stripe_api
from voicefleet_sandbox.stripe.wire import StripeError, fingerprint, parse_form
from voicefleet_sandbox.twilio import api as twilio_api
from voicefleet_sandbox.twilio.wire import TwilioError
from voicefleet_sandbox.webhooks import Webhooks

_TRANSPORT = "voicefleet.transport"


class _Protocol(H11Protocol):
    """uvicorn's protocol, which lets the application close the connection without a reply."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        inner = self.app

        async def app(scope: Any, receive: Any, send: Any) -> None:
            scope.setdefault("extensions", {})[_TRANSPORT] = self.transport
            await inner(scope, receive, send)

        self.app = app


async def _cut(request: Request, *, reset: bool) -> Response:
    """Close the connection; the response that is returned reaches nobody."""
    transport = request.scope["extensions"][_TRANSPORT]
    if reset:
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    await asyncio.sleep(0.01)
    return Response()


class Sandbox:
    """The application with its state."""

    def __init__(self, data: Path | None) -> None:
        self.store = Store(data)
        self.faults = Faults()
        self.webhooks = Webhooks(self.store)
        admin = Admin(self.store, self.faults, self.webhooks)
        verbs = ["GET", "POST", "DELETE", "PUT", "PATCH"]
        self.app = Starlette(
            routes=[
                *admin.routes(),
                Route("/stripe/{path:path}", self._stripe, methods=verbs),
                Route("/twilio/api/{path:path}", self._twilio, methods=verbs),
                Route("/twilio/trunking/{path:path}", self._twilio, methods=verbs),
            ]
        )

    async def close(self) -> None:
        """Stop deliveries and close the file."""
        await self.webhooks.close()
        self.store.close()

    # --- vendors ------------------------------------------------------------------------------

    async def _stripe(self, request: Request) -> Response:
        path = "/" + request.path_params["path"]
        pairs = [*request.query_params.multi_items(), *await _form(request)]
        params = parse_form(pairs)
        key = request.headers.get("idempotency-key")
        common = {"Request-Id": new_id("req_", 14), "Content-Type": "application/json"}
        known: list[str] = []

        def execute() -> Response:
            try:
                account = stripe_api.authenticate(request.headers.get("authorization"))
            except StripeError as error:
                return Response(json.dumps(error.body), error.status, common)
            known.append(account)
            base_url = str(request.base_url).rstrip("/")
            status, body, headers, events = stripe_api.handle(
                self.store, account, base_url, request.method, path, dict(params), key
            )
            self.webhooks.deliver(account, events)
            return Response(body, status, {**common, **headers})

        def refuse(rule: Rule, done: bool) -> Response:
            if rule.kind == "throttle":
                error = StripeError("Request rate limit exceeded.", status=429, code="rate_limit")
                headers = {**common, "Retry-After": f"{rule.retry_after:g}"}
                return Response(json.dumps(error.body), 429, headers)
            error = StripeError("An unknown error occurred", status=rule.status, type_="api_error")
            if done and key is not None and known:
                # Stripe keeps its own failures under the key, too.
                print_ = fingerprint(request.method, path, params)
                with self.store.transaction():
                    self.store.remember(known[0], key, print_, rule.status, json.dumps(error.body))
            return Response(json.dumps(error.body), rule.status, common)

        return await self._answer("stripe", path, pairs, key, request, execute, refuse)

    async def _twilio(self, request: Request) -> Response:
        path = "/" + request.path_params["path"]
        pairs = [*request.query_params.multi_items(), *await _form(request)]
        params = dict(pairs)
        common = {"Content-Type": "application/json", "Twilio-Request-Id": new_id("RQ", 32)}

        def execute() -> Response:
            try:
                user = twilio_api.authenticate(request.headers.get("authorization"))
                status, body = twilio_api.handle(self.store, user, request.method, path, params)
            except TwilioError as error:
                return Response(json.dumps(error.body), error.status, common)
            return Response(body, status, common)

        def refuse(rule: Rule, done: bool) -> Response:
            if rule.kind == "throttle":
                body = TwilioError(429, 20429, "Too many requests").body
                headers = {**common, "Retry-After": f"{rule.retry_after:g}"}
                return Response(json.dumps(body), 429, headers)
            body = TwilioError(rule.status, 20500, "Internal Server Error").body
            return Response(json.dumps(body), rule.status, common)

        return await self._answer("twilio", path, pairs, None, request, execute, refuse)

    # --- faults -------------------------------------------------------------------------------

    async def _answer(
        self,
        vendor: str,
        path: str,
        pairs: list[tuple[str, str]],
        key: str | None,
        request: Request,
        execute: Callable[[], Response],
        refuse: Callable[[Rule, bool], Response],
    ) -> Response:
        """Carry the request out with the fault that meets it, and log it."""
        rule = self.faults.match(vendor, request.method, path)
        response = await self._with_fault(rule, vendor, path, request, execute, refuse)
        self.store.log_request(
            vendor=vendor,
            method=request.method,
            path=path,
            idempotency_key=key,
            parameters=json.dumps({name: _digest(value) for name, value in pairs}),
            status=response.status_code,
            fault=rule.kind if rule else None,
        )
        return response

    async def _with_fault(
        self,
        rule: Rule | None,
        vendor: str,
        path: str,
        request: Request,
        execute: Callable[[], Response],
        refuse: Callable[[Rule, bool], Response],
    ) -> Response:
        if rule is None:
            return execute()
        if rule.kind == "reset":
            return await _cut(request, reset=True)
        if rule.kind == "throttle" or (rule.kind == "error" and not rule.done):
            return refuse(rule, False)
        if rule.kind == "delay":
            await asyncio.sleep(rule.seconds)
        response = execute()
        if rule.kind == "error":
            return refuse(rule, True)
        if rule.kind == "drop":
            return await _cut(request, reset=False)
        if rule.kind == "hang":
            await asyncio.sleep(rule.seconds)
        if rule.kind == "pause":
            await self._hold(rule, vendor, path, request, response)
        return response

    async def _hold(
        self, rule: Rule, vendor: str, path: str, request: Request, response: Response
    ) -> None:
        entry: Document = {
            "rule": rule.id, "vendor": vendor, "method": request.method, "path": path,
            "status": response.status_code,
        }  # fmt: skip
        self.faults.waiting.append(entry)
        try:
            await rule.released.wait()
        finally:
            self.faults.waiting.remove(entry)


async def _form(request: Request) -> list[tuple[str, str]]:
    if request.method == "GET":
        return []
    form = await request.form()
    return [(name, value) for name, value in form.multi_items() if isinstance(value, str)]


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()[:12]


@asynccontextmanager
async def serve(
    data: Path | None = None, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[tuple[Sandbox, str]]:
    """Run a sandbox inside this process; the sandbox and its base address."""
    sandbox = Sandbox(data)
    server = uvicorn.Server(config(sandbox, host, port))
    sock = socket.create_server((host, port))
    task = asyncio.create_task(server.serve(sockets=[sock]))
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    try:
        yield sandbox, f"http://{host}:{sock.getsockname()[1]}"
    finally:
        sandbox.faults.clear()
        server.should_exit = True
        await task
        await sandbox.close()


def config(sandbox: Sandbox, host: str, port: int) -> uvicorn.Config:
    """uvicorn's configuration: no access log (the sandbox keeps its own), our protocol."""
    return uvicorn.Config(
        sandbox.app, host=host, port=port, http=_Protocol, access_log=False, log_level="warning",
        timeout_graceful_shutdown=2, lifespan="off",
    )  # fmt: skip
