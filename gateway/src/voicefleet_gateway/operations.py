"""What agents ask of LiveKit's API: seven requests, each about a room of the client's own calls."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.message import Message
from livekit import api

from voicefleet_api.callers import room_prefix
from voicefleet_api.dispatch import agent_names
from voicefleet_gateway.refusals import Refused, check_fields, parse


@dataclass(frozen=True, slots=True)
class Operation:
    """A method of LiveKit's (https://docs.livekit.io/reference/server/server-apis/)."""

    request: type[Message]
    room: str
    """The field that names the room."""
    others: tuple[str, ...] = ()
    """What may be said beside it."""


OPERATIONS = {
    "RoomService/ListParticipants": Operation(api.ListParticipantsRequest, "room"),
    "RoomService/RemoveParticipant": Operation(api.RoomParticipantIdentity, "room", ("identity",)),
    "RoomService/UpdateSubscriptions": Operation(
        api.UpdateSubscriptionsRequest, "room", ("identity", "track_sids", "subscribe")
    ),
    "RoomService/DeleteRoom": Operation(api.DeleteRoomRequest, "room"),
    "AgentDispatchService/CreateDispatch": Operation(
        api.CreateAgentDispatchRequest, "room", ("agent_name", "metadata")
    ),
    "SIP/TransferSIPParticipant": Operation(
        api.TransferSIPParticipantRequest,
        "room_name",
        ("participant_identity", "transfer_to", "play_dialtone", "ringing_timeout"),
    ),
    # Neither a trunk of its own words nor another caller's number.
    "SIP/CreateSIPParticipant": Operation(
        api.CreateSIPParticipantRequest,
        "room_name",
        (
            "sip_trunk_id",
            "sip_call_to",
            "participant_identity",
            "dtmf",
            "play_dialtone",
            "wait_until_answered",
            "ringing_timeout",
        ),
    ),
}
"""By what follows `/twirp/livekit.` in the address."""


def check(client: str, method: str, body: bytes) -> tuple[Message, str]:
    """The request, and the room that it is about.

    Whose trunk a call goes out over is not looked at. Raises `Refused`.
    """
    operation = OPERATIONS.get(method)
    if operation is None:
        raise Refused(f"{method} is not for agents")
    request = parse(operation.request, body)
    check_fields(request, {operation.room, *operation.others})
    room: str = getattr(request, operation.room)
    if not room.startswith(room_prefix(client)):
        raise Refused(f"the room {room!r} is not of a call of {client}")
    if isinstance(request, api.CreateAgentDispatchRequest):
        check_name(client, request.agent_name)
    return request, room


def check_name(client: str, agent_name: str) -> None:
    """Raises `Refused` where no agent of the client's has that name."""
    if agent_name not in agent_names(client):
        raise Refused(f"{agent_name!r} is no agent of {client}")
