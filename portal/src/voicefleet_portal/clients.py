"""Clients as the Kubernetes API has them, read with the rights of deploy/rbac/portal.yaml."""

from __future__ import annotations

import base64
import os
import ssl
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx
import yaml

from voicefleet_api.names import API_VERSION
from voicefleet_api.voiceclient import Retention

_TIMEOUT = httpx.Timeout(5, connect=2)
_PAGE = 500
_FRESH_SECONDS = 2.0


class Unavailable(Exception):
    """The API server cannot be asked; the text says why."""


@dataclass(frozen=True)
class Client:
    """What is shown of a VoiceClient."""

    client_id: str
    namespace: str
    name: str
    business: str
    number: str | None
    answering: bool
    why_not: str
    time_zone: str = "UTC"
    """IANA's name."""
    retention: Retention | None = None
    """How long its calls are kept; None where that is not known."""
    email: str | None = None
    """Where messages go."""
    deleted: bool = False
    """Only its calls are left."""

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Client | None:
        """None where the operator has given it no identity yet."""
        meta, spec = manifest["metadata"], manifest["spec"]
        status = manifest.get("status") or {}
        client_id = status.get("clientID")
        if not client_id:
            return None
        conditions = {c["type"]: c for c in status.get("conditions", [])}
        answering = conditions.get("Answering", {})
        up = answering.get("status") == "True"
        return cls(
            client_id,
            meta["namespace"],
            meta["name"],
            spec["business"]["name"],
            status.get("primaryNumber"),
            up,
            "" if up else answering.get("message", "not known yet"),
            spec["business"].get("timeZone", cls.time_zone),
            Retention.model_validate(spec.get("retention", {}), extra="ignore"),
            spec["business"].get("email"),
        )


class Directory(Protocol):
    """Where clients are looked up."""

    async def clients(self) -> list[Client]:
        """All, by name; raises `Unavailable`."""
        ...


@dataclass(frozen=True)
class Access:
    """By which the API server is reached."""

    server: str
    """https:// address."""
    authority: str
    """PEM certificates that it is known by."""
    auth: httpx.Auth


class Kubeconfig:
    """Of an account with a bearer token."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self) -> Access:
        """Raises OSError, KeyError, ValueError, YAMLError."""
        config = yaml.safe_load(self._file.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        token: str = user["token"]
        return Access(cluster["server"], authority, _Bearer(lambda: token))


class ServiceAccount:
    """Of a pod: a folder with `token` and `ca.crt`, and the variables that a kubelet sets.

    https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> Access:
        """Raises OSError, and KeyError outside of a pod."""
        host, port = (os.environ[f"KUBERNETES_SERVICE_{part}"] for part in ("HOST", "PORT"))
        server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        # The kubelet writes another one before it ends.
        auth = _Bearer(lambda: (self._folder / "token").read_text().strip())
        return Access(server, (self._folder / "ca.crt").read_text(), auth)


class _Bearer(httpx.Auth):
    """With the token as it is at each request."""

    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._token()}"
        yield request


class Cluster:
    """The API server; `account` is read when it is first asked."""

    def __init__(self, account: Kubeconfig | ServiceAccount) -> None:
        self._account = account
        self._http: httpx.AsyncClient | None = None
        self._known: list[Client] = []
        self._read_at = float("-inf")

    async def clients(self) -> list[Client]:
        """All, by name, two seconds old at most; raises `Unavailable`."""
        if time.monotonic() - self._read_at > _FRESH_SECONDS:
            try:
                self._known = await self._list()
            except (httpx.HTTPError, OSError, KeyError, ValueError, yaml.YAMLError) as error:
                raise Unavailable(f"the Kubernetes API: {type(error).__name__}") from None
            self._read_at = time.monotonic()
        return self._known

    async def _list(self) -> list[Client]:
        if self._http is None:
            self._http = _connect(self._account.read())
        found: list[Client | None] = []
        after: str | None = ""
        while after is not None:
            answer = await self._http.get(
                f"/apis/{API_VERSION}/voiceclients", params={"limit": _PAGE, "continue": after}
            )
            answer.raise_for_status()
            page = answer.json()
            found += [Client.of(item) for item in page["items"]]
            after = page["metadata"].get("continue") or None
        return sorted(filter(None, found), key=lambda client: (client.business, client.client_id))

    async def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.aclose()


def _connect(access: Access) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=access.server,
        auth=access.auth,
        verify=ssl.create_default_context(cadata=access.authority),
        timeout=_TIMEOUT,
        trust_env=False,
    )
