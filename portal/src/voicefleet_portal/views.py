"""What pages and JSON have in common: which clients there are, and their calls."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request

from voicefleet_api.calls import CallRecord
from voicefleet_portal.clients import Client, Directory, Unavailable
from voicefleet_portal.live import Live
from voicefleet_portal.store import Store

MAX_LIMIT = 500


@dataclass(frozen=True)
class Query:
    """Which calls are wanted."""

    q: str
    before: datetime | None
    limit: int

    @classmethod
    def of(cls, request: Request, limit: int) -> Query:
        """From `q`, `before` (RFC 3339) and `limit`; raises `HTTPException` 400."""
        given = request.query_params
        try:
            before = datetime.fromisoformat(given["before"]) if given.get("before") else None
        except ValueError:
            raise HTTPException(400, "before: want a time as 2026-01-31T12:00:00Z") from None
        text = given.get("limit", str(limit))
        if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_LIMIT):
            raise HTTPException(400, f"limit: want a number from 1 to {MAX_LIMIT}")
        return cls(given.get("q", ""), before, int(text))


@dataclass(frozen=True)
class Views:
    """Reads only."""

    store: Store
    live: Live
    directory: Directory

    async def clients(self) -> tuple[list[Client], str]:
        """Those of the cluster, then those of which only calls are left; and what went wrong."""
        try:
            known, trouble = await self.directory.clients(), ""
        except Unavailable as error:
            known, trouble = [], str(error)
        ids = {client.client_id for client in known}

        def left() -> list[Client]:
            return [
                Client(
                    i, "", i, i, None, False, "",
                    retention=self.store.retention(i, None), deleted=not trouble,
                )
                for i in self.store.clients()
                if i not in ids and self.store.search(i, limit=1)
            ]  # fmt: skip

        return [*known, *await run_in_threadpool(left)], trouble

    async def client(self, client_id: str) -> Client:
        """Raises `HTTPException` 404."""
        for client in (await self.clients())[0]:
            if client.client_id == client_id:
                return client
        raise HTTPException(404, f"there is no client {client_id}")

    async def calls(self, clients: Sequence[str], query: Query) -> list[CallRecord]:
        """Of those clients, newest first."""

        def read() -> list[CallRecord]:
            each = [
                self.store.search(i, q=query.q, before=query.before, limit=query.limit)
                for i in clients
            ]
            newest = heapq.merge(*each, key=lambda call: call.started.timestamp(), reverse=True)
            return list(itertools.islice(newest, query.limit))

        return await run_in_threadpool(read)

    async def call(self, client_id: str, call_id: str) -> CallRecord:
        """Raises `HTTPException` 404."""
        record = await run_in_threadpool(self.store.get, client_id, call_id)
        if record is None:
            raise HTTPException(404, f"there is no call {call_id}")
        return record
