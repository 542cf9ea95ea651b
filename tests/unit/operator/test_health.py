"""What the probes are told, also by an event loop that hangs."""

from __future__ import annotations

import asyncio
import socket
import time
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from voicefleet_operator.shell import health as shell_health
from voicefleet_operator.shell.health import Health, serve
from voicefleet_operator.workqueue import Key, WorkQueue

pytestmark = pytest.mark.unit

KEY, OTHER = Key("VoiceClient", "default", "one"), Key("VoiceClient", "default", "two")


def health(queue: WorkQueue | None = None, **state: Any) -> Health:
    leadership = SimpleNamespace(seen=state.get("seen", True), held=state.get("held", True))
    loop = SimpleNamespace(queue=queue, listed=state["listed"]) if "listed" in state else None
    return Health(leadership, stalled_seconds=0.1, loop=loop)  # type: ignore[arg-type]


async def test_work_that_stands_still_is_unhealthy() -> None:
    queue = WorkQueue()
    of = health(queue, listed=True)
    await asyncio.sleep(0.15)
    assert of.live() == ""  # There is no work.
    queue.add(KEY)
    assert of.live() == ""  # It has just come.
    await asyncio.sleep(0.15)
    assert "none of it was finished" in of.live()
    queue.add(OTHER)  # More of it is no progress,
    assert of.live() != ""
    key = await queue.get()
    assert of.live() != ""  # nor is beginning,
    queue.done(key)
    assert of.live() == ""  # but an end is.


def test_who_waits_for_the_lease_is_live_and_ready() -> None:
    assert health(held=False).live() == ""
    assert health(held=False).ready() == ""


def test_readiness() -> None:
    assert "has not shown" in health(seen=False, held=False).ready()
    assert "being listed" in health().ready()
    assert "being listed" in health(WorkQueue(), listed=False).ready()
    assert health(WorkQueue(), listed=True).ready() == ""


async def test_endpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell_health, "_PATIENCE", 0.3)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve("127.0.0.1", port, {"/healthz": lambda: "", "/readyz": lambda: "not yet"})
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        answers = [await http.get(path) for path in ("/healthz", "/readyz", "/metrics")]
        assert [a.status_code for a in answers] == [200, 503, 200]
        assert [a.text for a in answers[:2]] == ["ok\n", "not yet\n"]
        assert "voicefleet_queue_depth" in answers[2].text
    asked = asyncio.get_running_loop().run_in_executor(
        None, httpx.get, f"http://127.0.0.1:{port}/healthz"
    )
    time.sleep(0.6)  # noqa: ASYNC251  (it hangs on purpose)
    answer = await asked
    assert (answer.status_code, "did not answer" in answer.text) == (503, True)
