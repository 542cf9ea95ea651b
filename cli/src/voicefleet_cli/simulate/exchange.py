"""A client of the platform: its number, the way that the carrier takes there, and its portal."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx

from voicefleet_api.calls import CallEvent, CallRecord
from voicefleet_cli.call import find_route
from voicefleet_cli.calls import Portal
from voicefleet_cli.console import fail
from voicefleet_cli.simulate.dial import Exchange, Live
from voicefleet_cli.telephone.signalling import NotAnswered
from voicefleet_infra.platform import Platform

_RECORD_SECONDS = 60
"""For the record of a call to reach the portal."""


@contextlib.asynccontextmanager
async def exchange(
    platform: Platform, number: str, name: str, namespace: str
) -> AsyncIterator[Exchange]:
    """While it is open, the client's calls are followed. Ends the command where there is none."""
    if find_route(platform, number)["secure"]:
        fail(f"calls to {number} are encrypted, which a simulated caller's are not; use --text")
    client_id = Portal.of(platform, None).client_id(name, namespace)
    path = f"/api/clients/{client_id}"
    async with httpx.AsyncClient(
        base_url=platform.portal_url, timeout=60, trust_env=False
    ) as portal:
        live = Live()
        following = asyncio.create_task(_follow(portal, f"{path}/live", live))

        async def record(call: str) -> CallRecord:
            for _ in range(_RECORD_SECONDS):
                answer = await portal.get(f"{path}/calls/{call}")
                if answer.is_success:
                    return CallRecord.model_validate(answer.json())
                await asyncio.sleep(1)
            raise NotAnswered("the portal has no record of the call")

        try:
            yield Exchange(platform.address, platform.port("carrier"), number, live, record)
        finally:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following


async def _follow(portal: httpx.AsyncClient, path: str, live: Live) -> None:
    """Server-sent events (HTML standard, 9.2), each on one line; again where they break off."""
    while True:
        with contextlib.suppress(httpx.HTTPError):
            async with portal.stream("GET", path) as answer:
                async for line in answer.aiter_lines():
                    if line.startswith("data: "):
                        live.tell(CallEvent.model_validate_json(line.removeprefix("data: ")))
        await asyncio.sleep(1)
