"""`voicefleet call`: places a call as the carrier would."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx

from voicefleet_cli.console import Exit, Output, err, fail, out, print_json
from voicefleet_cli.phone import BadSound, Call, NoPhone, dial
from voicefleet_infra.platform import Platform

# A carrier tries the next origination URL on these (Twilio: time-out and 5xx); 486 ends the call.
_FAILS_OVER = ("408", "5", "no answer")


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
) -> Exit:
    """Route the number as the carrier does, ring, and report.

    `to_uri` is rung instead of the number's trunk; `source` is the own address to call from,
    which by default is the one that the platform takes for its carrier's.
    """
    if play is not None and not play.exists():
        fail(f"--play: there is no file {play}")
    route = {"forwardTo": None} if to_uri else _route(platform, number)
    last: Call | None = None
    for uri in [to_uri] if to_uri else _uris(route, number):
        if output is Output.TABLE:
            err.print(f"calling {uri}", soft_wrap=True)
        try:
            last = dial(
                uri, caller=caller, address=source or platform.address, seconds=seconds,
                ring_seconds=ring, play=play, record=record,
            )  # fmt: skip
        except (NoPhone, BadSound) as error:
            fail(str(error))
        if last.answered or not last.ended.startswith(_FAILS_OVER):
            break
    if last is None or not last.answered:
        return _not_answered(route, last, output)
    if output is Output.JSON:
        print_json({**_plain(last), "forwardTo": None})
    else:
        out.print(f"answered after {last.answered_after:.1f} s; {last.ended}")
        if last.recording:
            out.print(f"what the caller heard: {last.recording}", soft_wrap=True)
    return Exit.OK


def _route(platform: Platform, number: str) -> dict[str, Any]:
    """What the carrier would do with a call to that number now."""
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


def _uris(route: dict[str, Any], number: str) -> list[str]:
    """Where the carrier sends the call, in the order in which it tries."""
    urls = [url["sipUrl"].removeprefix("sip:") for url in route["originationUrls"]]
    return [f"sip:{number}@{url}" for url in urls]


def _not_answered(route: dict[str, Any], last: Call | None, output: Output) -> Exit:
    """Nobody of ours took the call: the carrier's own instructions do, if there are any."""
    forward = route["forwardTo"]
    if output is Output.JSON:
        plain = _plain(last) if last else {"answered": False}
        print_json({**plain, "forwardTo": forward})
    else:
        if last is not None:
            out.print(f"not answered: {last.ended}")
        if forward:
            out.print(f"the carrier forwards the call to {forward}")
    return Exit.OK if forward else Exit.NOT_ANSWERED


def _plain(call: Call) -> dict[str, object]:
    data = asdict(call)
    data["recording"] = str(call.recording) if call.recording else None
    return data
