"""The newest known copy of every object of ours, as an informer keeps it.

Fed by kopf's watch, by our own listings, and by the answers to our own writes (so that a
reconciliation sees what it has just written). Older copies never replace newer ones.
"""

from __future__ import annotations

from collections.abc import Iterator

from voicefleet_operator.kube import Object
from voicefleet_operator.workqueue import Key


def key_of(obj: Object) -> Key:
    """The queue's key of an object that carries its `kind`."""
    meta = obj["metadata"]
    return Key(obj["kind"], meta.get("namespace") or "", meta["name"])


def _version(obj: Object) -> int:
    # Opaque in general, but comparable for one kind on every server since 1.35 (KEP-5504).
    return int(obj["metadata"]["resourceVersion"])


class Store:
    """Objects by key; lives in the controller's event loop."""

    def __init__(self) -> None:
        self._objects: dict[Key, Object] = {}

    def put(self, obj: Object) -> bool:
        """Take a copy in; False where it is not newer than what is here."""
        key = key_of(obj)
        known = self._objects.get(key)
        if known is not None and _version(known) >= _version(obj):
            return False
        obj["metadata"].pop("managedFields", None)
        self._objects[key] = obj
        return True

    def remove(self, key: Key) -> Object | None:
        """Forget an object; what was known of it."""
        return self._objects.pop(key, None)

    def get(self, key: Key) -> Object | None:
        """The newest known copy."""
        return self._objects.get(key)

    def of_kind(self, kind: str) -> Iterator[Object]:
        """All objects of a kind."""
        return (obj for key, obj in list(self._objects.items()) if key.kind == kind)
