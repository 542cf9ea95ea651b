"""One request to Stripe: who asks, with what, and where things are kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from voicefleet_sandbox.store import Document, Store, new_id
from voicefleet_sandbox.stripe.wire import Params, missing

VENDOR = "stripe"


@dataclass
class Context:
    """Handlers get one, run to their end inside one transaction, and return a document."""

    store: Store
    account: str
    params: Params
    base_url: str
    """Where the sandbox itself is reached, for links to pay by."""
    events: list[Document] = field(default_factory=list)
    """What has happened, for webhooks."""

    @property
    def now(self) -> int:
        """Whole seconds on the sandbox's clock."""
        return int(self.store.now())

    def get(self, kind: str, id_: str, param: str = "id") -> Document:
        """An object; raises Stripe's `resource_missing`."""
        doc = self.store.get(VENDOR, self.account, kind, id_)
        if doc is None:
            raise missing(kind, id_, param)
        return doc

    def put(self, kind: str, doc: Document) -> Document:
        """Keep an object."""
        return self.store.put(VENDOR, self.account, kind, doc)

    def all(self, kind: str) -> list[Document]:
        """All objects of a type, newest first."""
        return self.store.all(VENDOR, self.account, kind)

    def book(self, kind: str, id_: str, **fields: Any) -> None:
        """Write into the ledger."""
        self.store.book(VENDOR, self.account, kind, id_, **fields)

    def emit(self, kind: str, doc: Document) -> None:
        """Note an event (https://docs.stripe.com/api/events); webhooks get it after the reply."""
        event = {
            "id": new_id("evt_"),
            "object": "event",
            "api_version": None,
            "created": self.now,
            "data": {"object": doc},
            "livemode": False,
            "pending_webhooks": 0,
            "request": None,
            "type": kind,
        }
        self.put("event", event)
        self.events.append(event)
