"""What the worker does with the spool: hand everything over, at least once, the oldest first."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections import Counter
from collections.abc import Callable, Collection

from voicefleet_agent.logs import LOGGER
from voicefleet_agent.records.portal import Portal, Refused, Unreachable
from voicefleet_agent.records.spool import SIDES, Spool
from voicefleet_agent.settings import Settings
from voicefleet_api.calls import CallRecord

POLL = 1.0
"""Seconds until a call that is over is noticed."""
LONGEST_PAUSE = 60.0
"""Seconds between two attempts while the portal is away."""
REFUSED_PAUSE = 600.0
"""Seconds after which what was refused is tried again: the portal may be newer by then."""

log = logging.getLogger(LOGGER)


def own_token(_: str) -> str:
    """The one client's, whose worker this is."""
    return os.environ.get("MODELS_TOKEN", "")


class Delivery:
    """Runs for as long as the worker; `calls` and `states` are what it has seen so far."""

    def __init__(
        self,
        settings: Settings,
        *,
        patience: float = 0,
        token: Callable[[str], str] = own_token,
    ) -> None:
        """`patience`: seconds in which a call that has lost its process may get another; `token`:
        a client's, by its ID."""
        self._patience = patience
        self._token = token
        self._portal = settings.reach("portal")
        self._spool = Spool(settings.spool)
        self._refused: dict[str, float] = {}
        self.calls = 0
        self.states: Counter[str] = Counter()

    async def run(self) -> None:
        """Never ends by itself."""
        failures = 0
        while True:
            pause = POLL
            try:
                await self.deliver()
                failures = 0
            except Exception as error:
                # Whatever it is: calls go on, their records wait on the disk.
                failures += 1
                pause = min(LONGEST_PAUSE, POLL * 2 ** min(failures, 16))
                pause *= random.uniform(0.5, 1)  # noqa: S311
                reason = str(error) if isinstance(error, Unreachable) else type(error).__name__
                log.warning(
                    "call records not delivered",
                    extra={"action": "RecordsNotDelivered", "attempt": failures, "error": reason},
                )
            await asyncio.sleep(pause)

    async def deliver(self) -> None:
        """Everything that waits, once; raises `Unreachable`, OSError."""
        for call_id in await asyncio.to_thread(self._look):
            log.warning("call cut off", extra={"action": "CallCutOff", "callID": call_id})
        waiting = self._due(self._spool.waiting())
        if not waiting:
            return
        for call_id in waiting:
            try:
                await self._hand_over(call_id)
            except (Refused, OSError) as error:
                # A file that cannot be read is no better than one that is not taken.
                self._refused[call_id] = asyncio.get_running_loop().time()
                log.error(
                    "call record refused",
                    extra={"action": "RecordRefused", "callID": call_id, "error": str(error)},
                )

    def _look(self) -> list[str]:
        found = self._spool.recover(self._patience)
        self._spool.trim()
        return found

    def _due(self, waiting: Collection[str]) -> list[str]:
        """Not what was refused a moment ago: it must not hold up the others."""
        now = asyncio.get_running_loop().time()
        self._refused = {
            call_id: at
            for call_id, at in self._refused.items()
            if call_id in waiting and now - at < REFUSED_PAUSE
        }
        return [call_id for call_id in waiting if call_id not in self._refused]

    async def _hand_over(self, call_id: str) -> None:
        data = self._spool.record(call_id).read_bytes()
        try:
            record = CallRecord.model_validate_json(data)
        except ValueError:
            raise Refused("it is no record") from None
        async with Portal(self._portal, self._token(record.client_id)) as portal:
            await portal.put_record(call_id, data)
            for side in SIDES:
                await portal.put_audio(call_id, side, self._spool.audio(call_id, side))
        # Only now: should this process end before, all of it goes out again under the same ID.
        self._spool.remove(call_id)
        self.calls += 1
        self.states.update(change.state for change in record.states)
        log.info("call record delivered", extra={"action": "RecordDelivered", "callID": call_id})
