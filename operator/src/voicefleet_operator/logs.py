"""Structured JSON logs on stdout; every line of a reconciliation carries client and generation."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

log_context: ContextVar[dict[str, Any] | None] = ContextVar("log_context", default=None)
"""What is being reconciled: kind, namespace, name, uid, clientID, generation."""

_KOPF = ("settings", "k8s_ref", "k8s_skip")
"""What kopf hangs on its records; its settings are no JSON."""


class _AddContext(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        for key, value in (log_context.get() or {}).items():
            setattr(record, key, value)
        return True


def configure(level: str) -> None:
    """Send everything to stdout as JSON; libraries speak from WARNING on."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        JsonFormatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            reserved_attrs=[*RESERVED_ATTRS, *_KOPF],
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        )
    )
    handler.addFilter(_AddContext())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("voicefleet_operator").setLevel(level)
