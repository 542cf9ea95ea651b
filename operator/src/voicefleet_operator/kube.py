"""The few requests that the controller makes of the API server, with typed outcomes.

Watching our own kinds is kopf's; this is for the rest. One aiohttp session, dicts in and out:
generated clients cost memory for models that we do not need (our models are pydantic's).
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import aiohttp
import kopf

from voicefleet_api.names import API_VERSION, FIELD_MANAGER
from voicefleet_operator import metrics

Object = dict[str, Any]
Objects = list[Object]
logger = logging.getLogger(__name__)

_TIMEOUT = aiohttp.ClientTimeout(total=20, connect=5)
_ATTEMPTS = 4
_PAGE = 500
_WATCH_SECONDS = 300
_LINE = 1 << 20
"""Bytes of a watch event that fit; an object of our own making has a few thousand."""


class Resource(NamedTuple):
    """Where a kind lives in the API."""

    prefix: str
    plural: str


VOICECLIENTS = Resource(f"/apis/{API_VERSION}", "voiceclients")
RECEPTIONISTS = Resource(f"/apis/{API_VERSION}", "receptionists")
PHONENUMBERS = Resource(f"/apis/{API_VERSION}", "phonenumbers")
FLEETS = Resource(f"/apis/{API_VERSION}", "fleets")
NAMESPACES = Resource("/api/v1", "namespaces")
SECRETS = Resource("/api/v1", "secrets")
EVENTS = Resource("/api/v1", "events")
SERVICEACCOUNTS = Resource("/api/v1", "serviceaccounts")
CONFIGMAPS = Resource("/api/v1", "configmaps")
VOLUMECLAIMS = Resource("/api/v1", "persistentvolumeclaims")
PODS = Resource("/api/v1", "pods")
DEPLOYMENTS = Resource("/apis/apps/v1", "deployments")
NETWORKPOLICIES = Resource("/apis/networking.k8s.io/v1", "networkpolicies")
STORAGECLASSES = Resource("/apis/storage.k8s.io/v1", "storageclasses")
LEASES = Resource("/apis/coordination.k8s.io/v1", "leases")


class KubeError(Exception):
    """The API server said no; `status` is the HTTP status, the text its message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Conflict(KubeError):
    """Somebody else has written the object since it was read, or it exists already (409)."""


class NotLeader(Conflict):
    """Another operator may be acting by now: nothing is written, here or at a vendor."""

    def __init__(self) -> None:
        super().__init__(409, "this operator does not hold the lease")


class NotFound(KubeError):
    """There is no such object (404)."""


class KubeUnavailable(KubeError):
    """No answer, or a server error, after all attempts."""


def _path(resource: Resource, namespace: str | None, name: str | None, sub: str | None) -> str:
    parts = [resource.prefix]
    if namespace:
        parts += ["namespaces", namespace]
    parts.append(resource.plural)
    parts += [part for part in (name, sub) if part]
    return "/".join(parts)


