"""Callers: a real phone (baresip), and a stranger who only knocks."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from support.invite import Invite
from support.stack import Stack, until
from voicefleet_cli.phone import Call, _configure, dial


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


@contextmanager
def answering(
    address: str, number: str, carrier: str, folder: Path, *, says: Path, encrypted: bool = False
) -> Iterator[None]:
    """A person's phone on this machine's `address` that takes every call and plays a sound file.

    It is registered with the carrier's edge at `carrier` (address:port).
    """
    folder.mkdir()
    _configure(folder, number, address, says)
    (folder / "accounts").write_text(
        f"<sip:{number}@{carrier}>;regint=60;answermode=auto;audio_codecs=PCMU/8000/1"
        + (";mediaenc=srtp-mand\n" if encrypted else "\n")
    )
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["baresip", "-f", str(folder), "-n", address],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        until(lambda: "200 OK" in log.read_text(errors="replace"), f"{number} does not register")
        yield
    finally:
        process.kill()
        process.wait()


def knock(stack: Stack, number: str, source: str, seconds: float = 12) -> list[int]:
    """Send an INVITE to the platform's SIP bridge from an address; see `invite`."""
    return invite(stack.platform.address, stack.platform.port("sip"), number, source, seconds)


def invite(host: str, port: int, number: str, source: str, seconds: float = 12) -> list[int]:
    """Send an INVITE from an address; the SIP statuses that come back (RFC 3261).

    A phone would do the same, but phones refuse loopback addresses.
    """
    with Invite((host, port), number, source) as call:
        return call.wait(seconds).statuses
