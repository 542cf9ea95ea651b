"""What a worker says and is told (https://github.com/livekit/protocol, livekit_agent.proto)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp
from aiohttp import WSMsgType, web
from livekit.protocol.agent import ServerMessage, WorkerMessage

from voicefleet_gateway.operations import check_name
from voicefleet_gateway.refusals import Refused, check_fields, parse

# Not `type`, `namespace` and `deployment`: with them a worker would be asked for other calls.
_REGISTER = ("agent_name", "version", "ping_interval", "allowed_permissions")
# Not `simulate_job`: LiveKit would answer with a token for whatever room it names.
_PASSED = ("availability", "update_worker", "update_job", "ping", "migrate_job")


def from_worker(client: str, data: bytes) -> bytes:
    """What LiveKit is told; raises `Refused` where it is not the client's to say."""
    message = parse(WorkerMessage, data)
    kind = message.WhichOneof("message")
    if kind == "register":
        check_fields(message.register, _REGISTER)
        check_name(client, message.register.agent_name)
    elif kind not in _PASSED:
        raise Refused(f"{kind or 'an unknown message'} is not for agents")
    return message.SerializeToString()


def to_worker(data: bytes, room_url: str, room_token: Callable[[str], str]) -> bytes:
    """What the worker is told: with a job also where LiveKit is, which else would be here.

    `room_token` makes of a job's token what the worker gets.
    """
    message = ServerMessage.FromString(data)
    if not message.HasField("assignment"):
        return data
    job = message.assignment
    job.url, job.token = job.url or room_url, room_token(job.token)
    return message.SerializeToString()


async def relay(
    worker: web.WebSocketResponse,
    livekit: aiohttp.ClientWebSocketResponse,
    up: Callable[[bytes], bytes],
    down: Callable[[bytes], bytes],
) -> None:
    """Until one of the two has gone; raises what `up` raises."""

    async def from_livekit() -> None:
        async for frame in livekit:
            if frame.type == WSMsgType.BINARY:
                await worker.send_bytes(down(frame.data))

    async def from_worker() -> None:
        async for frame in worker:
            if frame.type == WSMsgType.TEXT:
                raise Refused("want binary messages", "malformed")
            if frame.type == WSMsgType.BINARY:
                await livekit.send_bytes(up(frame.data))

    ways = [asyncio.create_task(way()) for way in (from_livekit, from_worker)]
    try:
        ended, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ended:
            way.result()
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
