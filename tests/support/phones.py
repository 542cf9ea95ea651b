"""Callers: a real phone (baresip), and a stranger who only knocks."""

from __future__ import annotations

import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support.stack import Stack
from voicefleet_cli.phone import Call, dial


def route(stack: Stack, number: str) -> tuple[str, int]:
    """Address and port of the SIP server to which the carrier sends calls to a number."""
    found = stack.sandbox.get("/_sandbox/route", params={"number": number}).json()
    uri = found["originationUrls"][0]["sipUrl"]
    address, port = uri.removeprefix("sip:").split(":")
    return address, int(port)


def ring(stack: Stack, number: str, record: Path, *, seconds: float = 9) -> Call:
    """Call a number along the route that the carrier would take."""
    address, port = route(stack, number)
    return dial(
        f"sip:{number}@{address}:{port}",
        caller="+15005550006",
        address=stack.platform.address,
        seconds=seconds,
        record=record,
    )


def ring_together(stack: Stack, numbers: list[str], folder: Path) -> list[Path]:
    """Call several numbers at the same moment; what each caller heard."""
    with ThreadPoolExecutor(len(numbers)) as pool:
        calls = list(pool.map(lambda n: ring(stack, n, folder / f"{n[1:]}.wav"), numbers))
    for call in calls:
        assert call.answered, call
        assert call.recording, call
    return [call.recording for call in calls if call.recording]


def knock(stack: Stack, number: str, source: str, seconds: float = 12) -> list[int]:
    """Send an INVITE from an address; the SIP statuses that come back (RFC 3261).

    A phone would do the same, but phones refuse loopback addresses.
    """
    host, port = stack.platform.address, stack.platform.port("sip")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind((source, 0))
        own = f"{source}:{phone.getsockname()[1]}"
        branch = f"z9hG4bK{time.monotonic_ns()}"
        body = (
            f"v=0\r\no=- 1 1 IN IP4 {source}\r\ns=-\r\nc=IN IP4 {source}\r\nt=0 0\r\n"
            "m=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
        )
        invite = (
            f"INVITE sip:{number}@{host}:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {own};rport;"
            f"branch={branch}\r\nMax-Forwards: 70\r\nFrom: <sip:+15005550006@{own}>;tag=knock\r\n"
            f"To: <sip:{number}@{host}:{port}>\r\nCall-ID: {branch}@{own}\r\nCSeq: 1 INVITE\r\n"
            f"Contact: <sip:+15005550006@{own}>\r\nContent-Type: application/sdp\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )
        statuses: list[int] = []
        deadline = time.monotonic() + seconds
        phone.settimeout(1.0)
        phone.sendto(invite.encode(), (host, port))
        while time.monotonic() < deadline and not [s for s in statuses if s >= 200]:
            try:
                answer = phone.recv(4096).decode(errors="replace")
            except TimeoutError:
                continue
            match = re.match(r"SIP/2\.0 (\d{3})", answer)
            if match:
                statuses.append(int(match[1]))
    return statuses
