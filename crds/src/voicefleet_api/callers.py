"""Which callers an agent answers, where two versions of it share them.

LiveKit offers a call to every agent that a rule names. While two versions of a client's agent share
its callers, each finds its part in the dispatch's metadata and turns the others down. The parts are
complementary, so that exactly one of the two answers.
"""

from __future__ import annotations

import hashlib

from pydantic import Field

from voicefleet_api.base import StatusModel

GROUPS = 100
"""Callers fall into so many groups of the same size."""


class Callers(StatusModel):
    """The groups `first <= group < end`."""

    first: int = Field(ge=0, le=GROUPS, description="First group.")
    end: int = Field(ge=0, le=GROUPS, description="The one after the last.")
    salt: str = Field(max_length=64, description="Deals the groups anew for each rollout.")

    def include(self, number: str) -> bool:
        """Whether a caller is one of them; those who hide their number are one group."""
        digest = hashlib.sha256(f"{self.salt}/{number}".encode()).digest()
        return self.first <= int.from_bytes(digest[:8], "big") % GROUPS < self.end


def caller_in(room: str) -> str:
    """The caller's number in a room's name, which a rule makes `<prefix>_<number>_<random>`."""
    return room.partition("_")[2].partition("_")[0]
