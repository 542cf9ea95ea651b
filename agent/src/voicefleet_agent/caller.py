"""The caller in the room: when their call is up, what they say, and when they are gone."""

from __future__ import annotations

import asyncio
import logging

import aiohttp
from livekit import api, rtc
from livekit.agents import JobContext

from voicefleet_agent.listening import Ears
from voicefleet_agent.logs import LOGGER
from voicefleet_agent.transfer import PERSON

ANSWER_TIMEOUT = 5.0
"""Seconds for LiveKit SIP to finish the SIP handshake once it has our track."""
HANG_UP_PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds between tries; by then the agent gateway should have been started again."""
# LiveKit SIP's own attribute on the caller (livekit/sip, pkg/sip/participant.go): "ringing",
# then "active" once the caller's side has acknowledged the answer. What is played earlier is lost.
# At last "hangup", before it leaves the room; where its leaving gets lost, the server notices 22 s
# later.
CALL_STATUS = "sip.callStatus"
HUNG_UP = "hangup"
CALLER_NUMBER = "sip.phoneNumber"
CALLED_NUMBER = "sip.trunkPhoneNumber"
ENDED = (
    rtc.DisconnectReason.CLIENT_INITIATED,
    rtc.DisconnectReason.ROOM_CLOSED,
    rtc.DisconnectReason.ROOM_DELETED,
    rtc.DisconnectReason.PARTICIPANT_REMOVED,
)
"""Somebody wanted it. Else a node has died, or was shut down."""

_CALLERS = (
    rtc.ParticipantKind.PARTICIPANT_KIND_SIP,
    rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD,
)

log = logging.getLogger(LOGGER)


async def hang_up(ctx: JobContext) -> None:
    """On everybody in the room: LiveKit SIP keeps a caller in a room without an agent.

    Tried again where it fails; in the end that is logged.
    """
    request = api.DeleteRoomRequest(room=ctx.room.name)
    for pause in (*HANG_UP_PAUSES, 0.0):
        try:
            await ctx.api.room.delete_room(request)
            return
        except (api.ServerError, aiohttp.ClientError, OSError) as error:
            if isinstance(error, api.ServerError) and error.code == api.TwirpErrorCode.NOT_FOUND:
                return
            extra = {"action": "HangUpFailed", "error": type(error).__name__}
            log.warning("the call is not hung up", extra=extra)
        await asyncio.sleep(pause)


async def first_caller(room: rtc.Room) -> rtc.RemoteParticipant:
    """Whoever is in the room, or comes first; not a `PERSON`, whom a caller has been waiting for
    when the agent before this one died."""
    found: asyncio.Future[rtc.RemoteParticipant] = asyncio.get_running_loop().create_future()

    def on_active(participant: rtc.RemoteParticipant) -> None:
        calls = participant.kind in _CALLERS and participant.identity != PERSON
        if calls and not found.done():
            found.set_result(participant)

    room.on("participant_active", on_active)
    try:
        for participant in room.remote_participants.values():
            if participant.state == rtc.ParticipantState.PARTICIPANT_STATE_ACTIVE:
                on_active(participant)
        return await found
    finally:
        room.off("participant_active", on_active)


async def hear(room: rtc.Room, caller: rtc.RemoteParticipant, ears: Ears) -> None:
    """Listen to the caller's microphone, whenever it comes."""
    tracks: asyncio.Queue[rtc.Track] = asyncio.Queue()

    def on_track(
        track: rtc.Track, _: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        if participant.identity == caller.identity:
            tracks.put_nowait(track)

    room.on("track_subscribed", on_track)
    for publication in caller.track_publications.values():
        if publication.track is not None and publication.track.kind == rtc.TrackKind.KIND_AUDIO:
            tracks.put_nowait(publication.track)
    while True:
        await ears.listen(await tracks.get())


async def until_answered(room: rtc.Room, caller: rtc.RemoteParticipant) -> None:
    """Wait for the SIP call to be up; others (a browser, a test) are heard at once."""
    if caller.kind != rtc.ParticipantKind.PARTICIPANT_KIND_SIP:
        return
    changed = asyncio.Event()

    def on_change(*_: object) -> None:
        changed.set()

    room.on("participant_attributes_changed", on_change)
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT):
            while caller.attributes.get(CALL_STATUS) != "active":
                changed.clear()
                await changed.wait()
    except TimeoutError:
        log.warning("no sign that the call is up; speaking", extra={"action": "AnswerUnknown"})
    finally:
        room.off("participant_attributes_changed", on_change)


async def until_gone(
    room: rtc.Room, caller: rtc.RemoteParticipant, gone: asyncio.Future[bool]
) -> bool:
    """Return when the caller has left or the room is closed; True: against the caller's will."""

    def on_left(participant: rtc.RemoteParticipant) -> None:
        if participant.identity == caller.identity:
            settle(gone, participant.disconnect_reason not in ENDED)

    def on_change(*_: object) -> None:
        if caller.attributes.get(CALL_STATUS) == HUNG_UP:
            settle(gone, False)

    room.on("participant_disconnected", on_left)
    room.on("participant_attributes_changed", on_change)
    if caller.identity not in room.remote_participants:
        settle(gone, False)
    return await gone


def settle(gone: asyncio.Future[bool], cut_off: bool) -> None:
    """The caller is gone; the first word about it holds."""
    if not gone.done():
        gone.set_result(cut_off)
