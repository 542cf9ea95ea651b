"""Clients as plain processes: found again by another operator, restarted when they die."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from support.speech import says
from voicefleet_operator.drivers.runtime.process import ProcessRuntime, _start_time

pytestmark = pytest.mark.e2e


async def test_a_process_outlives_its_operator_and_not_its_client(
    make_spec: Any, until: Any, call: Any, tmp_path: Path
) -> None:
    spec = make_spec()
    runtime = ProcessRuntime(tmp_path)
    await runtime.apply(spec)
    await until(runtime, spec.client_id, lambda unit: unit.registered, 90)
    folder = tmp_path / "process" / spec.client_id
    first = json.loads((folder / "unit.json").read_text())
    assert "development only" in (await runtime.list())[spec.client_id].message
    assert says(
        (await call(json.loads(spec.config_json)["agentName"])).words, "calling Bright Smile"
    )

    # Another operator finds it and leaves it alone.
    other = ProcessRuntime(tmp_path)
    assert (await other.list())[spec.client_id].spec_hash == other.spec_hash(spec)
    await other.apply(spec)
    assert json.loads((folder / "unit.json").read_text()) == first

    watch = asyncio.create_task(runtime.watch(lambda _: None))
    os.kill(first["pid"], 9)
    await until(runtime, spec.client_id, lambda unit: not unit.registered, 60)
    await until(runtime, spec.client_id, lambda unit: unit.registered, 90)
    second = json.loads((folder / "unit.json").read_text())
    assert second["pid"] != first["pid"]
    watch.cancel()

    await runtime.remove(spec.client_id)
    assert _start_time(second["pid"]) is None
    assert not folder.exists()
    assert await runtime.list() == {}
