"""What a server's answer must not be taken for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from voicefleet_agent.caldav import collection as module
from voicefleet_agent.caldav.collection import Collection, Unavailable

pytestmark = pytest.mark.integration

EVENT = (
    "<d:response><d:href>/cal/caf%C3%A9%20a.ics</d:href><d:propstat><d:prop>"
    "<d:getetag>{etag}</d:getetag></d:prop></d:propstat></d:response>"
)
CUT_SHORT = (
    "<d:response><d:href>/cal/</d:href>"
    "<d:status>HTTP/1.1 507 Insufficient Storage</d:status></d:response>"
)
GONE = (
    "<d:response><d:href>/cal/b.ics</d:href>"
    "<d:status>HTTP/1.1 404 Not Found</d:status></d:response>"
)
BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'


def multistatus(*parts: str, head: str = "") -> str:
    return f'{head}<d:multistatus xmlns:d="DAV:">{"".join(parts)}</d:multistatus>'


@asynccontextmanager
async def serving(body: str, status: int) -> AsyncIterator[Collection]:
    async def answer(request: web.Request) -> web.Response:
        assert request.headers["Authorization"].startswith("Basic ")
        return web.Response(status=status, text=body, headers={"Location": "/elsewhere/"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        async with Collection(f"http://{host}:{port}/cal", "me", "pw") as collection:
            yield collection
    finally:
        await runner.cleanup()


async def test_events_are_named_by_their_decoded_path() -> None:
    body = multistatus(EVENT.format(etag='W/"1"'), GONE)
    async with serving(body, 207) as collection:
        assert await collection.etags() == {"/cal/café a.ics": '"1"'}


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (207, multistatus(EVENT.format(etag='"1"'), CUT_SHORT), "left events out"),
        (207, "<html>", "no XML"),
        (207, multistatus(head=BOMB), "no XML"),
        (207, multistatus("x" * 2000), "too long"),
        (200, "hello", "200"),
        (301, "", "301"),
        (401, "", "401"),
        (503, "", "503"),
    ],
)
async def test_an_unfit_answer_is_no_empty_calendar(
    monkeypatch: pytest.MonkeyPatch, status: int, body: str, words: str
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    async with serving(body, status) as collection:
        with pytest.raises(Unavailable, match=words):
            await collection.etags()


async def test_a_server_that_is_away_is_left() -> None:
    with pytest.raises(Unavailable, match="not reached"):
        async with Collection("http://127.0.0.1:9/cal/", "me", "pw") as collection:
            await collection.etags()
