"""The portal as a process of its own, before a cluster that has what the test says."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from support.stand_ins import KEY
from voicefleet_api import tokens
from voicefleet_api.calls import CallEvent, CallRecord, StateChange, TranscriptTurn
from voicefleet_portal.store import Side


def record(client: str = "vc-one", **fields: Any) -> CallRecord:
    """A call of that client; the caller has said one sentence."""
    given: dict[str, Any] = {
        "call_id": str(uuid.uuid4()),
        "client_id": client,
        "caller": "+14155550123",
        "started": datetime(2026, 3, 2, 18, 4, 5, 678901, tzinfo=UTC),
        "duration_seconds": 61.5,
        "ended": "caller left",
        "outcome": "Answered",
        "success": True,
        "transcript": [TranscriptTurn(speaker="Caller", text="I have a toothache.", at=2.5)],
    }
    return CallRecord(**{**given, **fields})


def event(call_id: str, sequence: int, text: str | None = None, state: Any = None) -> CallEvent:
    """Something said by the caller, or a new state."""
    return CallEvent(
        call_id=call_id,
        sequence=sequence,
        started=datetime(2026, 3, 2, 18, 4, 5, tzinfo=UTC),
        caller="+14155550123",
        turn=TranscriptTurn(speaker="Caller", text=text, at=sequence) if text else None,
        change=StateChange(state=state, at=sequence) if state else None,
    )


@dataclass
class Portal:
    """A running one."""

    process: subprocess.Popen[str]
    folder: Path
    port: int
    people: httpx.AsyncClient

    def pod(self, client: str) -> httpx.AsyncClient:
        """What that client's pod reaches; to be closed."""
        return httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(self.folder / "portal.sock")),
            base_url="http://portal",
            headers={"Authorization": f"Bearer {tokens.mint(KEY, client)}"},
            timeout=60,
        )

    async def put(self, call: CallRecord) -> httpx.Response:
        """As the call's own client."""
        async with self.pod(call.client_id) as pod:
            return await pod.put(f"/v1/calls/{call.call_id}", content=call.model_dump_json())

    async def put_audio(self, call: CallRecord, side: Side, sound: bytes) -> httpx.Response:
        """As the call's own client."""
        async with self.pod(call.client_id) as pod:
            return await pod.put(f"/v1/calls/{call.call_id}/audio/{side}", content=sound)

    async def tell(self, client: str, happened: CallEvent) -> httpx.Response:
        """A live event."""
        async with self.pod(client) as pod:
            path = f"/v1/calls/{happened.call_id}/events"
            return await pod.post(path, content=happened.model_dump_json(by_alias=True))


def _start(
    folder: Path, max_file_bytes: int | None, kubeconfig: Path | None, mail: Path | None
) -> subprocess.Popen[str]:
    def limit() -> None:
        if max_file_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (max_file_bytes, max_file_bytes))

    return subprocess.Popen(
        [
            sys.executable, "-m", "voicefleet_portal", f"--socket={folder / 'portal.sock'}",
            f"--secret-file={folder / 'key'}", f"--data={folder / 'calls'}",
            f"--kubeconfig={kubeconfig or folder / 'none'}", "--port=0",
            *([f"--mail-file={mail}"] if mail else []),
        ],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=limit,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip


@asynccontextmanager
async def portal(
    folder: Path,
    max_file_bytes: int | None = None,
    kubeconfig: Path | None = None,
    mail: Path | None = None,
) -> AsyncIterator[Portal]:
    """One over `folder`; without a cluster, its clients are those that have had a call."""
    (folder / "key").write_text(KEY)
    process = _start(folder, max_file_bytes, kubeconfig, mail)
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), 60)
        port = json.loads(line)["port"]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as people:
            for _ in range(1200):
                try:
                    await people.get("/api/clients")
                    break
                except httpx.ConnectError:
                    await asyncio.sleep(0.05)
            yield Portal(process, folder, port, people)
    finally:
        process.terminate()
        # Not in our loop's way: a mail server of the test's may have to answer it.
        await asyncio.to_thread(process.wait, 60)
        process.stdout.close()
