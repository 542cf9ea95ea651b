"""The caller's side of one call's signalling: just enough of SIP (RFC 3261, over UDP) to ring, be
answered, hang up or give up. The sound is somebody else's: G.711 µ-law is what is offered.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import secrets

RING_SECONDS = 20.0
PCMU, KEYS = 0, 101
"""RTP's numbers for G.711 µ-law (RFC 3551) and, as we offer them, keys (RFC 4733)."""
RATE = 8000
"""Hz."""
_RESEND = 0.5
"""Seconds without any answer until a request is sent again, doubled each time (17.1.1.2, 17.1.2.2).
"""
_HANG_UP_SECONDS = 4.0
"""Until nobody is thought to be there to hear that we hang up."""


_Address = tuple[str, int]


class NotAnswered(Exception):
    """The call was refused or nobody answered; the text is the last SIP status."""


class _Socket(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.came: asyncio.Queue[tuple[str, _Address]] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: _Address) -> None:
        self.came.put_nowait((data.decode(errors="replace"), addr))

    def error_received(self, exc: Exception) -> None:
        """Nobody is there (any more): what waits for an answer runs out of time."""


class SipCall:
    """One outgoing call. To be closed, whatever became of it."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        """The other side has hung up."""
        self.requests: list[str] = []
        """Methods of both sides, in order, repetitions included."""
        self._sequence = itertools.count(1)
        self._tag, self._id = secrets.token_hex(6), secrets.token_hex(12)
        self._to = ""
        self._routes: list[str] = []
        """Proxies that want to see what follows (12.1.2), nearest first."""
        self._ringing: tuple[int, str] | None = None
        """The INVITE's sequence number and branch, until there is a final answer."""
        self._wire: asyncio.DatagramTransport | None = None
        self._following: asyncio.Task[None] | None = None

    async def open(self, address: str, port: int, number: str, caller: str, rtp: int) -> _Address:
        """Call `number` at that SIP server, from the server's own address, with sound at our port
        `rtp`. Once answered, says where the other side wants its sound; raises NotAnswered."""
        loop = asyncio.get_running_loop()
        self._wire, self._signals = await loop.create_datagram_endpoint(
            _Socket, local_addr=(address, 0)
        )
        self._next = address, port
        self._here = "{}:{}".format(*self._wire.get_extra_info("sockname"))
        self._uri, self._caller = f"sip:{number}@{address}:{port}", caller
        offer = (
            f"v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n"
            f"m=audio {rtp} RTP/AVP {PCMU} {KEYS}\r\na=rtpmap:{PCMU} PCMU/{RATE}\r\n"
            f"a=rtpmap:{KEYS} telephone-event/{RATE}\r\na=ptime:20\r\n"
        )
        invite, branch = next(self._sequence), _branch()
        self._ringing = invite, branch
        answer = await self._answered(invite, branch, offer)
        self._ringing = None
        self._to = _header(answer, "To")
        self._routes = [*reversed(_headers(answer, "Record-Route"))]
        contact = re.search(r"<([^>]+)>", _header(answer, "Contact"))
        self._uri = contact[1] if contact else self._uri
        # What follows goes to the next proxy that wants it, else straight to who has answered.
        self._next = _place((*self._routes, self._uri)[0], self._next)
        self._send("ACK", invite)
        self._following = asyncio.create_task(self._follow(invite))
        return _media_of(answer)

    async def close(self) -> None:
        """Hang up; give up where it still rings."""
        if self._wire is None:
            return
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
            if not self.gone.is_set():
                await self._bye()
        elif self._ringing is not None:
            self._send("CANCEL", self._ringing[0], branch=self._ringing[1])
        self._wire.close()

    async def _bye(self) -> None:
        """Say it until it is heard: else the other side goes on until it notices the silence."""
        number, branch, wait = next(self._sequence), _branch(), _RESEND
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_HANG_UP_SECONDS):
                while True:
                    self._send("BYE", number, branch=branch)
                    if await self._heard(number, wait):
                        return
                    wait *= 2

    async def _heard(self, number: int, seconds: float) -> bool:
        """Whether our request of that number is answered in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    text, _ = await self._signals.came.get()
                    if text.startswith("SIP/2.0") and _header(text, "CSeq") == f"{number} BYE":
                        return True
        return False

    async def _answered(self, number: int, branch: str, offer: str) -> str:
        status = "no answer"
        wait = _RESEND
        try:
            async with asyncio.timeout(RING_SECONDS):
                self._send("INVITE", number, offer, branch)
                while True:
                    try:
                        text, _ = await asyncio.wait_for(self._signals.came.get(), wait)
                    except TimeoutError:
                        self._send("INVITE", number, offer, branch)
                        wait *= 2
                        continue
                    wait = RING_SECONDS
                    status = text.split("\r\n", 1)[0].removeprefix("SIP/2.0 ")
                    if status.startswith("2"):
                        return text
                    if status[0] in "3456":
                        self._to = _header(text, "To")
                        self._send("ACK", number, branch=branch)
                        self._ringing = None
                        raise NotAnswered(status)
        except TimeoutError:
            raise NotAnswered(status) from None

    def _send(
        self,
        method: str,
        number: int,
        body: str = "",
        branch: str | None = None,
        headers: str = "",
    ) -> None:
        assert self._wire is not None
        self.requests.append(method)
        headers = headers or ("Content-Type: application/sdp\r\n" if body else "")
        headers += "".join(f"Route: {route}\r\n" for route in self._routes)
        me = f"<sip:{self._caller}@{self._here}>"
        message = (
            f"{method} {self._uri} SIP/2.0\r\nVia: SIP/2.0/UDP {self._here};rport;"
            f"branch={branch or _branch()}\r\nMax-Forwards: 70\r\n"
            f"From: {me};tag={self._tag}\r\nTo: {self._to or f'<{self._uri}>'}\r\n"
            f"Call-ID: {self._id}\r\nCSeq: {number} {method}\r\nContact: {me}\r\n"
            f"{headers}Content-Length: {len(body)}\r\n\r\n{body}"
        )
        self._wire.sendto(message.encode(), self._next)

    async def _follow(self, invite: int) -> None:
        """Answer what the other side asks; a BYE ends the call."""
        assert self._wire is not None
        while True:
            text, sender = await self._signals.came.get()
            if text.startswith("SIP/2.0"):
                if text.startswith("SIP/2.0 2") and " INVITE" in _header(text, "CSeq"):
                    self._send("ACK", invite)  # the first one was lost (13.2.2.4)
                continue
            self.requests.append(text.split(" ", 1)[0])
            await self._reply(text, sender)

    async def _reply(self, request: str, sender: _Address) -> None:
        self._respond(request, "200 OK", sender)
        if request.startswith("BYE "):
            self.gone.set()

    def _respond(self, request: str, status: str, sender: _Address) -> None:
        assert self._wire is not None
        lines = request.split("\r\n")
        kept = [line for line in lines if re.match(r"(Via|From|To|Call-ID|CSeq):", line)]
        self._wire.sendto(
            "\r\n".join([f"SIP/2.0 {status}", *kept, "Content-Length: 0", "", ""]).encode(), sender
        )


def _branch() -> str:
    return f"z9hG4bK{secrets.token_hex(8)}"


def _headers(message: str, name: str) -> list[str]:
    """One for each, also where several share a line (7.3.1)."""
    found = re.findall(rf"^{name}:\s*(.*?)\r?$", message, re.MULTILINE | re.IGNORECASE)
    return [one for line in found for one in re.split(r",\s*(?=<)", line)]


def _header(message: str, name: str) -> str:
    return next(iter(_headers(message, name)), "")


def _place(uri: str, otherwise: _Address) -> _Address:
    """Host and port of a SIP URI."""
    found = re.search(r"sips?:(?:[^@>]*@)?([^:;>]+)(?::(\d+))?", uri)
    return (found[1], int(found[2] or 5060)) if found else otherwise


def _media_of(message: str) -> _Address:
    """Where the other side wants its sound (SDP, RFC 8866)."""
    host = re.search(r"^c=IN IP4 (\S+)", message, re.MULTILINE)
    port = re.search(r"^m=audio (\d+)", message, re.MULTILINE)
    if host is None or port is None:
        raise NotAnswered("an answer without sound")
    return host[1], int(port[1])
