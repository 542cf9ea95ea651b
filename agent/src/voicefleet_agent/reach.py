"""Where the platform's services are: the machine's models, and the portal that takes records.

On the operator's machine a pod is given a folder with their sockets; in a cluster it cannot be, and
the agent gateway passes requests on (`voicefleet_gateway.services`). Either way they are asked in
the same words, with the client's token.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp


@dataclass(frozen=True, slots=True)
class Reach:
    """An address, and the socket behind it where it is not the network."""

    url: str
    socket: Path | None = None

    def session(self, **options: Any) -> aiohttp.ClientSession:
        """To be made inside the event loop, and closed; `options` are aiohttp's."""
        connector = aiohttp.UnixConnector(str(self.socket)) if self.socket else None
        return aiohttp.ClientSession(connector=connector, **options)


def by_socket(folder: Path, service: str) -> Reach:
    """`stt`, `llm`, `tts` or `portal`, on this machine."""
    return Reach(f"http://{service}", folder / f"{service}.sock")


def by_gateway(address: str, service: str) -> Reach:
    """Through the agent gateway, whose address is ws:// or wss://."""
    return Reach(f"{address.rstrip('/').replace('ws', 'http', 1)}/services/{service}")
