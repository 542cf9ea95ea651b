"""One JSON object a line on stdout, with the client in each; never what a caller said."""

from __future__ import annotations

import logging

from voicefleet_api.logs import json_lines

LOGGER = "voicefleet.agent"


class _Discreet(logging.Filter):
    """Takes the room's name out: LiveKit SIP makes it of the caller's phone number.

    And a warning of the framework's that here is the plan: no process waits for a call.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        record.__dict__.pop("room", None)
        return not record.getMessage().startswith("no warmed process available")


def configure(client_id: str, level: str = "INFO") -> None:
    """Send every logger to stdout; others than ours speak from WARNING up.

    Job processes send their records to the worker, which adds `job_id` and `room_id` and writes
    them here.
    """
    handler = json_lines(clientID=client_id)
    handler.addFilter(_Discreet())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(LOGGER).setLevel(level)
