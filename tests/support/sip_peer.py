"""The other end of a SIP call, in the test's own process: rings, answers, gives the sound back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from voicefleet_cli.telephone.signalling import KEYS

HOST = "127.0.0.1"
ECHO = 0.9
"""Seconds after which sound comes back."""


class Echo(asyncio.DatagramProtocol):
    """Sends packets back to where they came from, later; not those that are `lost`, counted by the
    caller's sequence numbers."""

    def __init__(self, lost: Callable[[int], bool] = lambda _: False) -> None:
        self._lost = lost
        self.keys: list[tuple[int, str]] = []
        """Packets that end a key of the phone: its time and which (RFC 4733, 2.3)."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if data[1] & 0x7F == KEYS and data[13] & 0x80:
            self.keys.append((int.from_bytes(data[4:8]), "0123456789*#"[data[12]]))
        if not self._lost(int.from_bytes(data[2:4])):
            asyncio.get_running_loop().call_later(ECHO, self.transport.sendto, data, addr)


class Server(asyncio.DatagramProtocol):
    """Answers INVITEs with that status and the echo's port, and BYEs; each from the `deaf`-th on.
    Notes what comes."""

    def __init__(self, status: str, media: int, deaf: int, echo: Echo) -> None:
        self.status, self.media, self.deaf, self.echo = status, media, deaf, echo
        self.methods: list[str] = []
        self.port = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        text = data.decode()
        self.methods.append(text.split()[0])
        method = self.methods[-1]
        if method not in ("INVITE", "BYE") or self.methods.count(method) <= self.deaf:
            return
        body = f"v=0\r\nc=IN IP4 {HOST}\r\nm=audio {self.media} RTP/AVP 0\r\n"
        kept = [h for h in text.split("\r\n") if h.startswith(("Via", "From", "Call-ID", "CSeq"))]
        status = self.status if method == "INVITE" else "200 OK"
        to = next(h for h in text.split("\r\n") if h.startswith("To"))
        lines = [f"SIP/2.0 {status}", *kept, f"{to};tag=there", f"Content-Length: {len(body)}"]
        self.transport.sendto("\r\n".join([*lines, "", body]).encode(), addr)


@asynccontextmanager
async def peer(
    status: str, *, deaf: int = 0, lost: Callable[[int], bool] = lambda _: False
) -> AsyncIterator[Server]:
    """Listens on a free port of loopback."""
    loop = asyncio.get_running_loop()
    media, echo = await loop.create_datagram_endpoint(lambda: Echo(lost), local_addr=(HOST, 0))
    port = media.get_extra_info("sockname")[1]
    signals, server = await loop.create_datagram_endpoint(
        lambda: Server(status, port, deaf, echo), local_addr=(HOST, 0)
    )
    try:
        yield server
    finally:
        await asyncio.sleep(0.1)  # for what is on its way
        signals.close()
        media.close()
