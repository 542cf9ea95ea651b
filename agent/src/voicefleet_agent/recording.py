"""What happened in a call, as it happens."""

from __future__ import annotations

import logging

from voicefleet_agent.logs import LOGGER
from voicefleet_api.calls import CallState, StageLatencies
from voicefleet_dialogue.acts import Origin

log = logging.getLogger(LOGGER)


class CallLog:
    """Says the states of a call in the log, never words."""

    def __init__(self) -> None:
        self._state: CallState | None = None

    def state(self, state: CallState) -> None:
        """The call is in this state now."""
        if state != self._state:
            self._state = state
            log.info("call state", extra={"action": "CallState", "state": state})

    def caller_said(self, text: str) -> None:
        """A turn of the caller's has ended."""

    def agent_said(self, text: str, origin: Origin, latency: StageLatencies | None) -> None:
        """The agent begins to say it."""

    def interrupted(self, unheard: str) -> None:
        """The caller cut in; these words were not heard."""

    def sound(self, caller: bytes, agent: bytes) -> None:
        """10 ms of both directions."""
