"""Whether the overflow agent is needed, who leaves when two agents meet, and whose call it is."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from livekit import api
from livekit.protocol.models import ParticipantInfo

from simulator.clock import virtual_time
from support.dialogues import config, talk
from support.portal import KEY
from voicefleet_agent import overflow, rescue
from voicefleet_agent.live import Live
from voicefleet_agent.records import Entry, Recorder
from voicefleet_agent.settings import Settings
from voicefleet_api import tokens
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.dispatch import OVERFLOW, DispatchMetadata

pytestmark = pytest.mark.unit

CALLER = ParticipantInfo(kind=ParticipantInfo.Kind.SIP, identity="sip_1")
OWN = ParticipantInfo(kind=ParticipantInfo.Kind.AGENT, identity="agent-1")
OTHER = ParticipantInfo(
    kind=ParticipantInfo.Kind.AGENT, identity="agent-2", attributes={OVERFLOW: "true"}
)


class LiveKit:
    """A room in which `there` are from those seconds on; its API answers so, or fails."""

    def __init__(
        self, *there: tuple[float, list[ParticipantInfo]], error: Exception | None = None
    ) -> None:
        self.there, self.error = there, error
        self.asked = 0
        self.room = self

    async def list_participants(self, _: api.ListParticipantsRequest) -> Any:
        self.asked += 1
        if self.error is not None:
            raise self.error
        now = asyncio.get_running_loop().time()
        return SimpleNamespace(participants=[who for at, who in self.there if at <= now][-1])


def needed(livekit: Any) -> tuple[bool, float]:
    """And after how many seconds that is known."""

    async def ask() -> tuple[bool, float]:
        begun = asyncio.get_running_loop().time()
        found = await overflow.is_needed(livekit, "room")
        return found, asyncio.get_running_loop().time() - begun

    with virtual_time() as runner:
        return runner.run(ask())


@pytest.mark.parametrize("joins", [0.0, 0.4, 1.7])
def test_an_agent_that_joins_in_time_is_left_alone(joins: float) -> None:
    found, after = needed(LiveKit((0, [CALLER]), (joins, [CALLER, OWN])))
    assert not found
    assert after < joins + 0.5


def test_a_caller_whose_agent_does_not_join_is_taken_after_two_seconds() -> None:
    livekit = LiveKit((0, [CALLER]), (2.1, [CALLER, OWN]))
    assert needed(livekit) == (True, 2.0)
    assert livekit.asked < 10


def test_a_dead_overflow_agent_that_lingers_is_no_agent_of_the_client() -> None:
    assert needed(LiveKit((0, [CALLER, OTHER])))[0]


def test_a_caller_who_has_hung_up_needs_nobody() -> None:
    assert not needed(LiveKit((0, [CALLER]), (1.0, [])))[0]
    gone = api.TwirpError(api.TwirpErrorCode.NOT_FOUND, "", status=404)
    assert not needed(LiveKit(error=gone))[0]


@pytest.mark.parametrize(
    "error", [api.TwirpError(api.TwirpErrorCode.UNAVAILABLE, "", status=503), TimeoutError()]
)
def test_where_livekit_does_not_say_a_caller_is_taken(error: Exception) -> None:
    assert needed(LiveKit(error=error)) == (True, 2.0)


def present(participant: ParticipantInfo, after: float) -> Any:
    """As a room has a participant, who has joined after so many milliseconds."""
    return SimpleNamespace(
        kind=participant.kind,
        attributes=participant.attributes,
        joined_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=after),
    )


@pytest.mark.parametrize(("own", "other", "stays"), [(0, 1, "own"), (1, 0, "other"), (1, 1, "own")])
def test_of_two_agents_who_meet_exactly_one_stays(own: float, other: float, stays: str) -> None:
    """Each is asked: what it sees is the other one, and the caller."""
    ours, theirs, caller = present(OWN, own), present(OTHER, other), present(CALLER, 0)
    client: Any = SimpleNamespace(
        local_participant=ours, remote_participants={"a": caller, "b": theirs}
    )
    platform: Any = SimpleNamespace(
        local_participant=theirs, remote_participants={"a": caller, "b": ours}
    )
    assert overflow.is_taken(client, False) is (stays == "other")
    assert overflow.is_taken(platform, True) is (stays == "own")


def test_an_agent_that_goes_on_with_a_call_is_no_other_one() -> None:
    """The dead one may still be there for a while."""
    dead, alive = present(OWN, 0), present(OWN, 9)
    room: Any = SimpleNamespace(local_participant=alive, remote_participants={"a": dead})
    assert not overflow.is_taken(room, False)


@pytest.mark.parametrize("mine", [True, False])
async def test_nobody_rescues_a_call_that_the_other_one_has(mine: bool) -> None:
    livekit: Any = LiveKit((0, [CALLER, OTHER]))
    assert await rescue.waits(livekit, "room", overflow=mine) is mine


def desk_of(client_id: str, **changes: Any) -> AgentConfig:
    return config(None, client_id=client_id, overflow=True, **changes)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("MODELS_TOKEN", "the worker's")
    (tmp_path / "key").write_text(f"{KEY}\n")
    return Settings(
        tmp_path / "agent.json", tmp_path, tmp_path, "127.0.0.1", 0, 60, 1,
        models_key=tmp_path / "key",
    )  # fmt: skip


async def test_a_call_has_the_client_s_words_and_token_and_its_record_the_client(
    settings: Settings,
) -> None:
    client = desk_of("vc-one", business_name="Bright Smile")
    metadata = DispatchMetadata(overflow=client).model_dump_json(by_alias=True, exclude_none=True)
    told = overflow.client_of(metadata)
    assert told == client
    at_desk = overflow.at_desk(settings, told)
    assert tokens.verify(KEY, os.environ["MODELS_TOKEN"]) == "vc-one"
    live = Live(at_desk)
    assert live.config.business_name == "Bright Smile"
    record = Recorder(at_desk, live.config).finish("caller left", talk()[0].outcome)
    assert (record.client_id, record.answered_by) == ("vc-one", "Overflow")
    assert at_desk.spool == settings.spool
    await live.aclose()


def test_whoever_goes_on_with_a_call_is_told_the_same(settings: Settings) -> None:
    one, two = desk_of("vc-one"), desk_of("vc-two")
    for client in (one, two):
        overflow.at_desk(settings, client)
    saved = talk()[0].saved
    entry = Entry("c", "room", None, datetime.now(UTC), 0, False, saved, client_id="vc-one")
    assert overflow.client_of(overflow.metadata(settings, entry)) == one


@pytest.mark.parametrize("client_id", ["../../etc/cron", "Vc-One", ""])
def test_a_client_of_another_shape_is_none(settings: Settings, client_id: str) -> None:
    with pytest.raises(ValueError, match="client ID"):
        overflow.at_desk(settings, desk_of(client_id))
    assert not (settings.data / "desks").exists()


@pytest.mark.parametrize("metadata", ["", "{}", "no JSON", json.dumps({"overflow": {"a": 1}})])
def test_a_dispatch_that_names_no_client_is_no_overflow(metadata: str) -> None:
    assert overflow.client_of(metadata) is None
