"""How services log: one JSON object a line on stdout."""

from __future__ import annotations

import logging
import sys

from pythonjsonlogger.json import JsonFormatter


def json_lines(**fields: str) -> logging.Handler:
    """`fields` stand in every line."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        JsonFormatter(
            ["levelname", "name", "message"],
            timestamp=True,
            rename_fields={"levelname": "level", "name": "logger"},
            static_fields=fields,
        )
    )
    return handler


def configure(service: str) -> None:
    """Of a process: ours speak from INFO, libraries from WARNING."""
    logging.basicConfig(level=logging.WARNING, handlers=[json_lines(service=service)])
    logging.getLogger("voicefleet").setLevel(logging.INFO)
