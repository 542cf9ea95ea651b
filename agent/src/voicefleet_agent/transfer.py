"""Connecting the caller with a person: by the carrier, or by a second call into the caller's room.

The carrier is asked by SIP REFER (RFC 3515) and has the caller from then on. A second call is ours
to the end; the person hears who calls and why before they and the caller hear each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal

import aiohttp
from google.protobuf.duration_pb2 import Duration
from livekit import api, rtc
from livekit.agents import JobContext

from voicefleet_agent.logs import LOGGER
from voicefleet_api.phonenumber import dialled

Reached = Literal["Connected", "Unanswered", "Refused"]
"""Refused: by whom we asked, so that another way may do."""

RING_SECONDS = 25
"""That the person's phone rings."""
PERSON = "person"
"""Identity of the second call in the room."""
_BEFORE_KEYS = "w" * 4
"""2 s, for a switchboard to be ready for keys (livekit/media-sdk, dtmf.go: half a second each)."""
# RFC 3261: Request Timeout, Temporarily Unavailable, Busy Here and Everywhere, Request Terminated.
_NOT_TAKEN = frozenset({408, 480, 486, 487, 600})
_TROUBLE = (api.ServerError, aiohttp.ClientError, OSError)

log = logging.getLogger(LOGGER)


async def refer(ctx: JobContext, caller: rtc.RemoteParticipant, number: str) -> Reached:
    """Have the carrier connect the caller with `number` (E.164); they hear it ring meanwhile."""
    try:
        answer = await ctx.api.sip.transfer_sip_participant(
            api.TransferSIPParticipantRequest(
                room_name=ctx.room.name,
                participant_identity=caller.identity,
                transfer_to=f"tel:{number}",
                play_dialtone=True,
                ringing_timeout=Duration(seconds=RING_SECONDS),
            )
        )
    except (*_TROUBLE, TimeoutError) as error:
        return _not_reached("Refer", error)
    return "Refused" if answer.status == api.SIPTransferStatus.STS_TRANSFER_FAILED else "Connected"


async def call(
    ctx: JobContext,
    caller: rtc.RemoteParticipant,
    left: asyncio.Task[bool],
    phone: str,
    trunk: str,
    tell: Callable[[], Awaitable[None]],
) -> Reached:
    """Call `phone` over that LiveKit trunk; returns when both talk. `left` ends with the caller.

    An extension is pressed once the phone is answered (RFC 4733), while the caller hears it ring.
    `tell` says to the person, whom alone it is heard by, what it is about.
    """
    room = ctx.room
    number, extension = dialled(phone)
    dialing = asyncio.create_task(
        ctx.api.sip.create_sip_participant(
            api.CreateSIPParticipantRequest(
                sip_trunk_id=trunk,
                sip_call_to=number,
                dtmf=_BEFORE_KEYS + extension if extension else "",
                room_name=room.name,
                participant_identity=PERSON,
                play_dialtone=True,
                wait_until_answered=True,
                ringing_timeout=Duration(seconds=RING_SECONDS),
            )
        )
    )
    connected = False
    try:
        await asyncio.wait({dialing, left}, return_when=asyncio.FIRST_COMPLETED)
        if left.done():
            return "Unanswered"
        await dialing
        async with _apart(ctx, caller):
            await tell()
        connected = PERSON in room.remote_participants
        return "Connected" if connected else "Unanswered"
    except (*_TROUBLE, TimeoutError) as error:
        return _not_reached("Call", error)
    finally:
        dialing.cancel()
        if not connected:
            with contextlib.suppress(*_TROUBLE):
                await ctx.api.room.remove_participant(
                    api.RoomParticipantIdentity(room=room.name, identity=PERSON)
                )


async def until_one_leaves(room: rtc.Room, caller: rtc.RemoteParticipant) -> None:
    """The two talk with each other; return when it is over."""
    over = asyncio.Event()
    room.on("disconnected", lambda *_: over.set())
    room.on("participant_disconnected", lambda *_: over.set())
    if {caller.identity, PERSON} <= room.remote_participants.keys():
        await over.wait()


@contextlib.asynccontextmanager
async def _apart(ctx: JobContext, caller: rtc.RemoteParticipant) -> AsyncIterator[None]:
    """Meanwhile caller and person do not hear each other, and only the person hears us."""
    room = ctx.room
    person = room.remote_participants.get(PERSON)
    ours = list(room.local_participant.track_publications)
    theirs = list(person.track_publications) if person is not None else []
    deaf = {caller.identity: [*theirs, *ours], PERSON: list(caller.track_publications)}

    async def hear(subscribe: bool) -> None:
        for identity in deaf.keys() & room.remote_participants.keys():
            await ctx.api.room.update_subscriptions(
                api.UpdateSubscriptionsRequest(
                    room=room.name,
                    identity=identity,
                    track_sids=deaf[identity],
                    subscribe=subscribe,
                )
            )

    await hear(False)
    try:
        yield
    finally:
        await hear(True)


def _not_reached(how: str, error: Exception) -> Reached:
    status = error.sip_status_code if isinstance(error, api.SipCallError) else None
    taken = isinstance(error, TimeoutError) or status in _NOT_TAKEN
    log.warning(
        "nobody was reached",
        extra={
            "action": "TransferFailed",
            "how": how,
            "error": type(error).__name__,
            "sipStatus": status,
        },
    )
    return "Unanswered" if taken else "Refused"
