"""Calls that the client's own agent does not join: one overflow agent takes messages, for all.

It is the same worker, with a configuration of its own. LiveKit offers it every call, beside the
client's own agents, and the offer's metadata says for whom it would speak. It answers only when it
knows whether it is needed; until then a call costs it no process.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import aiohttp
from livekit import api, rtc
from livekit.protocol.models import ParticipantInfo

from voicefleet_agent.records.journal import Entry
from voicefleet_agent.settings import Settings, read_config
from voicefleet_api import professions, tokens
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.dispatch import OVERFLOW, DispatchMetadata

WATCHDOG = 2.0
"""Seconds for the client's agent to join. LiveKit waits three for the answer to an offer (psrpc,
DefaultClientTimeout), and callers ring for eight."""
_POLL = 0.25


class Participant(Protocol):
    """As a room has them, and LiveKit's API."""

    @property
    def kind(self) -> Any: ...
    @property
    def attributes(self) -> Mapping[str, str]: ...


def is_other(participant: Participant, overflow: bool) -> bool:
    """Whether that is the overflow agent, for a client's own one (`overflow` False); or the
    reverse."""
    agent = participant.kind == ParticipantInfo.Kind.AGENT
    return agent and (OVERFLOW in participant.attributes) != overflow


def is_taken(room: rtc.Room, overflow: bool) -> bool:
    """Whether the call is the other's: who has joined first stays, and of two at once the client's.

    By LiveKit's clock, so that both of them judge alike.
    """
    own = room.local_participant
    return any(
        is_other(each, overflow) and (each.joined_at, not overflow) < (own.joined_at, overflow)
        for each in room.remote_participants.values()
    )


async def is_needed(livekit: api.LiveKitAPI, room: str) -> bool:
    """Whether no agent of the client's joins the caller within `WATCHDOG` seconds.

    Returns as soon as one has. Where LiveKit does not say, it is needed.
    """
    waits = True
    try:
        async with asyncio.timeout(WATCHDOG):
            while True:
                await asyncio.sleep(_POLL)
                try:
                    found = await livekit.room.list_participants(
                        api.ListParticipantsRequest(room=room)
                    )
                except api.TwirpError as error:
                    waits = waits and error.code != api.TwirpErrorCode.NOT_FOUND
                    continue
                except (aiohttp.ClientError, TimeoutError):
                    continue
                if any(is_other(each, overflow=True) for each in found.participants):
                    return False
                waits = any(each.kind != ParticipantInfo.Kind.AGENT for each in found.participants)
    except TimeoutError:
        return waits


def preload() -> None:
    """Parse all professions before calls are forked: 0.2 s that a caller would ring longer."""
    for name in professions.names():
        professions.load(name)


def client_of(metadata: str) -> AgentConfig | None:
    """For whom to speak in a call with that metadata; None where it does not say."""
    try:
        return DispatchMetadata.model_validate_json(metadata or "{}").overflow
    except ValueError:
        return None


def token(settings: Settings, client_id: str) -> str:
    """A client's token for the machine's sockets; raises OSError, and ValueError for no client."""
    assert settings.models_key is not None
    return tokens.mint(settings.models_key.read_text().strip(), client_id)


def at_desk(settings: Settings, client: AgentConfig) -> Settings:
    """What a call for that client needs; this process has the client's token from then on."""
    os.environ["MODELS_TOKEN"] = token(settings, client.client_id)
    file = _desk(settings, client.client_id)
    file.parent.mkdir(exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    partial.write_text(client.model_dump_json(by_alias=True))
    partial.replace(file)
    return replace(settings, config=file)


def metadata(settings: Settings, entry: Entry) -> str:
    """What the dispatch of that call said, for whoever goes on with it; raises OSError,
    ValueError."""
    client = read_config(_desk(settings, entry.client_id))
    return DispatchMetadata(overflow=client).model_dump_json(by_alias=True, exclude_none=True)


def _desk(settings: Settings, client_id: str) -> Path:
    return settings.data / "desks" / f"{client_id}.json"
