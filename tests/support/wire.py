"""What anybody on the wire reads: the IPv4 packets of an interface, by a raw socket (Linux)."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass
from typing import Self

_IPV4 = 0x0800
_TCP, _UDP = socket.IPPROTO_TCP, socket.IPPROTO_UDP


@dataclass(frozen=True, slots=True)
class Packet:
    """One segment or datagram."""

    tcp: bool
    ports: frozenset[int]
    payload: bytes


class Wire:
    """`with Wire() as seen:` what has passed meanwhile is in `seen.packets`. Needs root."""

    def __init__(self, interface: str = "lo") -> None:
        self._interface = interface
        self.packets: list[Packet] = []

    def __enter__(self) -> Self:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_IPV4))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.bind((self._interface, _IPV4))
        self._socket.settimeout(0.1)
        self._reading = True
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._reading = False
        self._reader.join()
        self._socket.close()

    def _read(self) -> None:
        while self._reading:
            try:
                data, (_, _, kind, *_) = self._socket.recvfrom(65535)
            except TimeoutError:
                continue
            # Loopback shows each packet twice: as it goes and as it comes.
            if kind != socket.PACKET_OUTGOING and (packet := _parsed(data)):
                self.packets.append(packet)


def _parsed(data: bytes) -> Packet | None:
    header, protocol = 4 * (data[0] & 15), data[9]
    inner = data[header : int.from_bytes(data[2:4])]
    if protocol not in (_TCP, _UDP) or len(inner) < 8:
        return None
    ports = frozenset({int.from_bytes(inner[:2]), int.from_bytes(inner[2:4])})
    skipped = 8 if protocol == _UDP else 4 * (inner[12] >> 4)
    return Packet(protocol == _TCP, ports, inner[skipped:])
