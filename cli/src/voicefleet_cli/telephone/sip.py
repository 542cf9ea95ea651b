"""A telephone of our own: one call by SIP and RTP, whose every sample is placed by our clock.

A finished phone (baresip) plays a file and decides itself when; here each 20 ms of sound goes out
when the clock says so, and what comes in is noted when it comes. Just enough of RFC 3550 to talk
G.711 µ-law; the signalling is `SipCall`'s. Raises its `NotAnswered`.
"""

from __future__ import annotations

import asyncio
import secrets
import struct
import time

from voicefleet_cli.telephone.line import Taped
from voicefleet_cli.telephone.signalling import KEYS, PCMU, SipCall
from voicefleet_cli.telephone.sound import RATE, Samples, decode

FRAME = RATE // 50
"""Samples in a packet of 20 ms."""
BETWEEN_KEYS = 0.1
"""Seconds: somebody types."""


class _Socket(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.came: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.came.put_nowait((time.monotonic(), data))


class SipLine(Taped):
    """A call to a number."""

    def __init__(self, noise: Samples, call: SipCall | None = None) -> None:
        super().__init__(noise, FRAME)
        self._key: list[bytes] = []
        """Payloads of a key that is being pressed, one a packet."""
        self._pressed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._call = call or SipCall()

    @property
    def gone(self) -> bool:
        return self._call.gone.is_set()

    @property
    def requests(self) -> list[str]:
        """Methods of both sides, in order."""
        return self._call.requests

    async def open(self, address: str, port: int, number: str, caller: str) -> None:
        """Call `number` at that SIP server from its own address; returns once answered."""
        loop = asyncio.get_running_loop()
        self._media, self._sound = await loop.create_datagram_endpoint(
            _Socket, local_addr=(address, 0)
        )
        rtp = self._media.get_extra_info("sockname")[1]
        try:
            media = await self._call.open(address, port, number, caller, rtp)
        except BaseException:
            await self._close()
            raise
        self._tasks = [asyncio.create_task(work) for work in (self._speak(media), self._listen())]

    async def press(self, keys: str) -> None:
        """Press keys of the phone one after the other, each for 160 ms; the end of each is said
        three times (RFC 4733, 2.5.1.4)."""
        for key in keys:
            code = "0123456789*#".index(key)
            self._pressed.clear()
            self._key = [
                struct.pack("!BBH", code, 10 | (0x80 if packet >= 8 else 0), FRAME * min(packet, 8))
                for packet in range(1, 11)
            ]
            await self._pressed.wait()
            await asyncio.sleep(BETWEEN_KEYS)

    async def hang_up(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._close()

    async def _close(self) -> None:
        await self._call.close()
        self._media.close()

    async def _speak(self, media: tuple[str, int]) -> None:
        """A packet every 20 ms, by the clock."""
        source, packet = secrets.randbits(32), 0
        async for coded in self._spoken():
            packet += 1
            kind, stamp = PCMU, packet
            if self._key:
                # All packets of a key bear the time of the first.
                began = packet - (10 - len(self._key))
                kind, stamp, coded = KEYS | (0x80 * (began == packet)), began, self._key.pop(0)
                if not self._key:
                    self._pressed.set()
            header = struct.pack(
                "!BBHII", 0x80, kind, packet & 0xFFFF, stamp * FRAME & 0xFFFFFFFF, source
            )
            self._media.sendto(header + coded, media)

    async def _listen(self) -> None:
        while True:
            came, packet = await self._sound.came.get()
            if len(packet) > 12 and packet[1] & 0x7F == PCMU:
                skipped = 12 + 4 * (packet[0] & 0x0F)
                self._ear.add(decode(packet[skipped:]), came - self.began)
