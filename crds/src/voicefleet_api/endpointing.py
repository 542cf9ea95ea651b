"""How long a silence ends a caller's turn on this machine; written beside the gateways' sockets.

The speech-to-text gateway publishes `models.yaml`'s `endpointing` as a file in its folder, which
every client's agent sees and reads as a call begins. Without it, the agent's own times hold.
"""

from __future__ import annotations

from pydantic import Field

from voicefleet_api.base import ApiModel

FILE = "endpointing.json"


class Endpointing(ApiModel):
    """Milliseconds of silence after the last word; from 1250 on a filler may sound in it."""

    complete_ms: int = Field(ge=100, le=2000, description="What was asked for has been said.")
    brief_ms: int = Field(ge=100, le=2000, description="In a single word, often followed by more.")
    unsure_ms: int = Field(ge=100, le=3000, description="The turn may have ended.")
