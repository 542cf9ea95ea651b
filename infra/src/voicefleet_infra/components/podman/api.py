"""Podman's API, as much of it as the resources need.

podman-py's `APIClient` is used rather than its objects, which render options that Podman 4.3 does
not know. API: libpod, Podman 4.3 and newer, https://docs.podman.io/en/latest/_static/api.html.
"""

from __future__ import annotations

import json
from typing import Any, cast

from podman.api.client import APIClient
from podman.errors import NotFound

from voicefleet_api.names import GROUP

OWNED = {f"{GROUP}/managed-by": "pulumi"}
"""Label of what these resources have made: of that alone they remove what is in their way."""
_SECONDS = 120.0


class Podman:
    """Podman at a Unix socket. Requests raise podman-py's `APIError`."""

    def __init__(self, socket: str) -> None:
        self._client = APIClient(base_url=f"unix://{socket}")

    def inspect(self, kind: str, name: str) -> dict[str, Any] | None:
        """A thing (`kind`: networks, volumes, secrets, pods, containers); None where it is not."""
        try:
            return cast(dict[str, Any], self._send("get", f"/{kind}/{name}/json").json())
        except NotFound:
            return None

    def create(self, kind: str, body: dict[str, Any]) -> None:
        """Create a thing."""
        self._send("post", f"/{kind}/create", data=json.dumps(body).encode())

    def create_secret(self, name: str, content: str) -> str:
        """Create a secret; its ID, by which it is known from another of the same name."""
        answer = self._send("post", "/secrets/create", data=content.encode(), params={"name": name})
        return str(answer.json()["ID"])

    def start_pod(self, name: str) -> None:
        """Start all containers of a pod."""
        self._send("post", f"/pods/{name}/start")

    def stop_pod(self, name: str, seconds: int) -> None:
        """Stop a pod that may not exist; what has not ended by then is killed."""
        try:
            self._send("post", f"/pods/{name}/stop", params={"t": str(seconds)})
        except NotFound:
            return

    def remove(self, kind: str, name: str) -> None:
        """Remove a thing that may not exist, with what is in it."""
        try:
            self._send("delete", f"/{kind}/{name}", params={"force": "true"})
        except NotFound:
            return

    def log_end(self, container: str, lines: int = 8) -> str:
        """The last lines that a container has said."""
        params = {"stdout": "true", "stderr": "true", "tail": str(lines)}
        try:
            raw = self._send("get", f"/containers/{container}/logs", params=params).content
        except NotFound:
            return ""
        return _text(raw)

    def _send(self, method: str, path: str, **request: Any) -> Any:
        headers = {"Content-Type": "application/json"}
        call = getattr(self._client, method)
        answer = call(path, timeout=_SECONDS, headers=headers, **request)
        answer.raise_for_status()
        return answer


def _text(raw: bytes) -> str:
    """What a log's frames hold: a header of eight bytes, the last four of them the length."""
    said = b""
    while len(raw) >= 8:
        length = int.from_bytes(raw[4:8], "big")
        said += raw[8 : 8 + length]
        raw = raw[8 + length :]
    return said.decode(errors="replace").strip()
