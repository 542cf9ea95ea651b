"""The client's calendar and the business's own on a CalDAV server, kept alike by the worker.

A call never waits for it: calls read and write the folder only.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from voicefleet_agent.caldav.collection import Collection, Unavailable
from voicefleet_agent.caldav.sync import Sync, leave
from voicefleet_agent.logs import LOGGER
from voicefleet_agent.settings import Settings, read_config
from voicefleet_dialogue.booking.store import Store

INTERVAL = 60.0
"""Seconds until the server is asked what others have done."""
POLL = 1.0
"""Seconds until a booking of ours is noticed (one `stat`)."""
LONGEST_PAUSE = 300.0
"""Seconds between two attempts while the server is away; the first pause is `POLL`."""

log = logging.getLogger(LOGGER)


async def keep_synced(settings: Settings) -> None:
    """Sync for as long as the worker runs: after each booking, and every minute."""
    store = Store(settings.calendar)
    due, seen, failures = 0.0, 0, 0
    while True:
        changed = store.changed
        if time.monotonic() >= due or (changed != seen and not failures):
            pause = INTERVAL
            try:
                await sync_once(settings, store)
                failures = 0
            except Exception as error:
                # Whatever it is: calls go on without it, and it is tried again.
                failures += 1
                pause = min(LONGEST_PAUSE, POLL * 2 ** min(failures, 16))
                pause *= random.uniform(0.5, 1)  # noqa: S311
                reason = str(error) if isinstance(error, Unavailable) else type(error).__name__
                log.warning(
                    "calendar not synced",
                    extra={"action": "CalendarNotSynced", "attempt": failures, "error": reason},
                )
            # From before the pass: a booking made while it ran is not missed.
            seen, due = changed, time.monotonic() + pause
        await asyncio.sleep(POLL)


async def sync_once(settings: Settings, store: Store) -> None:
    """By the configuration as it is now; raises `Unavailable`, OSError, ValueError."""
    config = read_config(settings.config)
    state = settings.calendar / "sync.json"
    leave(store, state, config.caldav_url)
    if config.caldav_url is not None:
        username, password = os.environ.get("CALDAV_USERNAME"), os.environ.get("CALDAV_PASSWORD")
        if not username or not password:
            raise Unavailable("CALDAV_USERNAME or CALDAV_PASSWORD is not set")
        async with Collection(config.caldav_url, username, password) as collection:
            await Sync(store, collection, state, config.caldav_url).run()
    # Parsed here, so that a call need not.
    await asyncio.to_thread(store.entries, datetime.now(UTC), ZoneInfo(config.time_zone))
