"""Connections that end without a reply: uvicorn has no way to ask for that."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from uvicorn.protocols.http.h11_impl import H11Protocol

_TRANSPORT = "voicefleet.transport"


class _Joined:
    """A transport that sends what is written at one go as one piece: head and body of a reply."""

    def __init__(self, inner: asyncio.Transport) -> None:
        self._inner = inner
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def write(self, data: bytes) -> None:
        if not self._parts:
            asyncio.get_running_loop().call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        self._flush()
        self._inner.close()

    def _flush(self) -> None:
        if self._parts:
            self._inner.write(b"".join(self._parts))
            self._parts.clear()


class Protocol(H11Protocol):
    """uvicorn's protocol, which lets the application reach its connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        inner = self.app

        async def app(scope: Any, receive: Any, send: Any) -> None:
            scope.setdefault("extensions", {})[_TRANSPORT] = self.transport
            await inner(scope, receive, send)

        self.app = app

    def connection_made(self, transport: Any) -> None:
        """uvicorn writes a reply's head and body one after the other."""
        super().connection_made(_Joined(transport))  # type: ignore[arg-type]


async def cut(request: Request, *, reset: bool) -> Response:
    """Close the connection, by RST if `reset`; the response that is returned reaches nobody."""
    transport = request.scope["extensions"][_TRANSPORT]
    if reset:
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    await asyncio.sleep(0.01)
    return Response()
