"""`voicefleet calls`: who called, what was said, what came of it; the portal answers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import httpx

from voicefleet_api.calls import CallEvent, CallRecord, TranscriptTurn
from voicefleet_api.quality import diagnose
from voicefleet_cli.console import Exit, Output, err, fail, out, print_json, table
from voicefleet_infra.platform import Platform

_ELSEWHERE = (
    "bring it to this machine, since nobody logs in there (kubectl port-forward, ssh -L), and name"
    " it: --portal http://127.0.0.1:PORT, or VOICEFLEET_PORTAL"
)


class Portal:
    """The portal's JSON (`voicefleet_portal.api`). Ends the command where it cannot answer."""

    def __init__(self, address: str) -> None:
        try:
            self._http = httpx.Client(base_url=address, timeout=10, trust_env=False)
        except httpx.InvalidURL as error:
            fail(f"--portal {address}: {error}")
        self._address = address

    @classmethod
    def of(cls, platform: Platform, address: str | None) -> Portal:
        """The one named, or else this machine's; another cluster's calls are not to be found
        there, and that is said."""
        files = filter(None, os.environ.get("KUBECONFIG", "").split(os.pathsep))
        chosen = [Path(file).resolve() for file in files]
        if address is None and chosen and platform.kubeconfig.resolve() not in chosen:
            fail(
                f"KUBECONFIG names another cluster than the platform in {platform.home} has. For"
                f" the calls of its clients use its own portal: {_ELSEWHERE}. For those of this"
                f" machine: --portal {platform.portal_url}"
            )
        return cls(address or platform.portal_url)

    def get(self, path: str, **params: Any) -> Any:
        """What stands at that path."""
        try:
            answer = self._http.get(path, params=params)
            content = answer.json()
            if answer.is_success:
                return content
            words = str(content["error"]["message"])
        except httpx.HTTPError:
            self._not_there()
        except (ValueError, KeyError, TypeError):
            fail(f"{self._address} answers ({answer.status_code}), but not as a portal does")
        fail(words)

    def _not_there(self) -> NoReturn:
        fail(
            f"no portal answers at {self._address}. On this machine start it with: voicefleet up."
            f" One elsewhere: {_ELSEWHERE}",
            Exit.NOT_RUNNING,
        )

    def client_id(self, name: str, namespace: str) -> str:
        """Of the client of that name."""
        listed = self.get("/api/clients")
        for client in listed["items"]:
            if (client["name"], client["namespace"]) == (name, namespace):
                return str(client["clientID"])
        if listed["trouble"]:
            fail(f"the portal cannot look for client {name}: {listed['trouble']}; try again")
        fail(f"there is no client {name} in namespace {namespace}; see: kubectl get vc -A")

    def follow(self, client_id: str) -> Iterator[CallEvent]:
        """What happens in the client's calls, as it happens; the last ones first."""
        # Server-sent events (HTML standard, 9.2), each on one line, with comments in a silence.
        path = f"/api/clients/{client_id}/live"
        try:
            with self._http.stream("GET", path, timeout=60) as answer:
                for line in answer.iter_lines():
                    if line.startswith("data: "):
                        yield CallEvent.model_validate_json(line.removeprefix("data: "))
        except httpx.HTTPError:
            self._not_there()


def show(
    portal: Portal, name: str | None, namespace: str, query: str, limit: int, output: Output
) -> Exit:
    """The newest calls of one client, or of all."""
    client_id = portal.client_id(name, namespace) if name else None
    path = f"/api/clients/{client_id}/calls" if client_id else "/api/calls"
    items = portal.get(path, q=query, limit=limit)["items"]
    if output is Output.JSON:
        print_json(items)
        return Exit.OK
    names = {c["clientID"]: c["name"] for c in portal.get("/api/clients")["items"]}
    rows = table(
        "Time", "Client", "Caller", "Length", "Outcome", "Booked", "Answers after", "Line", "Call"
    )
    for item in items:
        record = CallRecord.model_validate(item)
        rows.add_row(
            f"{record.started:%Y-%m-%d %H:%M}",
            names.get(record.client_id, record.client_id),
            record.caller or "hidden",
            f"{record.duration_seconds:.0f} s",
            record.outcome,
            ", ".join(f"{each.starts:%Y-%m-%d %H:%M}" for each in record.appointments),
            _milliseconds(record.latency.total),
            "-" if record.quality is None else f"~{record.quality.mos:.1f}",
            record.call_id,
        )
    out.print(rows)
    return Exit.OK


def show_one(portal: Portal, name: str, call_id: str, namespace: str, output: Output) -> Exit:
    """One call: what was said, what came of it, what each stage took."""
    item = portal.get(f"/api/clients/{portal.client_id(name, namespace)}/calls/{call_id}")
    if output is Output.JSON:
        print_json(item)
        return Exit.OK
    record = CallRecord.model_validate(item)
    out.print(
        f"{record.started:%Y-%m-%d %H:%M:%S} from {record.caller or 'a hidden number'},"
        f" {record.duration_seconds:.0f} s: {record.outcome}; {record.ended}\n"
    )
    for turn in record.transcript:
        _say(turn)
    for appointment in record.appointments:
        out.print(
            f"\n{appointment.action}: {appointment.title},"
            f" {appointment.starts:%A %Y-%m-%d %H:%M}, {appointment.name or 'no name'}"
        )
    for message in record.messages:
        urgent = "Urgent message" if message.urgent else "Message"
        words = f"\n{urgent} from {message.name or 'somebody'} ({message.phone or 'no number'}): "
        out.print(words + message.text, markup=False, soft_wrap=True)
    stages = record.latency
    out.print(
        f"\nAnswers after {_milliseconds(stages.total)}: end of turn"
        f" {_milliseconds(stages.end_of_turn)}, transcription {_milliseconds(stages.stt)},"
        f" model {_milliseconds(stages.llm)}, speech {_milliseconds(stages.tts)}"
    )
    if (line := record.quality) is not None:
        out.print(
            f"Line: about {line.mos:.1f} of 4.5 (MOS, estimated by ITU-T G.107); of the caller's"
            f" sound {line.concealed_percent:.1f} % missing, jitter {line.jitter_ms:.0f} ms,"
            f" {_milliseconds(line.round_trip_ms)} to LiveKit and back; packets lost"
            f" {line.lost_percent:.1f} % in, {line.sent_lost_percent:.1f} % out",
            soft_wrap=True,
        )
    for words in diagnose(record):
        out.print(f"Trouble: {words}", markup=False, soft_wrap=True)
    return Exit.OK


def follow(portal: Portal, name: str, namespace: str, output: Output) -> Exit:
    """Print calls under way, turn by turn, until interrupted."""
    client_id = portal.client_id(name, namespace)
    if output is Output.TABLE:
        err.print(f"waiting for calls of {name}; end with Ctrl-C", style="dim")
    try:
        for event in portal.follow(client_id):
            if output is Output.JSON:
                sys.stdout.write(event.model_dump_json(by_alias=True, exclude_none=True) + "\n")
                sys.stdout.flush()
                continue
            if event.change is not None:
                out.print(f"{event.change.at:7.1f}  {event.change.state}", style="dim")
            if event.turn is not None:
                _say(event.turn)
    except KeyboardInterrupt:
        pass
    return Exit.OK


def _say(turn: TranscriptTurn) -> None:
    cut = f" — [{turn.unheard}]" if turn.unheard else " —" if turn.interrupted else ""
    # A caller's words are a stranger's: they are no markup.
    out.print(f"{turn.at:7.1f}  {turn.speaker}: {turn.text}{cut}", markup=False, soft_wrap=True)


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"