class Kube:
    """A session with the API server; use as an async context manager.

    `connect` says how to reach it: at the start, and when the token is refused, since a Pod's is
    replaced before it runs out. `may_write` is asked before every write; without it there is nobody
    to be fenced from.
    """

    def __init__(
        self,
        connect: Callable[[], kopf.ConnectionInfo],
        may_write: Callable[[], bool] = lambda: True,
    ) -> None:
        self._may_write = may_write
        self._connect = connect
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Kube:
        connection = self._connect()
        self._server = connection.server.rstrip("/")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=32, ssl=connection.as_ssl_context()),
            headers={**connection.as_http_headers(), "User-Agent": FIELD_MANAGER},
            timeout=_TIMEOUT,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    def ensure_leader(self) -> None:
        """Raises `NotLeader` where nothing may be written any more."""
        if not self._may_write():
            raise NotLeader

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Object:
        """One object; raises `NotFound`."""
        return await self._request("GET", _path(resource, namespace, name, None))

    async def list(
        self, resource: Resource, namespace: str | None = None, *, selector: str = ""
    ) -> Objects:
        """All objects of a kind, in all namespaces or in one, page by page.

        `selector`: only those with such labels.
        """
        return (await self._list(resource, namespace, selector))[0]

    async def watch(self, resource: Resource, selector: str) -> AsyncIterator[tuple[str, Object]]:
        """What there is, each as ("ADDED", object); then ("BOOKMARK", {}); then what changes.

        Ends when the server ends it, after minutes: begin again. Raises `KubeError`.
        https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
        """
        items, version = await self._list(resource, None, selector)
        for item in items:
            yield "ADDED", item
        yield "BOOKMARK", {}
        path = _path(resource, None, None, None)
        params = {
            "watch": "true",
            "labelSelector": selector,
            "resourceVersion": version,
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        timeout = aiohttp.ClientTimeout(total=_WATCH_SECONDS + 30, connect=5)
        try:
            async with self._opened().get(
                self._server + path, params=params, timeout=timeout, read_bufsize=_LINE
            ) as response:
                if response.status >= 400:
                    raise _error(response.status, await response.text())
                async for line in response.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        # As a rule: the version has been forgotten (410).
                        return
                    yield event["type"], event["object"]
        except (aiohttp.ClientError, TimeoutError) as exc:
            raise KubeUnavailable(0, f"watching {path}: {type(exc).__name__}") from exc

    async def create(
        self, resource: Resource, body: Object, namespace: str | None = None
    ) -> Object:
        """Create; raises `Conflict` where the name is taken."""
        return await self._request(
            "POST", _path(resource, namespace, None, None), body, written=("create", resource)
        )

    async def apply(self, resource: Resource, body: Object, namespace: str | None = None) -> Object:
        """Server-side apply: the fields in `body` become ours, all others stay as they are.

        A field of ours that somebody else has changed is taken back; one that is no longer in
        `body`, and nobody else wants, goes.
        https://kubernetes.io/docs/reference/using-api/server-side-apply/
        """
        return await self._request(
            "PATCH",
            _path(resource, namespace, body["metadata"]["name"], None),
            body,
            params={"force": "true"},
            content_type="application/apply-patch+yaml",
            written=("apply", resource),
        )

    async def patch(
        self, resource: Resource, name: str, body: Object, namespace: str | None = None
    ) -> Object:
        """JSON merge patch (RFC 7386); a stale `metadata.resourceVersion` in it is a `Conflict`."""
        return await self._request(
            "PATCH",
            _path(resource, namespace, name, None),
            body,
            content_type="application/merge-patch+json",
            written=("patch", resource),
        )

    async def replace_status(
        self, resource: Resource, body: Object, namespace: str | None = None
    ) -> Object:
        """Write the whole status; `Conflict` unless `body` has the newest resourceVersion."""
        name = body["metadata"]["name"]
        path = _path(resource, namespace, name, "status")
        return await self._request("PUT", path, body, written=("update-status", resource))

    async def delete(self, resource: Resource, name: str, namespace: str | None = None) -> None:
        """Delete; fine if it is gone already."""
        try:
            path = _path(resource, namespace, name, None)
            await self._request("DELETE", path, written=("delete", resource))
        except NotFound:
            return

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("Kube is used outside its context")
        return self._session

    async def _list(
        self, resource: Resource, namespace: str | None, selector: str
    ) -> tuple[Objects, str]:
        """The objects, and the version that a watch goes on from."""
        items: Objects = []
        params = {"limit": str(_PAGE)} | ({"labelSelector": selector} if selector else {})
        path = _path(resource, namespace, None, None)
        while True:
            page = await self._request("GET", path, params=params)
            items += page["items"]
            token = page["metadata"].get("continue")
            if not token:
                return items, page["metadata"].get("resourceVersion", "")
            params["continue"] = token

    async def _request(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        *,
        params: dict[str, str] | None = None,
        content_type: str = "application/json",
        written: tuple[str, Resource] | None = None,
    ) -> Object:
        """Repeats what is safe to repeat: reads, and writes that the server turned away (401, 429).

        `written`: what a write is counted as.
        """
        session = self._opened()
        query = dict(params or {})
        if written is not None:
            self.ensure_leader()
            query["fieldManager"] = FIELD_MANAGER
            metrics.KUBE_WRITES.labels(written[0], written[1].plural).inc()
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": content_type} if data is not None else None
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                async with session.request(
                    method, self._server + path, params=query, data=data, headers=headers
                ) as response:
                    text = await response.text()
                    if response.status < 400:
                        answer: Object = json.loads(text)
                        return answer
                    error = _error(response.status, text)
                    if response.status == 401:
                        session.headers.update(self._connect().as_http_headers())
                    retry = response.status in (401, 429) or (
                        method == "GET" and response.status >= 500
                    )
            except (aiohttp.ClientError, TimeoutError) as exc:
                error = KubeUnavailable(0, f"{method} {path}: {type(exc).__name__}")
                # A write that may have arrived is not repeated here: its resourceVersion would be
                # refused, or it would exist already; the next reconciliation reads what happened.
                retry = method == "GET" or isinstance(exc, aiohttp.ClientConnectorError)
            if not retry or attempt == _ATTEMPTS:
                raise error
            await asyncio.sleep(0.2 * 2**attempt * random.uniform(0.5, 1))  # noqa: S311
        raise AssertionError("unreachable")


def _error(status: int, text: str) -> KubeError:
    try:
        message = json.loads(text).get("message", text)
    except ValueError:
        message = text[:500]
    kind = {404: NotFound, 409: Conflict}.get(
        status, KubeUnavailable if status >= 500 else KubeError
    )
    return kind(status, message)
