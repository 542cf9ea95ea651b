"""The agents that are measured, as the caller robot sees them."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from livekit import rtc

from bench.line import RoomLine
from voicefleet_api.calls import CallEvent, CallRecord
from voicefleet_cli.telephone.answering import PATIENCE, Answering, until_finished
from voicefleet_cli.telephone.hearing import Utterance

BUSY = ("thinking", "speaking")


class Stock:
    """LiveKit's own pipeline (`stock/agent.py`): told what to ask; all it says is an answer."""

    leads = False
    tells_fillers = False

    def __init__(self, line: RoomLine) -> None:
        self._line = line
        self._items: list[tuple[float, dict[str, Any]]] = []
        line.room.on("data_received", self._on_data)

    def _on_data(self, packet: rtc.DataPacket) -> None:
        self._items.append((self._line.now, json.loads(packet.data)))

    async def ask(self, question: str) -> None:
        (agent,) = self._line.room.remote_participants
        since = self._line.now
        await self._line.room.local_participant.perform_rpc(
            destination_identity=agent, method="bench.ask", payload=question
        )
        await until_finished(self._line, self, since, PATIENCE)

    def speaking(self) -> bool:
        participants = self._line.room.remote_participants.values()
        return any(p.attributes.get("lk.agent.state") in BUSY for p in participants)

    def said(self) -> Sequence[Utterance]:
        return [
            Utterance(at, answer=True, text=item["text"] or "")
            for at, item in self._items
            if item["role"] == "assistant"
        ]

    def commits(self) -> int:
        return sum(item["role"] == "user" for _, item in self._items)

    def stages(self) -> list[dict[str, float]]:
        """Milliseconds by stage, of each answer."""
        names = {
            "transcription_delay": "stt",
            "end_of_turn_delay": "endOfTurn",
            "llm_node_ttft": "llm",
            "tts_node_ttfb": "tts",
            "e2e_latency": "total",
        }
        return [
            {names[key]: 1000 * value for key, value in item["metrics"].items() if key in names}
            for _, item in self._items
        ]


@dataclass
class Portal:
    """Takes call records and live events as the platform's portal does, into memory."""

    socket: Path
    events: dict[str, list[tuple[float, CallEvent]]] = field(default_factory=dict)
    """By call, in order, with the monotonic time of their coming."""
    records: dict[str, CallRecord] = field(default_factory=dict)
    _runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen."""
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/v1/calls/{call}/events", self._event)
        app.router.add_put("/v1/calls/{call}", self._record)
        app.router.add_put("/v1/calls/{call}/audio/{side}", self._audio)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.UnixSite(self._runner, self.socket).start()

    async def stop(self) -> None:
        """No longer listen."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _event(self, request: web.Request) -> web.Response:
        event = CallEvent.model_validate_json(await request.read())
        self.events.setdefault(event.call_id, []).append((time.monotonic(), event))
        return web.Response(status=204)

    async def _record(self, request: web.Request) -> web.Response:
        record = CallRecord.model_validate_json(await request.read())
        self.records[record.call_id] = record
        return web.Response(status=204)

    async def _audio(self, request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=204)


class Ours(Answering):
    """Our agent: asks by itself; its live events say what it says, and what is no answer."""

    leads = True
    tells_fillers = True

    async def ask(self, question: str) -> None:
        """It decides itself."""
