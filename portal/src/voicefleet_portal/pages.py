"""The pages: clients, a client's calls, a call. Templates escape everything; a caller's words are
a stranger's."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import jinja2
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from voicefleet_api.calls import CallEvent, CallRecord
from voicefleet_api.quality import diagnose
from voicefleet_portal.api import event_stream
from voicefleet_portal.store import SIDES
from voicefleet_portal.views import Query, Views

_PAGE = 30


def _clock(seconds: float) -> str:
    """3725 -> 1:02:05, 65.4 -> 1:05, 9 -> 0:09."""
    return re.sub(r"^0:0?", "", str(timedelta(seconds=round(seconds))))


def _moment(moment: datetime, zone: str | None = None) -> str:
    """Where the business is, and what it is called there; as it stands without `zone`."""
    if zone is not None:
        moment = moment.astimezone(ZoneInfo(zone))
    day, hour = f"{moment:%a} {moment.day} {moment:%b %Y},", f"{moment:%H:%M}"
    if zone is not None:
        hour += f" {moment:%Z}"
    # A line breaks between them, or not at all.
    return " ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in (day, hour))


def _spaced(name: str) -> str:
    """newPatient -> New patient, HungUp -> Hung up, caller left -> Caller left."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).capitalize()


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"


def _caller_name(call: CallRecord) -> str | None:
    """As booked, or as left with a message."""
    names = [item.name for item in call.appointments] + [item.name for item in call.messages]
    return next(filter(None, names), None)


@cache
def templates() -> jinja2.Environment:
    """Ours; what they are given is escaped."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        clock=_clock, moment=_moment, spaced=_spaced, days=_days, caller_name=_caller_name
    )
    return made


def routes(views: Views) -> list[Route]:
    """For the application."""

    def page(name: str, status: int = 200, **values: object) -> HTMLResponse:
        return HTMLResponse(templates().get_template(name).render(values), status)

    async def clients(request: Request) -> Response:
        found, trouble = await views.clients()
        query = Query.of(request, 10)
        by_id = {client.client_id: client for client in found}
        calls = await views.calls([*by_id], query)
        return page(
            "clients.html",
            clients=found,
            trouble=trouble,
            live=[c for c in views.live.calls() if c.client_id in by_id],
            calls=calls,
            by_id=by_id,
        )

    async def client(request: Request) -> Response:
        found = await views.client(request.path_params["client"])
        query = Query.of(request, _PAGE)
        calls = await views.calls([found.client_id], query)
        return page(
            "client.html",
            client=found,
            live=views.live.calls(found.client_id),
            calls=calls,
            query=query,
            more=len(calls) == query.limit,
        )

    async def call(request: Request) -> Response:
        found = await views.client(request.path_params["client"])
        call_id = request.path_params["call"]
        under_way = views.live.get(found.client_id, call_id)
        if under_way is not None:
            return page("live.html", client=found, call=under_way, first=under_way.events[0])
        try:
            record = await views.call(found.client_id, call_id)
        except HTTPException:
            if not views.live.over(found.client_id, call_id):
                raise
            return page("over.html", client=found)
        sides = [s for s in SIDES if views.store.audio(found.client_id, call_id, s).exists()]
        return page("call.html", client=found, call=record, sides=sides, trouble=diagnose(record))

    async def live(request: Request) -> Response:
        found = await views.client(request.path_params["client"])
        call_id = request.path_params["call"]
        turn = templates().get_template("turn.html")

        async def turns() -> AsyncIterator[str | None]:
            if views.live.get(found.client_id, call_id) is None:
                yield None
            async for event in views.live.watch(found.client_id):
                if event.call_id == call_id:
                    yield turn.render(event=event)
                    if _over(event):
                        yield None

        return event_stream(turns())

    async def audio(request: Request) -> Response:
        found = await views.client(request.path_params["client"])
        side = request.path_params["side"]
        if side not in SIDES:
            raise HTTPException(404, "no such sound")
        file = views.store.audio(found.client_id, request.path_params["call"], side)
        if not file.exists():
            raise HTTPException(404, "no such sound")
        return FileResponse(file, media_type="audio/wav")

    return [
        Route("/", clients, name="clients"),
        Route("/clients/{client}", client),
        Route("/clients/{client}/calls/{call}", call),
        Route("/clients/{client}/calls/{call}/turns", live),
        Route("/clients/{client}/calls/{call}/{side}.wav", audio),
    ]


def _over(event: CallEvent) -> bool:
    return event.change is not None and event.change.state == "Ended"
