"""The telephone against another end that gives its sound back after a known time."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from voicefleet_cli.telephone.hearing import LOUD, judge, sounds
from voicefleet_cli.telephone.sip import NotAnswered, SipLine
from voicefleet_cli.telephone.sound import LOUDNESS, RATE, decode, encode, levels

pytestmark = pytest.mark.integration

ECHO = 0.9
"""Seconds."""
HOST = "127.0.0.1"


class Echo(asyncio.DatagramProtocol):
    """Sends every packet back to where it came from, later."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        asyncio.get_running_loop().call_later(ECHO, self.transport.sendto, data, addr)


class Server(asyncio.DatagramProtocol):
    """Answers an INVITE with that status and the echo's port; notes what else comes."""

    def __init__(self, status: str, media: int) -> None:
        self.status, self.media = status, media
        self.methods: list[str] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        text = data.decode()
        self.methods.append(text.split()[0])
        if self.methods[-1] != "INVITE":
            return
        body = f"v=0\r\nc=IN IP4 {HOST}\r\nm=audio {self.media} RTP/AVP 0\r\n"
        kept = [h for h in text.split("\r\n") if h.startswith(("Via", "From", "Call-ID", "CSeq"))]
        to = next(h for h in text.split("\r\n") if h.startswith("To"))
        lines = [f"SIP/2.0 {self.status}", *kept, f"{to};tag=there", f"Content-Length: {len(body)}"]
        self.transport.sendto("\r\n".join([*lines, "", body]).encode(), addr)


async def serve(status: str) -> tuple[Server, int, list[asyncio.BaseTransport]]:
    loop = asyncio.get_running_loop()
    media, _ = await loop.create_datagram_endpoint(Echo, local_addr=(HOST, 0))
    port = media.get_extra_info("sockname")[1]
    signals, server = await loop.create_datagram_endpoint(
        lambda: Server(status, port), local_addr=(HOST, 0)
    )
    return server, signals.get_extra_info("sockname")[1], [media, signals]


async def test_what_is_said_comes_back_when_it_was_sent_back() -> None:
    server, port, transports = await serve("200 OK")
    line = SipLine(np.zeros(RATE))
    await line.open(HOST, port, "+15005550001", "+15005550006")
    await asyncio.sleep(0.3)
    tone = np.sin(np.arange(RATE // 2) * 0.5) * LOUDNESS
    start, end = await line.say(tone)
    await asyncio.sleep(ECHO + 0.5)
    mouth, ear = line.recordings()
    await line.hang_up()
    await asyncio.sleep(0.1)
    for transport in transports:
        transport.close()
    assert server.methods == ["INVITE", "ACK", "BYE"]
    (said,) = sounds(mouth)
    assert (said.start, said.end) == pytest.approx((start, end), abs=0.01)
    heard = judge(ear, start, end, line.now)
    assert heard.answer == pytest.approx(ECHO - 0.5, abs=0.2)
    assert levels(tone).min() > LOUD


async def test_a_refusal_is_said_with_its_status() -> None:
    _, port, transports = await serve("486 Busy Here")
    with pytest.raises(NotAnswered, match="486 Busy Here"):
        await SipLine(np.zeros(RATE)).open(HOST, port, "+15005550001", "+15005550006")
    for transport in transports:
        transport.close()


def test_g711_loses_little() -> None:
    loud = np.linspace(-1, 1, 2001)
    assert np.abs(decode(encode(loud)) - loud).max() < 0.02
    quiet = loud * 0.01
    assert np.abs(decode(encode(quiet)) - quiet).max() < 0.0004
