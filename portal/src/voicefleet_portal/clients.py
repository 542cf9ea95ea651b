"""Clients as the Kubernetes API has them, read with the rights of deploy/rbac/portal.yaml."""

from __future__ import annotations

import base64
import ssl
import time
from collections.abc import Mapping
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


class Cluster:
    """The API server that a kubeconfig (CA and bearer token) names."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
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
            self._http = _connect(yaml.safe_load(self._kubeconfig.read_text()))
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


def _connect(config: Mapping[str, Any]) -> httpx.AsyncClient:
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    return httpx.AsyncClient(
        base_url=cluster["server"],
        headers={"Authorization": f"Bearer {user['token']}"},
        verify=ssl.create_default_context(cadata=authority),
        timeout=_TIMEOUT,
        trust_env=False,
    )
