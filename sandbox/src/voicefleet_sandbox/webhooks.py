"""Delivers Stripe's events to registered endpoints, signed as Stripe signs them.

https://docs.stripe.com/webhooks#verify-manually: HMAC-SHA256 over `timestamp.payload`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging

import httpx

from voicefleet_sandbox.store import Document, Store

logger = logging.getLogger(__name__)

_ATTEMPTS = 6


def signature(secret: str, timestamp: int, payload: str) -> str:
    """The value of the `Stripe-Signature` header."""
    digest = hmac.new(secret.encode(), f"{timestamp}.{payload}".encode(), hashlib.sha256)
    return f"t={timestamp},v1={digest.hexdigest()}"


class Webhooks:
    """Delivers in the background; each delivery is tried again with growing pauses."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tasks: set[asyncio.Task[None]] = set()

    def deliver(self, account: str, events: list[Document]) -> None:
        """Send the events to every endpoint of the account that wants them."""
        if not events:
            return
        for endpoint in self._store.all("stripe", account, "webhook_endpoint"):
            for event in events:
                if {"*", event["type"]} & set(endpoint["enabled_events"]):
                    task = asyncio.create_task(self._send(endpoint, event))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)

    async def _send(self, endpoint: Document, event: Document) -> None:
        payload = json.dumps(event)
        for attempt in range(_ATTEMPTS):
            headers = {
                "Content-Type": "application/json",
                "Stripe-Signature": signature(endpoint["secret"], int(self._store.now()), payload),
            }
            try:
                async with httpx.AsyncClient(timeout=10) as client:
                    answer = await client.post(endpoint["url"], content=payload, headers=headers)
                if answer.is_success:
                    return
            except httpx.HTTPError as error:
                logger.info("webhook %s: %s", event["type"], type(error).__name__)
            await asyncio.sleep(0.5 * 2**attempt)

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
