"""Delivers Stripe's events to registered endpoints, signed as Stripe signs them.

https://docs.stripe.com/webhooks#verify-manually: HMAC-SHA256 over `timestamp.payload`.
What is to be delivered is in the store, so that nothing is lost when the process is killed.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import time

import httpx

from voicefleet_sandbox.store import Document, Store

logger = logging.getLogger(__name__)

_ATTEMPTS = 8
_FIRST_PAUSE = 0.25
"""Seconds, doubled after each failure; Stripe's own pauses are minutes and hours."""


def signature(secret: str, timestamp: int, payload: str) -> str:
    """The value of the `Stripe-Signature` header."""
    digest = hmac.new(secret.encode(), f"{timestamp}.{payload}".encode(), hashlib.sha256)
    return f"t={timestamp},v1={digest.hexdigest()}"


class Webhooks:
    """Delivers in the background; each delivery is tried again with growing pauses."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen = 0
        # No proxy of the environment's: endpoints are on this machine.
        self._client = httpx.AsyncClient(timeout=10, trust_env=False)

    def poke(self) -> None:
        """Begin with what has been written since the last time."""
        for row in self._store.deliveries(self._seen):
            self._seen = row["seq"]
            endpoint = self._store.get(
                "stripe", row["account"], "webhook_endpoint", row["endpoint"]
            )
            event = self._store.get("stripe", row["account"], "event", row["event"])
            if endpoint is None or event is None:
                self._store.delivered(row["seq"])
                continue
            task = asyncio.create_task(self._deliver(row["seq"], endpoint, event))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _deliver(self, seq: int, endpoint: Document, event: Document) -> None:
        payload = json.dumps(event)
        for attempt in range(_ATTEMPTS):
            if await self._send(endpoint, event["type"], payload):
                break
            await asyncio.sleep(_FIRST_PAUSE * 2**attempt)
        self._store.delivered(seq)

    async def _send(self, endpoint: Document, kind: str, payload: str) -> bool:
        headers = {
            "Content-Type": "application/json",
            # Receivers refuse what is minutes old: the time is the wall clock's.
            "Stripe-Signature": signature(endpoint["secret"], int(time.time()), payload),
        }
        try:
            answer = await self._client.post(endpoint["url"], content=payload, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            logger.info("webhook %s: %s", kind, type(error).__name__)
            return False
        return answer.is_success

    async def close(self) -> None:
        """Stop; what is under way begins anew at the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()
