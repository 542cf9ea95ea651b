"""A call whose process has died: the caller is still in the room, and is given another one.

LiveKit keeps a caller in a room without an agent, notices that the agent is gone after more than
ten seconds, and starts no other. Here the worker sees its process end, and the next one goes on
with the talk as the journal has it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import aiohttp
from livekit import api
from livekit.agents.job import RunningJobInfo
from livekit.agents.utils import shortuuid
from livekit.protocol.agent import Job
from livekit.protocol.models import ParticipantInfo

from voicefleet_agent.logs import LOGGER
from voicefleet_agent.overflow import is_other
from voicefleet_agent.records.journal import DEATHS, Entry, Journal
from voicefleet_agent.transfer import PERSON
from voicefleet_api.agentconfig import AgentConfig

PATIENCE = 15.0
"""Seconds after which nobody is expected to go on with a call any more."""
_POLL = 0.2
_CALLERS = (ParticipantInfo.Kind.SIP, ParticipantInfo.Kind.STANDARD)
_LIVEKIT = aiohttp.ClientTimeout(total=1)

log = logging.getLogger(LOGGER)


class Rescue:
    """Of one worker."""

    def __init__(self, *, overflow: bool = False) -> None:
        """`overflow`: of the overflow agent's."""
        self._overflow = overflow
        self._deaths: Counter[str] = Counter()

    async def successor(self, lost: RunningJobInfo) -> RunningJobInfo | None:
        """The job that takes a caller over, if there is one; after too many, the call ends."""
        room = lost.job.room.name
        self._deaths[room] += 1
        async with livekit_api() as livekit:
            if not await waits(livekit, room, overflow=self._overflow):
                return None
            if self._deaths[room] > DEATHS:
                log.error("call given up", extra={"action": "CallGivenUp", "deaths": DEATHS + 1})
                await livekit.room.delete_room(api.DeleteRoomRequest(room=room))
                return None
        log.warning(
            "call taken over", extra={"action": "CallTakenOver", "deaths": self._deaths[room]}
        )
        job = Job()
        job.CopyFrom(lost.job)
        # Under the dead one's identity, which thereby leaves the room at once; but another job:
        # LiveKit has the old one ended then.
        job.id = shortuuid("job-")
        return replace(lost, job=job, received_at=0.0, accepted_at=0.0, assigned_at=0.0)


def livekit_api() -> api.LiveKitAPI:
    """By the environment's address and keys."""
    return api.LiveKitAPI(timeout=_LIVEKIT)


async def waits(livekit: api.LiveKitAPI, room: str, *, overflow: bool = False) -> bool:
    """Whether a caller is there, and alone; where LiveKit does not say, it is assumed.

    A `PERSON` whom the caller has left is nobody to talk with. `overflow`: for the overflow agent,
    which leaves calls to the client's, as these to it.
    """
    try:
        found = await livekit.room.list_participants(api.ListParticipantsRequest(room=room))
    except api.TwirpError as error:
        return error.code != api.TwirpErrorCode.NOT_FOUND
    except (aiohttp.ClientError, TimeoutError):
        return True
    if any(is_other(each, overflow) for each in found.participants):
        return False
    there = [each.identity for each in found.participants if each.kind in _CALLERS]
    return len(there) == 1 and PERSON not in there


async def take_over_left(
    journal: Journal,
    config: AgentConfig,
    registered: Callable[[], bool],
    metadata: Callable[[Entry], str],
) -> None:
    """The calls that a worker before this one has left, once their processes are gone.

    Given up `PATIENCE` seconds after the registration. `metadata`: of a call's dispatch."""
    left = {entry.call_id: entry for entry in await asyncio.to_thread(journal.entries)}
    polls = int(PATIENCE / _POLL)
    while left and polls:
        await asyncio.sleep(_POLL)
        if not registered():
            continue
        polls -= 1
        for call_id in [each for each in left if journal.is_over(each)]:
            entry = left.pop(call_id)
            if journal.path(call_id).exists():
                await _dispatch(entry, config, metadata)


async def _dispatch(entry: Entry, config: AgentConfig, metadata: Callable[[Entry], str]) -> None:
    try:
        async with livekit_api() as livekit:
            if await waits(livekit, entry.room, overflow=config.overflow):
                log.warning("call taken over", extra={"action": "CallTakenOver"})
                await livekit.agent_dispatch.create_dispatch(
                    api.CreateAgentDispatchRequest(
                        agent_name=config.agent_name, room=entry.room, metadata=metadata(entry)
                    )
                )
    except (api.TwirpError, aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        log.error("call lost", extra={"action": "CallLost", "error": type(error).__name__})
