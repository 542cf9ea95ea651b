"""Which requests to LiveKit's API pass, and of whom."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from livekit import api

from voicefleet_gateway.operations import OPERATIONS, check
from voicefleet_gateway.refusals import Refused

pytestmark = pytest.mark.unit

OWN, OTHER = "vc-aaaaaaaaaa", "vc-bbbbbbbbbb"
ROOM, NEIGHBOUR = (f"call-{client}-_+15005550006_x" for client in (OWN, OTHER))
# As the agent makes them.
REQUESTS: dict[str, Message] = {
    "RoomService/ListParticipants": api.ListParticipantsRequest(room=ROOM),
    "RoomService/RemoveParticipant": api.RoomParticipantIdentity(room=ROOM, identity="person"),
    "RoomService/UpdateSubscriptions": api.UpdateSubscriptionsRequest(
        room=ROOM, identity="person", track_sids=["TR_x"], subscribe=True
    ),
    "RoomService/DeleteRoom": api.DeleteRoomRequest(room=ROOM),
    "AgentDispatchService/CreateDispatch": api.CreateAgentDispatchRequest(
        room=ROOM, agent_name=f"voicefleet-green-{OWN}", metadata="{}"
    ),
    "SIP/TransferSIPParticipant": api.TransferSIPParticipantRequest(
        room_name=ROOM,
        participant_identity="caller",
        transfer_to="tel:+14155550177",
        play_dialtone=True,
        ringing_timeout=Duration(seconds=25),
    ),
    "SIP/CreateSIPParticipant": api.CreateSIPParticipantRequest(
        room_name=ROOM,
        sip_trunk_id="ST_x",
        sip_call_to="+14155550177",
        participant_identity="person",
        dtmf="ww204",
        play_dialtone=True,
        wait_until_answered=True,
        ringing_timeout=Duration(seconds=25),
    ),
}


def changed(method: str, **fields: Any) -> bytes:
    """That request with something else in it."""
    request = type(REQUESTS[method])()
    request.CopyFrom(REQUESTS[method])
    request.MergeFrom(type(request)(**fields))
    return request.SerializeToString()


def test_every_operation_is_tried() -> None:
    assert REQUESTS.keys() == OPERATIONS.keys()


@pytest.mark.parametrize("method", REQUESTS)
def test_what_the_agent_asks_passes_as_it_is(method: str) -> None:
    assert check(OWN, method, REQUESTS[method].SerializeToString()) == (REQUESTS[method], ROOM)


@pytest.mark.parametrize("method", REQUESTS)
@pytest.mark.parametrize("room", [NEIGHBOUR, f"call-{OWN}", f"call-{OWN}x-_a", "other", f" {ROOM}"])
def test_a_room_that_is_not_its_own_is_refused(method: str, room: str) -> None:
    with pytest.raises(Refused, match="is not of a call of") as refused:
        check(OWN, method, changed(method, **{OPERATIONS[method].room: room}))
    assert refused.value.code == "permission_denied"


@pytest.mark.parametrize("method", REQUESTS)
def test_a_request_about_no_room_is_refused(method: str) -> None:
    with pytest.raises(Refused):
        check(OWN, method, b"")


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("SIP/CreateSIPParticipant", {"trunk": api.SIPOutboundConfig(hostname="sip.example")}),
        ("SIP/CreateSIPParticipant", {"sip_number": "+14155550100"}),
        ("SIP/CreateSIPParticipant", {"headers": {"X-Account": "theirs"}}),
        ("SIP/TransferSIPParticipant", {"headers": {"X-Account": "theirs"}}),
        (
            "RoomService/UpdateSubscriptions",
            {"participant_tracks": [{"participant_sid": "PA_x", "track_sids": ["TR_x"]}]},
        ),
        ("AgentDispatchService/CreateDispatch", {"deployment": "other"}),
    ],
)
def test_what_the_agent_never_says_is_refused(method: str, fields: dict[str, Any]) -> None:
    [name] = fields
    with pytest.raises(Refused, match=f"with {name} is not for agents"):
        check(OWN, method, changed(method, **fields))


def test_what_we_do_not_know_does_not_pass() -> None:
    unknown = b"\xfa\x3f\x06theirs"  # field 1023
    method = "RoomService/DeleteRoom"
    request, _ = check(OWN, method, REQUESTS[method].SerializeToString() + unknown)
    assert request.SerializeToString() == REQUESTS[method].SerializeToString()


@pytest.mark.parametrize("name", [f"voicefleet-{OTHER}", "voicefleet-overflow", "", OWN])
def test_another_agent_is_not_sent_for(name: str) -> None:
    request = api.CreateAgentDispatchRequest(room=ROOM, agent_name=name)
    with pytest.raises(Refused, match=f"is no agent of {OWN}"):
        check(OWN, "AgentDispatchService/CreateDispatch", request.SerializeToString())


@pytest.mark.parametrize(
    "method",
    [
        "RoomService/ListRooms",
        "RoomService/CreateRoom",
        "RoomService/GetParticipant",
        "AgentDispatchService/ListDispatch",
        "SIP/ListSIPOutboundTrunk",
        "SIP/CreateSIPDispatchRule",
        "Egress/StartRoomCompositeEgress",
        "RoomService/DeleteRoom/",
    ],
)
def test_other_methods_are_not_for_agents(method: str) -> None:
    with pytest.raises(Refused, match="is not for agents"):
        check(OWN, method, api.DeleteRoomRequest(room=ROOM).SerializeToString())


def test_a_body_that_is_none_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        check(OWN, "RoomService/DeleteRoom", b'{"room": "x"}')
    assert refused.value.code == "malformed"
