"""A Kubernetes API server in memory, as far as the controller can tell.

Optimistic concurrency by resourceVersion, generation, the status subresource, finalizers, and a
watch. https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

from simulator.clock import now_text

Object = dict[str, Any]
Path = tuple[str, str, str]
"""(plural, namespace or empty, name)."""


class Refused(Exception):
    """An error answer: HTTP status and message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def merged(old: Any, changes: Any) -> Any:
    """JSON merge patch (RFC 7386)."""
    if not isinstance(changes, dict):
        return changes
    made = dict(old) if isinstance(old, dict) else {}
    for key, value in changes.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = merged(made.get(key), value)
    return made


class ApiServer:
    """Objects by path; `on_change` hears of each version (type, plural, object)."""

    def __init__(self, on_change: Callable[[str, str, Object], None]) -> None:
        self._objects: dict[Path, Object] = {}
        self._before: dict[Path, Object | None] = {}
        self._versions = itertools.count(1)
        self._on_change = on_change

    # --- what people and tests do -------------------------------------------------------------

    def get(self, plural: str, name: str, namespace: str = "") -> Object | None:
        """The newest version."""
        return self._objects.get((plural, namespace, name))

    def all(self, plural: str) -> list[Object]:
        """All objects of a kind."""
        return [obj for (kind, _, _), obj in self._objects.items() if kind == plural]

    def one_write_ago(self, plural: str) -> list[Object]:
        """Each object as it was before its last write: what a cache that lags would say."""
        found = (obj for (kind, _, _), obj in self._before.items() if kind == plural)
        return [obj for obj in found if obj is not None]

    # --- requests -----------------------------------------------------------------------------

    def handle(self, method: str, path: str, body: Object | None) -> Object:
        """Carry a request out; raises `Refused`."""
        plural, namespace, name, sub = _parsed(path)
        where = (plural, namespace, name)
        if method == "GET" and not name:
            items = [o for p, o in self._objects.items() if p[0] == plural]
            return {"items": items, "metadata": {}}
        if method == "POST":
            return self.create(plural, namespace, body or {})
        obj = self._objects.get(where)
        if obj is None:
            raise Refused(404, f"{plural} {name!r} not found")
        match method:
            case "GET":
                return obj
            case "PUT" if sub == "status":
                return self.write(where, body or {}, {"status": (body or {}).get("status", {})})
            case "PATCH" if not sub:
                changes = {k: v for k, v in (body or {}).items() if k != "status"}
                return self.write(where, changes, changes)
            case "DELETE":
                return self.delete(where)
        raise Refused(405, f"{method} {path}")

    def create(self, plural: str, namespace: str, body: Object) -> Object:
        """A new object; 409 where the name is taken."""
        meta = {k: v for k, v in body["metadata"].items() if k != "generateName"}
        meta.setdefault("name", f"{body['metadata'].get('generateName')}{next(self._versions)}")
        where = (plural, namespace, meta["name"])
        if where in self._objects:
            raise Refused(409, f"{plural} {meta['name']!r} already exists")
        meta |= {
            "uid": f"uid-{next(self._versions)}", "generation": 1, "creationTimestamp": now_text(),
        } | ({"namespace": namespace} if namespace else {})  # fmt: skip
        return self._keep(where, "ADDED", {**body, "metadata": meta})

    def write(self, where: Path, precondition: Object, changes: Object) -> Object:
        """Merge changes in, unless `precondition` names an older version."""
        obj = self._objects[where]
        version = precondition.get("metadata", {}).get("resourceVersion")
        if version not in (None, obj["metadata"]["resourceVersion"]):
            raise Refused(409, "the object has been modified")
        made = {**obj, "status": changes["status"]} if "status" in changes else merged(obj, changes)
        made["metadata"] = {**made["metadata"], "generation": obj["metadata"]["generation"]}
        made["metadata"]["resourceVersion"] = obj["metadata"]["resourceVersion"]
        if made == obj:
            return obj
        if made.get("spec") != obj.get("spec"):
            made["metadata"]["generation"] += 1
        return self._keep(where, "MODIFIED", made)

    def delete(self, where: Path) -> Object:
        """Delete, or begin to where finalizers wait for something."""
        obj = self._objects[where]
        if "deletionTimestamp" in obj["metadata"]:
            return obj
        meta = {**obj["metadata"], "deletionTimestamp": now_text()}
        return self._keep(where, "MODIFIED", {**obj, "metadata": meta})

    def _keep(self, where: Path, event: str, obj: Object) -> Object:
        obj["metadata"]["resourceVersion"] = str(next(self._versions))
        # Readers and the watch get copies of their own.
        obj = json.loads(json.dumps(obj))
        self._before[where] = self._objects.get(where)
        meta = obj["metadata"]
        if "deletionTimestamp" in meta and not meta.get("finalizers"):
            del self._objects[where]
            event = "DELETED"
        else:
            self._objects[where] = obj
        self._on_change(event, where[0], obj)
        return obj


def _parsed(path: str) -> tuple[str, str, str, str]:
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 2:
        namespace, parts = parts[1], parts[2:]
    plural, name, sub = [*parts, "", ""][:3]
    return plural, namespace, name, sub
