"""A telephone of our own: one call by SIP and RTP, whose every sample is placed by our clock.

A finished phone (baresip) plays a file and decides itself when; here each 20 ms of sound goes out
when the clock says so, and what comes in is noted when it comes. Just enough of RFC 3261 and
RFC 3550 to ring, be answered, talk G.711 µ-law and hang up. Raises `NotAnswered`.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import secrets
import struct
import time

import numpy as np

from voicefleet_cli.telephone.line import Tape
from voicefleet_cli.telephone.sound import RATE, Samples, decode, encode

FRAME = RATE // 50
"""Samples in a packet of 20 ms."""
RING_SECONDS = 20.0
_PCMU, _KEYS = 0, 101
"""Payload types; the second one is for keys (RFC 4733)."""


class NotAnswered(Exception):
    """The call was refused or nobody answered; the text is the last SIP status."""


class _Socket(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.came: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.came.put_nowait((time.monotonic(), data))


class SipLine:
    """A call to a number, with a noise that goes on for as long as it lasts."""

    def __init__(self, noise: Samples) -> None:
        self.gone = False
        self.requests: list[str] = []
        """Of both sides, in order."""
        self._noise = noise
        self._saying: Samples = np.zeros(0)
        self._said = asyncio.Event()
        self._key: list[bytes] = []
        """Payloads of a key that is being pressed, one a packet."""
        self._frames = 0
        self.began = time.monotonic()
        self._mouth, self._ear = Tape(), Tape()
        self._tasks: list[asyncio.Task[None]] = []
        self._sequence = itertools.count(1)
        self._tag, self._id = secrets.token_hex(6), secrets.token_hex(12)
        self._to = ""

    @property
    def now(self) -> float:
        return time.monotonic() - self.began

    @property
    def last_loud(self) -> float | None:
        return self._ear.last_loud

    async def open(self, address: str, port: int, number: str, caller: str) -> None:
        """Call `number` at that SIP server from its own address; returns once answered."""
        loop = asyncio.get_running_loop()
        local = (address, 0)
        self._wire, self._signals = await loop.create_datagram_endpoint(
            _Socket, local_addr=local, remote_addr=(address, port)
        )
        self._media, self._sound = await loop.create_datagram_endpoint(_Socket, local_addr=local)
        self._here = "{}:{}".format(*self._wire.get_extra_info("sockname"))
        self._uri, self._caller = f"sip:{number}@{address}:{port}", caller
        rtp = self._media.get_extra_info("sockname")[1]
        offer = (
            f"v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n"
            f"m=audio {rtp} RTP/AVP {_PCMU} {_KEYS}\r\na=rtpmap:{_PCMU} PCMU/{RATE}\r\n"
            f"a=rtpmap:{_KEYS} telephone-event/{RATE}\r\na=ptime:20\r\n"
        )
        invite = next(self._sequence)
        self._send("INVITE", invite, offer)
        try:
            answer = await self._answered()
        except BaseException:
            self._close()
            raise
        self._to = _header(answer, "To")
        self._send("ACK", invite)
        host, media = _media_of(answer)
        self._tasks = [
            asyncio.create_task(work)
            for work in (self._speak((host, media)), self._listen(), self._follow())
        ]

    async def say(self, speech: Samples) -> tuple[float, float]:
        start = self._frames * FRAME / RATE
        self._saying = speech
        self._said.clear()
        await self._said.wait()
        return start, start + len(speech) / RATE

    def press(self, key: str) -> None:
        """Press a key of the phone for 160 ms; its end is said three times (RFC 4733, 2.5.1.4)."""
        code = "0123456789*#".index(key)
        self._key = [
            struct.pack("!BBH", code, 10 | (0x80 if packet >= 8 else 0), FRAME * min(packet, 8))
            for packet in range(1, 11)
        ]

    def recordings(self) -> tuple[Samples, Samples]:
        return self._mouth.samples(), self._ear.samples()

    async def hang_up(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not self.gone:
            self._send("BYE", next(self._sequence))
        self._close()

    def _close(self) -> None:
        self._wire.close()
        self._media.close()

    async def _answered(self) -> str:
        status = "no answer"
        try:
            async with asyncio.timeout(RING_SECONDS):
                while True:
                    text = (await self._signals.came.get())[1].decode(errors="replace")
                    status = text.split("\r\n", 1)[0].removeprefix("SIP/2.0 ")
                    if status.startswith("2"):
                        return text
                    if status[0] in "3456":
                        raise NotAnswered(status)
        except TimeoutError:
            raise NotAnswered(status) from None

    def _send(self, method: str, number: int, body: str = "", kind: str = "") -> None:
        self.requests.append(method)
        kind = kind or ("Content-Type: application/sdp\r\n" if body else "")
        me = f"<sip:{self._caller}@{self._here}>"
        message = (
            f"{method} {self._uri} SIP/2.0\r\nVia: SIP/2.0/UDP {self._here};rport;"
            f"branch=z9hG4bK{secrets.token_hex(8)}\r\nMax-Forwards: 70\r\n"
            f"From: {me};tag={self._tag}\r\nTo: {self._to or f'<{self._uri}>'}\r\n"
            f"Call-ID: {self._id}\r\nCSeq: {number} {method}\r\nContact: {me}\r\n"
            f"{kind}Content-Length: {len(body)}\r\n\r\n{body}"
        )
        self._wire.sendto(message.encode())

    async def _follow(self) -> None:
        """Answer what the other side asks; a BYE ends the call."""
        while True:
            text = (await self._signals.came.get())[1].decode(errors="replace")
            if text.startswith("SIP/2.0"):
                continue
            self.requests.append(text.split(" ", 1)[0])
            await self._reply(text)

    async def _reply(self, text: str) -> None:
        self._respond(text, "200 OK")
        self.gone = self.gone or text.startswith("BYE ")

    def _respond(self, text: str, status: str) -> None:
        kept = [
            line for line in text.split("\r\n") if re.match(r"(Via|From|To|Call-ID|CSeq):", line)
        ]
        self._wire.sendto(
            "\r\n".join([f"SIP/2.0 {status}", *kept, "Content-Length: 0", "", ""]).encode()
        )

    async def _speak(self, media: tuple[str, int]) -> None:
        """A packet every 20 ms, by the clock."""
        source = secrets.randbits(32)
        self._frames = round(self.now * RATE / FRAME)
        first = self._frames
        while True:
            wait = self._frames * FRAME / RATE - self.now
            if wait > 0:
                await asyncio.sleep(wait)
            block = np.pad(self._saying[:FRAME], (0, max(0, FRAME - len(self._saying))))
            if len(self._saying):
                self._saying = self._saying[FRAME:]
                if not len(self._saying):
                    self._said.set()
            at = self._frames * FRAME
            coded = encode(block + self._noise.take(range(at, at + FRAME), mode="wrap"))
            self._frames += 1
            self._mouth.add(decode(coded), self._frames * FRAME / RATE)
            packet = self._frames - first
            kind, stamp = _PCMU, packet
            if self._key:
                # All packets of a key bear the time of the first.
                began = packet - (10 - len(self._key))
                kind, stamp, coded = _KEYS | (0x80 * (began == packet)), began, self._key.pop(0)
            header = struct.pack(
                "!BBHII", 0x80, kind, packet & 0xFFFF, stamp * FRAME & 0xFFFFFFFF, source
            )
            self._media.sendto(header + coded, media)

    async def _listen(self) -> None:
        while True:
            came, packet = await self._sound.came.get()
            if len(packet) > 12 and packet[1] & 0x7F == _PCMU:
                skipped = 12 + 4 * (packet[0] & 0x0F)
                self._ear.add(decode(packet[skipped:]), came - self.began)


def _header(message: str, name: str) -> str:
    found = re.search(rf"^{name}:\s*(.*?)\r?$", message, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""


def _media_of(message: str) -> tuple[str, int]:
    """Where the other side wants its sound (SDP, RFC 8866)."""
    host = re.search(r"^c=IN IP4 (\S+)", message, re.MULTILINE)
    port = re.search(r"^m=audio (\d+)", message, re.MULTILINE)
    if host is None or port is None:
        raise NotAnswered("an answer without sound")
    return host[1], int(port[1])
