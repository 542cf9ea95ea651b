"""Callers by their numbers: which of them an agent answers, and how a call's room is called.

The first is the contract between a dispatch rule and the agents it names. LiveKit offers a call to
every agent that a rule names. While two versions of a client's agent share its callers, each finds
its part in the dispatch's metadata and turns the others down. The parts are complementary, so that
exactly one of the two answers.
"""

from __future__ import annotations

import hashlib
import re

from pydantic import Field

from voicefleet_api.base import StatusModel

_NUMBER = re.compile(r"\+[1-9]\d{6,14}")
_WITHHELD = "+266696687"
"""ANONYMOUS on a telephone's keys: what some carriers show then."""
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


def shows(number: str) -> bool:
    """Whether a caller's number says who calls."""
    return _NUMBER.fullmatch(number) is not None and number != _WITHHELD


def room_prefix(client_id: str) -> str:
    """What a client's rule lets the names of its rooms begin with."""
    return f"call-{client_id}-"


def is_call_of(room: str, client_id: str, number: str) -> bool:
    """Whether a room is that of a call of this caller's to this client."""
    return room.startswith(f"{room_prefix(client_id)}_{number}_")


def caller_in(room: str) -> str:
    """The caller's number in a room's name, which a rule makes `<prefix>_<number>_<random>`."""
    return room.partition("_")[2].partition("_")[0]
