"""A slow line between two hosts of a lab, such as one by satellite.

Of two TUN devices (https://docs.kernel.org/networking/tuntap.html), and a thread that carries
packets from one to the other: not every kernel has netem, which would delay them itself.
"""

from __future__ import annotations

import fcntl
import os
import random
import select
import struct
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Self

from support.netns import Host

DEVICE = "line"
"""The line's end, on either host."""
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_PACKET = 65535


class SlowLine:
    """`with SlowLine((host, address), (other, address), seconds=(0.025, 0.045)):` a packet takes so
    many seconds, from and to, and overtakes no other. Addresses have a prefix. `cut` loses all."""

    def __init__(self, *ends: tuple[Host, str], seconds: tuple[float, float]) -> None:
        self._hosts, self._seconds = ends, seconds
        self.cut = False
        self._over = False

    def __enter__(self) -> Self:
        self._ends = [_device(host) for host, _ in self._hosts]
        for host, address in self._hosts:
            host.run("ip", "address", "add", address, "dev", DEVICE)
            host.run("ip", "link", "set", DEVICE, "up")
        self._carrier = threading.Thread(target=self._carry)
        self._carrier.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._carrier.join()
        for end in self._ends:
            os.close(end)

    def _carry(self) -> None:
        one, other = self._ends
        to = {one: other, other: one}
        under_way: dict[int, deque[tuple[float, bytes]]] = {end: deque() for end in to}
        while not self._over:
            now = time.monotonic()
            for end, packets in under_way.items():
                while packets and packets[0][0] <= now:
                    # A device that is down takes nothing.
                    with suppress(OSError):
                        os.write(end, packets.popleft()[1])
            due = min((packets[0][0] for packets in under_way.values() if packets), default=now + 1)
            ready, _, _ = select.select(self._ends, [], [], min(max(due - now, 0), 0.1))
            for end in ready:
                packet, there = os.read(end, _PACKET), under_way[to[end]]
                if not self.cut:
                    arrives = time.monotonic() + random.uniform(*self._seconds)
                    there.append((max(arrives, there[-1][0] if there else 0), packet))


def _device(host: Host) -> int:
    with host.inside():
        device = os.open("/dev/net/tun", os.O_RDWR)
        wanted = struct.pack("16sH22x", DEVICE.encode(), _IFF_TUN | _IFF_NO_PI)
        fcntl.ioctl(device, _TUNSETIFF, wanted)
    return device
