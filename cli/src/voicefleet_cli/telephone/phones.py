"""Many telephones at once, in one process that hardly notices: what they say is coded before, what
they hear is judged afterwards. When a packet came is the kernel's word, not ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from voicefleet_cli.telephone import rtp
from voicefleet_cli.telephone.signalling import SipCall

_TIMESTAMP = 35
"""SO_TIMESTAMPNS (Linux, asm-generic/socket.h): the moment at which a datagram came."""
_MOMENT = struct.Struct("@qq")
_RECEIVE_BUFFER = 1 << 20
QUIET = 0.7
"""Seconds of silence after which the other side has finished."""
PATIENCE = 8.0
"""Seconds without a sound after which the caller asks again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one question."""

    asked: float
    """When its last sound had gone out (Unix time)."""
    after: float | None
    """Seconds from then to the first sound of the answer; None: there was none."""


@dataclass(eq=False)
class Phone:
    """One call. Times are Unix times."""

    number: str
    background: bytes = rtp.SILENCE
    """Sent where nothing is said."""
    packets: list[rtp.Packet] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    rang: float = 0.0
    answered: float | None = None
    call: SipCall = field(default_factory=SipCall)
    _socket: socket.socket = field(default_factory=lambda: socket.socket(type=socket.SOCK_DGRAM))
    _saying: deque[bytes] = field(default_factory=deque)
    _said: float = 0.0
    _first: float | None = None
    """The first sound after that,"""
    _last: float | None = None
    """and the latest of all."""

    async def ring(self, address: str, port: int, caller: str) -> None:
        """Returns once answered; raises NotAnswered. To be hung up in either case."""
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, _TIMESTAMP, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        self._socket.bind((address, 0))
        self.rang = time.time()
        media = await self.call.open(
            address, port, self.number, caller, self._socket.getsockname()[1]
        )
        self.answered = time.time()
        self._socket.connect(media)
        self._source, self._sent = secrets.randbits(32), 0
        asyncio.get_running_loop().add_reader(self._socket, self._receive)

    async def hang_up(self) -> None:
        """Give up where it still rings."""
        await self.call.close()
        if self.answered is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def send(self) -> None:
        """The next 20 ms."""
        sound = self.background
        if self._saying:
            sound, self._said = self._saying.popleft(), time.time()
        # Where the other side has closed its port, the call is ending.
        with contextlib.suppress(OSError):
            self._socket.send(rtp.written(self._sent, self._source, sound))
        self._sent += 1

    async def ask(self, question: Sequence[bytes]) -> None:
        """Say it whenever the other side has been heard and is quiet, until cancelled."""
        while True:
            self.answers.append(await self._asked(question, time.time()))

    async def _asked(self, question: Sequence[bytes], since: float) -> Answer:
        await _until(lambda: self._is_quiet(since))
        self._saying.extend(question)
        await _until(lambda: not self._saying)
        asked, self._first = self._said + rtp.SECONDS, None
        await _until(lambda: self._first is not None or time.time() - asked > PATIENCE)
        return Answer(asked, None if self._first is None else self._first - asked)

    def _is_quiet(self, since: float) -> bool:
        """It has been heard and is quiet, or has not been heard at all for long enough."""
        return time.time() - (self._last or since + PATIENCE) > QUIET

    def _receive(self) -> None:
        while True:
            try:
                data, extra, _, _ = self._socket.recvmsg(2048, 64)
            except OSError:
                return  # nothing more, or the other side has closed its port
            came = next((_MOMENT.unpack(value) for _, kind, value in extra), None)
            packet = rtp.read(data, came[0] + came[1] / 1e9 if came else time.time())
            if packet is None:
                continue
            # Two in a row: a click is no sound.
            if packet.loud and self.packets and self.packets[-1].loud:
                self._last = packet.came
                self._first = self._first or self.packets[-1].came
            self.packets.append(packet)


async def _until(condition: Callable[[], bool]) -> None:
    """Looked at with each packet that is sent."""
    while not condition():  # noqa: ASYNC110 - of the clock, too
        await asyncio.sleep(rtp.SECONDS)


async def keep_sending(phones: Sequence[Phone]) -> None:
    """A packet of each that is answered, every 20 ms, until cancelled."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        due += rtp.SECONDS
        await asyncio.sleep(due - loop.time())
        for phone in phones:
            if phone.answered is not None and not phone.call.gone.is_set():
                phone.send()
