"""The operator's token is replaced while it runs, as a Pod's is by the kubelet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import kopf
import pytest
from aiohttp import web

from voicefleet_operator.kube import NAMESPACES, Kube, KubeError

pytestmark = pytest.mark.integration


@dataclass
class Server:
    """Takes one token; `turned_away` and `created` are requests."""

    token: str = "first"
    url: str = ""
    turned_away: int = 0
    created: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            self.turned_away += 1
            return web.json_response({"message": "Unauthorized"}, status=401)
        body = await request.json()
        self.created.append(body["metadata"]["name"])
        return web.json_response(body, status=201)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made, app = Server(), web.Application()
    app.router.add_post("/api/v1/namespaces", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = "http://{}:{}".format(*runner.addresses[0])
    yield made
    await runner.cleanup()


async def test_a_replaced_token_is_read_anew_and_nothing_is_sent_twice(server: Server) -> None:
    file = "first"
    async with Kube(lambda: kopf.ConnectionInfo(server=server.url, token=file)) as kube:
        await kube.create(NAMESPACES, {"metadata": {"name": "before"}})
        server.token = file = "second"
        await kube.create(NAMESPACES, {"metadata": {"name": "after"}})
    assert server.created == ["before", "after"]
    assert server.turned_away == 1


async def test_a_token_that_is_refused_for_good_is_said(server: Server) -> None:
    async with Kube(lambda: kopf.ConnectionInfo(server=server.url, token="wrong")) as kube:
        with pytest.raises(KubeError, match="401: Unauthorized"):
            await kube.create(NAMESPACES, {"metadata": {"name": "never"}})
    assert server.created == []
