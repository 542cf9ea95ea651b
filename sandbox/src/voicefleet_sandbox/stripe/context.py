"""One request to Stripe: who asks, with what, and where things are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from voicefleet_sandbox.store import Document, Store, new_id
from voicefleet_sandbox.stripe.wire import (
    Params,
    StripeError,
    created_filter,
    integer,
    missing,
)

VENDOR = "stripe"


@dataclass
class Context:
    """Handlers get one, run to their end inside one transaction, and return a document."""

    store: Store
    account: str
    params: Params
    base_url: str
    """Where the sandbox itself is reached, for links to pay by."""
    moment: int | None = None
    """When it happens, where that is not now: what has fallen due is done in its own time."""

    @property
    def now(self) -> int:
        """Whole seconds on the sandbox's clock."""
        return int(self.store.now()) if self.moment is None else self.moment

    def get(self, kind: str, id_: str, param: str = "id") -> Document:
        """An object; raises Stripe's `resource_missing`."""
        doc = self.store.get(VENDOR, self.account, kind, id_)
        if doc is None:
            raise missing(kind, id_, param)
        return doc

    def put(self, kind: str, doc: Document) -> Document:
        """Keep an object."""
        return self.store.put(VENDOR, self.account, kind, doc)

    def all(self, kind: str, **fields: object) -> list[Document]:
        """All objects of a type, newest first; `fields` as `Store.scan` takes them."""
        return self.store.all(VENDOR, self.account, kind, **fields)

    def page(
        self,
        kind: str,
        url: str,
        keep: Callable[[Document], bool] = lambda _: True,
        **fields: object,
    ) -> Document:
        """A list object (https://docs.stripe.com/api/pagination), newest first.

        `limit`, `starting_after`, `ending_before` and `created` are taken from the parameters.
        """
        limit = integer(self.params, "limit", 10)
        if not 1 <= limit <= 100:
            raise StripeError("Invalid integer: limit must be between 1 and 100", param="limit")
        backwards = "ending_before" in self.params
        name = "ending_before" if backwards else "starting_after"
        after = self.params.get(name)
        if after is not None:
            self.get(kind, after, name)
        created = created_filter(self.params.get("created"))
        rows = self.store.scan_from(
            VENDOR, self.account, kind, fields, after=after, oldest_first=backwards
        )
        found = list(islice((doc for doc in rows if created(doc) and keep(doc)), limit + 1))
        data = found[:limit][::-1] if backwards else found[:limit]
        return {"object": "list", "url": url, "has_more": len(found) > limit, "data": data}

    def book(self, kind: str, id_: str, **fields: Any) -> None:
        """Write into the ledger."""
        self.store.book(VENDOR, self.account, kind, id_, **fields)

    def emit(self, kind: str, doc: Document) -> None:
        """Note an event (https://docs.stripe.com/api/events), and who is to be told of it."""
        endpoints = [
            endpoint["id"]
            for endpoint in self.all("webhook_endpoint")
            if endpoint["status"] == "enabled" and {"*", kind} & set(endpoint["enabled_events"])
        ]
        event: Document = {
            "id": new_id("evt_"),
            "object": "event",
            "api_version": None,
            "created": self.now,
            "data": {"object": doc},
            "livemode": False,
            "pending_webhooks": len(endpoints),
            "request": None,
            "type": kind,
        }
        self.put("event", event)
        for endpoint in endpoints:
            self.store.enqueue(self.account, endpoint, event["id"])
