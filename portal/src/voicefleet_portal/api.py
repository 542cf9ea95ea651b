"""The pages' content as JSON, for programs such as `voicefleet calls`.

GET /api/clients
GET /api/calls, /api/clients/{client}/calls     newest first; q, before, limit
GET /api/clients/{client}/calls/{call}
GET /api/clients/{client}/live                  server-sent events: each a `CallEvent`
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from voicefleet_portal.views import Query, Views

KEEP_ALIVE_SECONDS = 15.0


async def server_sent(messages: AsyncIterator[str | None]) -> AsyncIterator[str]:
    """Text as server-sent events (HTML standard, 9.2), None as `end`; comments in a silence."""
    upcoming = asyncio.ensure_future(anext(messages, ...))
    try:
        yield ": \n\n"
        while True:
            done, _ = await asyncio.wait({upcoming}, timeout=KEEP_ALIVE_SECONDS)
            if not done:
                yield ": \n\n"
                continue
            message = upcoming.result()
            if message is ... or message is None:
                yield "event: end\ndata:\n\n"
                return
            yield "".join(f"data: {line}\n" for line in message.splitlines()) + "\n"
            upcoming = asyncio.ensure_future(anext(messages, ...))
    finally:
        upcoming.cancel()
        await asyncio.wait({upcoming})


def event_stream(messages: AsyncIterator[str | None]) -> StreamingResponse:
    """The answer to an EventSource."""
    return StreamingResponse(
        server_sent(messages),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store"},
    )


def routes(views: Views) -> list[Route]:
    """For the application."""

    async def clients(_: Request) -> Response:
        found, trouble = await views.clients()
        items = []
        for client in found:
            fields = asdict(client)
            fields["clientID"] = fields.pop("client_id")
            fields["whyNot"] = fields.pop("why_not")
            fields["timeZone"] = fields.pop("time_zone")
            fields["retention"] = client.retention.to_json() if client.retention else None
            items.append(fields)
        return JSONResponse({"items": items, "trouble": trouble or None})

    async def all_calls(request: Request) -> Response:
        found, _ = await views.clients()
        query = Query.of(request, 50)
        records = await views.calls([client.client_id for client in found], query)
        return JSONResponse({"items": [record.to_json() for record in records]})

    async def calls(request: Request) -> Response:
        client = await views.client(request.path_params["client"])
        records = await views.calls([client.client_id], Query.of(request, 50))
        return JSONResponse({"items": [record.to_json() for record in records]})

    async def call(request: Request) -> Response:
        client = await views.client(request.path_params["client"])
        record = await views.call(client.client_id, request.path_params["call"])
        return JSONResponse(record.to_json())

    async def live(request: Request) -> Response:
        client = await views.client(request.path_params["client"])

        async def events() -> AsyncIterator[str | None]:
            async for event in views.live.watch(client.client_id):
                yield event.model_dump_json(by_alias=True, exclude_none=True)

        return event_stream(events())

    return [
        Route("/api/clients", clients),
        Route("/api/calls", all_calls),
        Route("/api/clients/{client}/calls", calls),
        Route("/api/clients/{client}/calls/{call}", call),
        Route("/api/clients/{client}/live", live),
    ]
