"""LiveKit with its SIP bridge as the platform runs them, and phones beside it."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from support.switchboard import Switchboard
from voicefleet_cli import phone
from voicefleet_cli.telephone.signalling import SipCall
from voicefleet_cli.telephone.sip import SipLine
from voicefleet_cli.telephone.sound import RATE


@contextmanager
def bridge(folder: Path, kind: type[Switchboard] = Switchboard) -> Iterator[Switchboard]:
    """For phones (baresip); the test is skipped where a program is missing."""
    if not shutil.which("baresip"):
        pytest.skip("baresip is not installed")
    with kind(folder) as running:
        yield running


@contextmanager
def answering(folder: Path, number: str, address: str, port: int, plays: Path) -> Iterator[None]:
    """A phone (baresip) that takes every call for `number` at once, and plays a sound.

    What it hears is in `folder`, in `dump-*-dec.wav`.
    """
    folder.mkdir()
    phone._configure(folder, number, address, phone._sound(folder, plays, 60))
    config = (folder / "config").read_text().replace(f"{address}:0", f"{address}:{port}")
    (folder / "config").write_text(config)
    account = (folder / "accounts").read_text().strip()
    (folder / "accounts").write_text(f"{account};answermode=auto\n")
    with (folder / "log").open("wb") as log, subprocess.Popen(
        ["baresip", "-f", str(folder), "-n", address],
        stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=folder,
    ) as process:  # fmt: skip
        try:
            yield
        finally:
            process.terminate()


class _Asked(SipCall):
    """A call that is asked by REFER to connect the caller elsewhere."""

    def __init__(self, answer: str, result: str, after: float) -> None:
        super().__init__()
        self.whom: asyncio.Queue[str] = asyncio.Queue()
        self._answer, self._result, self._after = answer, result, after

    async def _reply(self, request: str, sender: tuple[str, int]) -> None:
        if not request.startswith("REFER "):
            await super()._reply(request, sender)
            return
        found = re.search(r"^Refer-To:\s*<?([^>\r\n]+)", request, re.MULTILINE | re.IGNORECASE)
        self.whom.put_nowait(found[1] if found else "")
        self._respond(request, self._answer, sender)
        if self._answer.startswith("2"):
            await asyncio.sleep(self._after)
            number = re.search(r"^CSeq:\s*(\d+)", request, re.MULTILINE | re.IGNORECASE)
            event = f"Event: refer;id={number[1] if number else 1}\r\n"
            state = "Subscription-State: terminated;reason=noresource\r\n"
            kind = "Content-Type: message/sipfrag;version=2.0\r\n"
            body = f"SIP/2.0 {self._result}\r\n"
            self._send("NOTIFY", next(self._sequence), body, headers=event + state + kind)


class Carrier(SipLine):
    """The carrier's side of a call: it is asked by REFER to connect the caller elsewhere, and says
    with `answer` and, where that is 2xx, with `result` what became of it (RFC 3515), `after`
    so many seconds: LiveKit hears that only once it is done with the answer itself."""

    def __init__(self, answer: str, result: str = "", after: float = 2.0) -> None:
        call = _Asked(answer, result, after)
        super().__init__(np.zeros(RATE), call)
        self.asked = call.whom
        """Whom to connect."""
