"""Who in a room is the caller."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from livekit import api, rtc

from voicefleet_agent import caller
from voicefleet_agent.caller import first_caller, hang_up
from voicefleet_agent.transfer import PERSON

pytestmark = pytest.mark.unit


def participant(identity: str, kind: str = "SIP", state: str = "ACTIVE") -> Any:
    return SimpleNamespace(
        identity=identity,
        kind=rtc.ParticipantKind.Value(f"PARTICIPANT_KIND_{kind}"),
        state=rtc.ParticipantState.Value(f"PARTICIPANT_STATE_{state}"),
    )


class Room(rtc.EventEmitter[str]):
    """With these in it."""

    def __init__(self, *there: Any) -> None:
        super().__init__()
        self.remote_participants = {each.identity: each for each in there}


async def found(*there: Any, comes: Any = None) -> str:
    room: Any = Room(*there)
    waiting = asyncio.create_task(first_caller(room))
    await asyncio.sleep(0)
    if comes:
        room.emit("participant_active", comes)
    async with asyncio.timeout(0.1):
        return (await waiting).identity


async def test_the_caller_is_whoever_is_there_or_comes_first() -> None:
    assert await found(participant("sip_1")) == "sip_1"
    assert await found(comes=participant("browser", "STANDARD")) == "browser"
    joining = participant("sip_2", state="JOINING")
    assert await found(joining, comes=participant("sip_1")) == "sip_1"


async def test_neither_an_agent_nor_a_person_who_was_called_is_the_caller() -> None:
    others = participant(PERSON), participant("agent", "AGENT")
    assert await found(*others, participant("sip_1")) == "sip_1"
    assert await found(*others, comes=participant("sip_1")) == "sip_1"
    with pytest.raises(TimeoutError):
        await found(*others)


class Rooms:
    """LiveKit's API; its answers in turn, None where a room is deleted."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = [*answers]

    async def delete_room(self, request: api.DeleteRoomRequest) -> None:
        assert request.room == "call"
        if (answer := self.answers.pop(0)) is not None:
            raise answer


@pytest.mark.parametrize(
    ("answers", "left"),
    [
        ((None, None), 1),
        ((api.TwirpError("not_found", "", status=404), None), 1),
        ((aiohttp.ClientConnectionError(), TimeoutError(), None, None), 1),
        ((api.TwirpError("unavailable", "", status=503), None), 0),
        ((*(ConnectionResetError() for _ in range(9)),), 4),
    ],
    ids=["once", "gone", "away", "unavailable", "never"],
)
async def test_who_hangs_up_tries_again_until_it_is_done(
    answers: tuple[Exception | None, ...], left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caller, "HANG_UP_PAUSES", (0.0,) * 4)
    rooms = Rooms(*answers)
    context: Any = SimpleNamespace(
        api=SimpleNamespace(room=rooms), room=SimpleNamespace(name="call")
    )
    await hang_up(context)
    assert len(rooms.answers) == left
