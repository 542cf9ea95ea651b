"""What clients' pods send: records, sound and live events (docs/architecture.md).

A token says whose call it is; a record that says otherwise is refused. 2xx is answered when what
was sent is on the disk. What was sent never reaches a log.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from voicefleet_api import tokens
from voicefleet_api.base import problems
from voicefleet_api.calls import CallEvent, CallRecord
from voicefleet_portal.live import Live
from voicefleet_portal.store import SIDES, BadName, Busy, Full, Store, TooLarge

logger = logging.getLogger("voicefleet.portal")
M = TypeVar("M", bound=BaseModel)
MAX_RECORD = 8 * 1024 * 1024
MAX_EVENT = 64 * 1024


def receiver(store: Store, live: Live, key: str, on_kept: Callable[[str], None]) -> Starlette:
    """The application behind `portal.sock`; `key` is the one that tokens are signed with.

    `on_kept` is told of whom a call was kept.
    """
    tokens.mint(key, tokens.PLATFORM)  # a bad key is better found now

    def client(request: Request) -> str:
        given = request.headers.getlist("authorization")
        try:
            if len(given) > 1:
                raise tokens.Unauthorized("there is more than one header Authorization")
            return tokens.bearer(key, given[0] if given else None)
        except tokens.Unauthorized as error:
            raise HTTPException(401, str(error), {"WWW-Authenticate": "Bearer"}) from None

    async def put_call(request: Request) -> Response:
        client_id = client(request)
        record = _parse(CallRecord, await _body(request, MAX_RECORD))
        if record.client_id != client_id:
            raise HTTPException(403, "clientID: not the client that the token names")
        _same_call(request, record.call_id)
        new = await run_in_threadpool(store.put, record)
        live.ended(client_id, record.call_id)
        on_kept(client_id)
        logger.info(
            "call kept",
            extra={"clientID": client_id, "callID": record.call_id, "new": new},
        )
        return JSONResponse({"callID": record.call_id})

    async def put_audio(request: Request) -> Response:
        client_id = client(request)
        side = request.path_params["side"]
        if side not in SIDES:
            raise HTTPException(404, f"{side}: the sides are {' and '.join(SIDES)}")
        call_id = request.path_params["call_id"]
        await store.put_audio(client_id, call_id, side, _chunks(request))
        return JSONResponse({"callID": call_id})

    async def post_event(request: Request) -> Response:
        client_id = client(request)
        event = _parse(CallEvent, await _body(request, MAX_EVENT))
        _same_call(request, event.call_id)
        live.tell(client_id, event)
        return Response(status_code=204)

    async def healthz(_: Request) -> Response:
        return JSONResponse({"service": "portal", "ready": True})

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/v1/calls/{call_id}", put_call, methods=["PUT"]),
            Route("/v1/calls/{call_id}/audio/{side}", put_audio, methods=["PUT"]),
            Route("/v1/calls/{call_id}/events", post_event, methods=["POST"]),
        ],
        exception_handlers={
            HTTPException: _said,
            BadName: lambda _, error: _error(400, str(error)),
            TooLarge: lambda _, error: _error(413, str(error)),
            Full: lambda _, __: _error(507, "the disk is full; nothing was kept, send it again"),
            Busy: lambda _, __: _error(503, "the client's calls are locked; send it again"),
            ClientDisconnect: lambda _, __: Response(status_code=400),
            Exception: _failed,
        },
    )


async def _body(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise HTTPException(413, f"the body is larger than {limit} bytes")
    return bytes(body)


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    async for chunk in request.stream():
        if chunk:
            yield chunk


def _parse(model: type[M], body: bytes) -> M:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise HTTPException(400, problems(error)) from None


def _same_call(request: Request, call_id: str) -> None:
    if request.path_params["call_id"] != call_id:
        raise HTTPException(400, "callID: not the one of the address")


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": {"message": message}}, status)


def _said(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = _error(error.status_code, error.detail)
    answer.headers.update(error.headers or {})
    return answer


def _failed(request: Request, error: Exception) -> Response:
    """Its words may have what a caller said: the log has the kind only."""
    logger.error("failed", extra={"error": type(error).__name__, "method": request.method})
    return _error(500, "the portal failed; its log says where")
