from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from voicefleet_operator.drivers.errors import Unavailable
from voicefleet_operator.drivers.runtime import probing
from voicefleet_operator.drivers.runtime.probing import Prober, Target, is_registered

pytestmark = pytest.mark.integration


class Page:
    """An agent's health page."""

    def __init__(self) -> None:
        self.status = 200
        self.agent_name = "a"

    async def __aenter__(self) -> Page:
        app = web.Application()
        app.router.add_get("/", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, _: web.Request) -> web.Response:
        return web.json_response({"agentName": self.agent_name}, status=self.status)


async def test_registered_means_200_under_the_right_name() -> None:
    async with Page() as page:
        for status, name, registered in ((200, "a", True), (503, "a", False), (200, "b", False)):
            page.status, page.agent_name = status, name
            prober = Prober()
            prober.retarget({"vc": Target(page.port, "a")})
            assert is_registered((await prober.health())["vc"]) == registered
    prober = Prober()
    prober.retarget({"vc": Target(page.port, "a")})
    assert await prober.health() == {"vc": None}


async def test_changes_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "INTERVAL", 0.02)
    changes: asyncio.Queue[str] = asyncio.Queue()
    prober = Prober()

    async def relist() -> None:
        raise Unavailable("PodmanUnreachable", "not now")

    async with Page() as page:
        prober.retarget({"vc": Target(page.port, "a")})
        watch = asyncio.create_task(prober.watch(relist, changes.put_nowait))
        for status in (200, 503, 200):
            page.status = status
            assert await asyncio.wait_for(changes.get(), 60) == "vc"
        await asyncio.sleep(0.2)
        assert changes.empty()
        prober.retarget({})
        assert await asyncio.wait_for(changes.get(), 60) == "vc"
        watch.cancel()
