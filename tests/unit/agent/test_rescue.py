"""Who is given another process: a caller who waits alone, so many times."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from livekit import api
from livekit.agents.job import JobAcceptArguments, RunningJobInfo
from livekit.protocol.agent import Job
from livekit.protocol.models import ParticipantInfo, Room

from voicefleet_agent import rescue
from voicefleet_agent.transfer import PERSON

pytestmark = pytest.mark.unit

SIP, AGENT, EGRESS = (
    ParticipantInfo(kind=ParticipantInfo.Kind.Value(name)) for name in ("SIP", "AGENT", "EGRESS")
)
CALLED = ParticipantInfo(kind=ParticipantInfo.Kind.SIP, identity=PERSON)


class LiveKit:
    """A room with these participants, or an error."""

    def __init__(self, *there: ParticipantInfo, error: str | None = None) -> None:
        self.there, self.error = there, error
        self.deleted: list[str] = []
        self.room = self

    async def __aenter__(self) -> LiveKit:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def list_participants(self, _: api.ListParticipantsRequest) -> Any:
        if self.error:
            raise api.TwirpError(self.error, "", status=404)
        return SimpleNamespace(participants=self.there)

    async def delete_room(self, request: api.DeleteRoomRequest) -> None:
        self.deleted.append(request.room)


@pytest.mark.parametrize(
    ("livekit", "waits"),
    [
        (LiveKit(SIP), True),
        (LiveKit(AGENT, SIP, EGRESS), True),
        (LiveKit(AGENT), False),
        (LiveKit(SIP, CALLED), False),  # connected with a person
        (LiveKit(SIP, SIP), False),  # with each other
        (LiveKit(CALLED), False),
        (LiveKit(), False),
        (LiveKit(error=api.TwirpErrorCode.NOT_FOUND), False),
        (LiveKit(error=api.TwirpErrorCode.UNAVAILABLE), True),
    ],
)
async def test_a_caller_who_waits_alone_is_taken_over(livekit: Any, waits: bool) -> None:
    assert await rescue.waits(livekit, "room") is waits


async def test_a_caller_is_taken_over_three_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where no process gets as far as to write it down."""
    livekit = LiveKit(SIP)
    monkeypatch.setattr(rescue, "livekit_api", lambda: livekit)
    job = Job(id="AJ_1", room=Room(name="room"))
    lost = RunningJobInfo(JobAcceptArguments("", "agent", ""), job, "ws://x", "token", "w", False)
    rescuing = rescue.Rescue()
    found = [await rescuing.successor(lost) for _ in range(4)]
    assert [info is not None for info in found] == [True, True, True, False]
    assert livekit.deleted == ["room"]
    first = found[0]
    assert first is not None
    assert (first.token, first.job.room.name) == ("token", "room")
    assert first.job.id != "AJ_1"
