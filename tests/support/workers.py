"""A client's worker as far as dispatch goes: it registers, is asked, notes the call, takes none.

LiveKit asks the worker whose name the rule has, so what it is asked for is what a call reached.
The protocol: https://github.com/livekit/protocol (livekit_agent.proto).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import aiohttp
from livekit import api
from livekit.protocol import agent

from voicefleet_infra import services
from voicefleet_infra.platform import Platform


@dataclass
class Worker:
    """Registered under one name."""

    name: str
    asked: list[tuple[str, float]] = field(default_factory=list)
    """Room, and when (`time.time()`)."""

    async def run(self, platform: Platform, registered: asyncio.Event) -> None:
        """Answer LiveKit until cancelled."""
        token = api.AccessToken(*services.livekit_keys(platform))
        token = token.with_grants(api.VideoGrants(agent=True))
        url = f"ws://127.0.0.1:{platform.port('livekit')}/agent"
        headers = {"Authorization": f"Bearer {token.to_jwt()}"}
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(url, headers=headers, heartbeat=10) as line,
        ):
            hello = agent.WorkerMessage()
            hello.register.type = agent.JT_ROOM
            hello.register.agent_name = self.name
            await line.send_bytes(hello.SerializeToString())
            async for frame in line:
                said = agent.ServerMessage.FromString(frame.data)
                if said.HasField("register"):
                    registered.set()
                if said.HasField("availability"):
                    self.asked.append((said.availability.job.room.name, time.time()))
                    answer = agent.WorkerMessage()
                    answer.availability.job_id = said.availability.job.id
                    await line.send_bytes(answer.SerializeToString())


@asynccontextmanager
async def at_work(platform: Platform, *names: str) -> AsyncIterator[list[Worker]]:
    """A worker of each name, registered with LiveKit while this lasts."""
    workers = [Worker(name) for name in names]
    ready = [asyncio.Event() for _ in workers]
    tasks = [
        asyncio.create_task(worker.run(platform, event))
        for worker, event in zip(workers, ready, strict=True)
    ]
    try:
        async with asyncio.timeout(90):
            for event in ready:
                await event.wait()
        yield workers
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
