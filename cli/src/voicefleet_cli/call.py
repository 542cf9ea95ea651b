"""`voicefleet call`: places a call as a person's telephone would."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx

from voicefleet_cli.console import Exit, Output, err, fail, out, print_json
from voicefleet_cli.phone import KEYS, BadSound, Call, NoPhone, dial
from voicefleet_infra.platform import Platform


def place(
    platform: Platform,
    number: str,
    *,
    caller: str,
    seconds: float,
    play: Path | None,
    record: Path | None,
    output: Output,
    to_uri: str | None = None,
    source: str | None = None,
    ring: float = 20,
    press: str = "",
) -> Exit:
    """Ring the number through the carrier, and report.

    `to_uri` is rung instead of the number; `source` is the own address to call from, which by
    default is the one that the platform takes for its carrier's.
    """
    if play is not None and not play.exists():
        fail(f"--play: there is no file {play}")
    if not KEYS.fullmatch(press):
        fail("--press: digits, * and #; a comma waits two seconds, as in 0 or 4155550134#")
    route = None if to_uri else find_route(platform, number)
    forward = route["forwardTo"] if route else None
    uri = to_uri or f"sip:{number}@{platform.address}:{platform.port('carrier')}"
    if output is Output.TABLE:
        err.print(f"calling {uri}", soft_wrap=True)
    try:
        call = dial(
            uri, caller=caller, address=source or platform.address, seconds=seconds,
            ring_seconds=ring, play=play, record=record, press=press,
            encrypted=bool(route and route["secure"]),
        )  # fmt: skip
    except (NoPhone, BadSound) as error:
        fail(str(error))
    if output is Output.JSON:
        print_json({**_plain(call), "forwardTo": forward})
    elif call.answered:
        out.print(f"answered after {call.answered_after:.1f} s; {call.ended}")
        if call.recording:
            out.print(f"what the caller heard: {call.recording}", soft_wrap=True)
    else:
        out.print(f"not answered: {call.ended}")
        if forward:
            out.print(f"the carrier's last resort is {forward}")
    return Exit.OK if call.answered else Exit.NOT_ANSWERED


def find_route(platform: Platform, number: str) -> dict[str, Any]:
    """What the carrier would do with a call to the number: `forwardTo` is its last resort, `secure`
    whether the sound has to be encrypted.

    Ends the command where the platform does not run, or nobody has the number.
    """
    try:
        answer = httpx.get(
            f"{platform.sandbox_url}/_sandbox/route", params={"number": number}, timeout=10
        )
    except httpx.HTTPError:
        fail("the platform does not run; start it with: voicefleet up", Exit.NOT_RUNNING)
    if answer.status_code == 404:
        fail(f"nobody has {number}; see: kubectl get vc", Exit.NOT_ANSWERED)
    route: dict[str, Any] = answer.raise_for_status().json()
    return route


def _plain(call: Call) -> dict[str, object]:
    data = asdict(call)
    data["recording"] = str(call.recording) if call.recording else None
    return data
