"""One call by hand over UDP (RFC 3261), from any address and with any words: phones do neither."""

from __future__ import annotations

import re
import secrets
import socket
import time
from contextlib import suppress
from typing import Self

_OFFER = (
    "v=0\r\no=- 1 1 IN IP4 {0}\r\ns=-\r\nc=IN IP4 {0}\r\nt=0 0\r\n"
    "m=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
)
_REPEAT = 0.5


class Invite:
    """A call that was placed to `target` (address, port) from `source`, an address of this host.

    `says` stands as the host in From, in the place of the source. `with` ends the call.
    """

    def __init__(
        self,
        target: tuple[str, int],
        number: str,
        source: str,
        *,
        caller: str = "+15005550006",
        says: str = "",
    ) -> None:
        self.statuses: list[int] = []
        """All that came back."""
        self.after = 0.0
        """Seconds until the final one."""
        self.contact = target
        """Who answered: requests within the call go there."""
        self._target = target
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((source, 0))
        own = f"{source}:{self._socket.getsockname()[1]}"
        self._own, self._id = own, secrets.token_hex(8)
        self._uri = f"sip:{number}@{target[0]}:{target[1]}"
        self._from = f"<sip:{caller}@{says or own}>;tag={self._id}"
        self._to, self._branch = f"<{self._uri}>", f"z9hG4bK{self._id}"
        self.placed = time.monotonic()
        self._invite = self._message("INVITE", 1, _OFFER.format(source))
        self._socket.sendto(self._invite, target)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.answered:
            self.hang_up()
        elif self.statuses and not self.final:
            self._socket.sendto(self._message("CANCEL", 1), self._target)
            self.wait(1)
        self._socket.close()

    @property
    def final(self) -> int | None:
        """The status that decided the call."""
        return next((status for status in self.statuses if status >= 200), None)

    @property
    def answered(self) -> bool:
        """Whether somebody took it."""
        return 200 <= (self.final or 0) < 300

    def wait(self, seconds: float) -> Self:
        """Wait for a final answer and acknowledge it; without any answer the INVITE is repeated."""
        deadline, repeat = time.monotonic() + seconds, time.monotonic() + _REPEAT
        while self.final is None and (left := deadline - time.monotonic()) > 0:
            self._socket.settimeout(min(left, 0.1))
            try:
                text = self._socket.recv(4096).decode(errors="replace")
            except TimeoutError:
                if not self.statuses and time.monotonic() > repeat:
                    self._socket.sendto(self._invite, self._target)
                    repeat += _REPEAT
                continue
            match = re.match(r"SIP/2\.0 (\d{3})", text)
            if match and re.search(r"^CSeq: *1 INVITE", text, re.MULTILINE | re.IGNORECASE):
                self.statuses.append(int(match[1]))
                if self.final:
                    self._acknowledge(text)
        return self

    def hang_up(self) -> str:
        """End an answered call where it was answered; the first line of what comes back."""
        self._branch = f"z9hG4bK{secrets.token_hex(8)}"
        self._socket.sendto(self._message("BYE", 2), self.contact)
        self._socket.settimeout(1)
        with suppress(TimeoutError):
            while True:
                text = self._socket.recv(4096).decode(errors="replace")
                if re.search(r"^CSeq: *2 BYE", text, re.MULTILINE | re.IGNORECASE):
                    return text.partition("\r\n")[0]
        return ""

    def _acknowledge(self, text: str) -> None:
        self.after = time.monotonic() - self.placed
        found = re.search(r"^To:\s*(.*?)\r$", text, re.MULTILINE | re.IGNORECASE)
        self._to = found[1] if found else self._to
        contact = re.search(r"^Contact:.*?@?([\d.]+):(\d+)", text, re.MULTILINE | re.IGNORECASE)
        if self.answered and contact:
            self.contact = (contact[1], int(contact[2]))
            self._branch = f"z9hG4bK{secrets.token_hex(8)}"
        self._socket.sendto(self._message("ACK", 1), self.contact)

    def _message(self, method: str, number: int, body: str = "") -> bytes:
        kind = "Content-Type: application/sdp\r\n" if body else ""
        return (
            f"{method} {self._uri} SIP/2.0\r\nVia: SIP/2.0/UDP {self._own};rport;"
            f"branch={self._branch}\r\nMax-Forwards: 70\r\nFrom: {self._from}\r\nTo: {self._to}\r\n"
            f"Call-ID: {self._id}@{self._own}\r\nCSeq: {number} {method}\r\n"
            f"Contact: <sip:caller@{self._own}>\r\n{kind}Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()
