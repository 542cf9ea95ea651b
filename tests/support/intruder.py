"""What a client's agent would try at LiveKit once it is broken into; also a program, for a pod.

    intruder.py URL OWN NEIGHBOUR TRUNK

`URL` is LiveKit's or the agent gateway's, `OWN` and `NEIGHBOUR` are client IDs, `TRUNK` is the
neighbour's way out. Prints JSON: by attempt how it was refused, or null where it was not. The key
is in the environment, or in /secrets.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
from livekit import api
from livekit.protocol import agent

KEY = ("LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")
_PATIENCE = 20.0


def room_of(client_id: str) -> str:
    return f"call-{client_id}-_+15005550006_x"


def signed(grants: api.VideoGrants) -> dict[str, str]:
    token = api.AccessToken(*(os.environ[name] for name in KEY)).with_identity("intruder")
    return {"Authorization": f"Bearer {token.with_grants(grants).to_jwt()}"}


async def register(url: str, *messages: agent.WorkerMessage) -> str | None:
    """As a worker that says this, each after an answer to the one before; how it was refused."""
    headers = signed(api.VideoGrants(agent=True))
    async with aiohttp.ClientSession() as session:
        try:
            async with session.ws_connect(f"{url}/agent", headers=headers) as line:
                for message in messages:
                    await line.send_bytes(message.SerializeToString())
                    frame = await line.receive(_PATIENCE)
                    if frame.type != aiohttp.WSMsgType.BINARY:
                        return f"{frame.data} {frame.extra}"
        except aiohttp.WSServerHandshakeError as error:
            return f"{error.status} {error.message}"
    return None


async def join(url: str, room: str) -> str | None:
    """Whether LiveKit would let us into that room."""
    headers = signed(api.VideoGrants(room_join=True, room=room))
    address = f"{url.replace('ws', 'http', 1)}/rtc/validate"
    async with aiohttp.ClientSession() as session, session.get(address, headers=headers) as answer:
        return None if answer.ok else f"{answer.status} {await answer.text()}"


def named(name: str) -> agent.WorkerMessage:
    return agent.WorkerMessage(register=agent.RegisterWorkerRequest(agent_name=name))


def attempts(
    lk: api.LiveKitAPI, url: str, own: str, neighbour: str, trunk: str
) -> dict[str, Callable[[], Awaitable[Any]]]:
    """What is tried, in this order."""
    room, sip, dispatch = lk.room, lk.sip, lk.agent_dispatch
    mine, theirs = room_of(own), room_of(neighbour)
    caller = {"room": theirs, "identity": "caller"}
    job = agent.SimulateJobRequest(room=api.Room(name=theirs))
    out = {"room_name": mine, "sip_call_to": "+14155550199", "participant_identity": "person"}
    elsewhere = api.SIPOutboundConfig(hostname="sip.example")
    rule = api.SIPDispatchRule(dispatch_rule_direct=api.SIPDispatchRuleDirect(room_name=mine))
    return {
        "register as the neighbour": lambda: register(url, named(f"voicefleet-{neighbour}")),
        "register for every room": lambda: register(url, named("")),
        "be given a job in the neighbour's room": lambda: register(
            url, named(f"voicefleet-{own}"), agent.WorkerMessage(simulate_job=job)
        ),
        "join the neighbour's room": lambda: join(url, theirs),
        "list all rooms": lambda: room.list_rooms(api.ListRoomsRequest()),
        "make a room": lambda: room.create_room(api.CreateRoomRequest(name=mine)),
        "list who is in the neighbour's room": lambda: room.list_participants(
            api.ListParticipantsRequest(room=theirs)
        ),
        "send into the neighbour's room": lambda: room.send_data(
            api.SendDataRequest(room=theirs, data=b"x", kind=api.DataPacket.RELIABLE)
        ),
        "throw the neighbour's caller out": lambda: room.remove_participant(
            api.RoomParticipantIdentity(**caller)
        ),
        "make the neighbour's caller deaf": lambda: room.update_subscriptions(
            api.UpdateSubscriptionsRequest(**caller, track_sids=["TR_x"])
        ),
        "have the neighbour's caller called elsewhere": lambda: sip.transfer_sip_participant(
            api.TransferSIPParticipantRequest(
                room_name=theirs, participant_identity="caller", transfer_to="tel:+14155550199"
            )
        ),
        "send its own agent into the neighbour's room": lambda: dispatch.create_dispatch(
            api.CreateAgentDispatchRequest(agent_name=f"voicefleet-{own}", room=theirs)
        ),
        "send the neighbour's agent into a room of its own": lambda: dispatch.create_dispatch(
            api.CreateAgentDispatchRequest(agent_name=f"voicefleet-{neighbour}", room=mine)
        ),
        "list the neighbour's agents": lambda: dispatch.list_dispatch(theirs),
        "list trunks": lambda: sip.list_inbound_trunk(api.ListSIPInboundTrunkRequest()),
        "list ways out, with their passwords": lambda: sip.list_outbound_trunk(
            api.ListSIPOutboundTrunkRequest()
        ),
        "list whose calls go where": lambda: sip.list_dispatch_rule(
            api.ListSIPDispatchRuleRequest()
        ),
        "lead the neighbour's calls here": lambda: sip.create_dispatch_rule(
            api.CreateSIPDispatchRuleRequest(rule=rule, trunk_ids=["ST_x"])
        ),
        "call out over the neighbour's way": lambda: sip.create_sip_participant(
            api.CreateSIPParticipantRequest(sip_trunk_id=trunk, **out)
        ),
        "call out over a way of its own": lambda: sip.create_sip_participant(
            api.CreateSIPParticipantRequest(trunk=elsewhere, **out)
        ),
        "delete the neighbour's room": lambda: room.delete_room(api.DeleteRoomRequest(room=theirs)),
    }


async def tried(url: str, own: str, neighbour: str, trunk: str) -> dict[str, str | None]:
    """By attempt how it was refused: HTTP status or WebSocket's code first, then the words."""
    refusals: dict[str, str | None] = {}
    key = (os.environ[name] for name in KEY)
    async with api.LiveKitAPI(url.replace("ws", "http", 1), *key, failover=False) as lk:
        for name, attempt in attempts(lk, url, own, neighbour, trunk).items():
            try:
                answer = await attempt()
                refusals[name] = answer if isinstance(answer, str) else None
            except api.TwirpError as error:
                refusals[name] = f"{error.status} {error.code} {error.message}"
    return refusals


if __name__ == "__main__":
    for name in KEY:
        if (file := Path("/secrets", name)).is_file():
            os.environ[name] = file.read_text().strip()
    print(json.dumps(asyncio.run(tried(*sys.argv[1:]))))
