"""The contract between the controller's dispatch rules and the agents that they name.

LiveKit offers a call to every agent that a rule names, with that agent's metadata.
"""

from __future__ import annotations

from pydantic import Field

from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.base import StatusModel
from voicefleet_api.callers import Callers

OVERFLOW = "voicefleet.overflow"
"""Attribute of an overflow agent in a room, by which the client's own agent knows it."""


def agent_names(client_id: str) -> tuple[str, str]:
    """Names of the client's agents in LiveKit: of the first place, and of the second."""
    return f"voicefleet-{client_id}", f"voicefleet-green-{client_id}"


class DispatchMetadata(StatusModel):
    """What an agent is told with each call."""

    callers: Callers | None = Field(default=None, description="Whom it answers; all if unset.")
    overflow: AgentConfig | None = Field(
        default=None, description="For whom an overflow agent speaks; only that one is told."
    )
