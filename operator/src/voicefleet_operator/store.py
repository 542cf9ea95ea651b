"""The newest known copy of every object of ours, as an informer keeps it.

Fed by kopf's watch, by our own listings, and by the answers to our own writes (so that a
reconciliation sees what it has just written). Older copies never replace newer ones.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from voicefleet_operator.kube import Object
from voicefleet_operator.planning.indexed import Indexed
from voicefleet_operator.workqueue import Key


def key_of(obj: Object) -> Key:
    """The queue's key of an object that carries its `kind`."""
    meta = obj["metadata"]
    return Key(obj["kind"], meta.get("namespace") or "", meta["name"])


def _version(obj: Object) -> int:
    # Opaque in general, but comparable for one kind on every server since 1.35 (KEP-5504).
    return int(obj["metadata"]["resourceVersion"])


def _references(obj: Object) -> Iterator[tuple[str, str | None]]:
    """By what else than its key an object is looked up."""
    status = obj.get("status") or {}
    if obj["kind"] == "VoiceClient":
        yield "clientID", status.get("clientID")
    elif obj["kind"] == "PhoneNumber":
        yield "claimedBy", (obj["spec"].get("claimRef") or {}).get("clientID")
        if status.get("operations"):
            yield "beingBought", None


def _sharing(value: Any) -> Any:
    """The same with equal strings kept once: field names, reasons and messages repeat in each."""
    if isinstance(value, dict):
        return {sys.intern(name): _sharing(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_sharing(part) for part in value]
    return sys.intern(value) if isinstance(value, str) else value


class Store:
    """Objects by key; lives in the controller's event loop."""

    def __init__(self) -> None:
        self._kinds: defaultdict[str, Indexed[Key, Object]] = defaultdict(
            lambda: Indexed(_references)
        )

    def put(self, obj: Object) -> bool:
        """Take a copy in; False where it is not newer than what is here."""
        key = key_of(obj)
        known = self.get(key)
        if known is not None and _version(known) >= _version(obj):
            return False
        obj["metadata"].pop("managedFields", None)
        self._kinds[key.kind][key] = _sharing(obj)
        return True

    def remove(self, key: Key) -> Object | None:
        """Forget an object; what was known of it."""
        return self._kinds[key.kind].pop(key, None)

    def get(self, key: Key) -> Object | None:
        """The newest known copy."""
        return self._kinds[key.kind].get(key)

    def of_kind(self, kind: str) -> list[Object]:
        """All objects of a kind."""
        return list(self._kinds[kind].values())

    def clients_of(self, client_id: str) -> list[Object]:
        """The VoiceClient with that identity: one, or none."""
        return self._kinds["VoiceClient"].by(("clientID", client_id))

    def numbers_of(self, client_id: str | None) -> list[Object]:
        """PhoneNumbers that a client claims, or nobody does."""
        return self._kinds["PhoneNumber"].by(("claimedBy", client_id))

    def numbers_being_bought(self) -> list[Object]:
        """PhoneNumbers with a purchase of unknown outcome."""
        return self._kinds["PhoneNumber"].by(("beingBought", None))
