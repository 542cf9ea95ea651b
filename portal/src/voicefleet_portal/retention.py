"""Deletes calls when they were kept as long as `VoiceClient.spec.retention` says."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from datetime import UTC, datetime

from starlette.concurrency import run_in_threadpool

from voicefleet_api.voiceclient import Retention
from voicefleet_portal.clients import Directory, Unavailable
from voicefleet_portal.store import Store

logger = logging.getLogger("voicefleet.portal")
PAUSE_SECONDS = 3600.0


async def forget_hourly(store: Store, directory: Directory) -> None:
    """Now and every hour, until cancelled."""
    while True:
        try:
            await forget(store, directory, datetime.now(UTC))
        except (OSError, sqlite3.Error) as error:
            logger.error("calls not deleted", extra={"error": type(error).__name__})
        await asyncio.sleep(PAUSE_SECONDS)


async def forget(store: Store, directory: Directory, now: datetime) -> None:
    """Go once through all clients that have calls.

    A deleted client's calls go by what was last declared, or by the defaults. While the cluster
    cannot be asked, only what is known counts: what is deleted does not come back.
    """
    fallback: Retention | None = Retention()
    try:
        declared = {c.client_id: c.retention for c in await directory.clients()}
    except Unavailable:
        declared, fallback = {}, None

    def one(client_id: str) -> int:
        retention = store.retention(client_id, declared.get(client_id)) or fallback
        return store.forget(client_id, retention, now) if retention else 0

    for client_id in await run_in_threadpool(store.clients):
        try:
            calls = await run_in_threadpool(one, client_id)
        except (OSError, sqlite3.Error, ValueError) as error:
            # Another client's calls are not kept longer for it; an hour later it is tried again.
            extra = {"clientID": client_id, "error": type(error).__name__}
            logger.error("calls not deleted", extra=extra)
            continue
        if calls:
            logger.info("calls deleted", extra={"clientID": client_id, "calls": calls})
