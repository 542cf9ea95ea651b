"""Simulated callers by telephone: real SIP, media and speech models, from the scenarios we ship.

`$VOICEFLEET_ARTEFACTS` keeps the report and the recordings.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench.machine import Machine, config
from voicefleet_agent.providers.http import Endpoint
from voicefleet_agent.providers.local import LocalSpeaker
from voicefleet_agent.reach import by_socket
from voicefleet_api import tokens
from voicefleet_api.calls import CallRecord
from voicefleet_cli.simulate import run
from voicefleet_cli.simulate.caller import Script
from voicefleet_cli.simulate.dial import Exchange
from voicefleet_cli.simulate.report import Report, write
from voicefleet_cli.simulate.scenario import SHIPPED, load
from voicefleet_infra import services

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

CLIENT = "plumber"
CALLERS = ("gas-smell", "blocked-drain")
"""An emergency, and a whole booking."""
AT_LEAST = 85
"""Percent. The transcriber is small, and takes a name for another now and then."""


class TalkingMachine(Machine):
    """Without a language model: these callers ask nothing open."""

    gateways = ("stt", "tts")


@pytest.fixture(scope="module")
def machine() -> Iterator[TalkingMachine]:
    with TalkingMachine() as running:
        running.start_sip()
        yield running


async def called(machine: TalkingMachine, folder: Path) -> Report:
    client = await machine.start_ours(CLIENT)

    async def record(call: str) -> CallRecord:
        async with asyncio.timeout(60):
            while call not in client.portal.records:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        return client.portal.records[call]

    platform = machine.platform
    exchange = Exchange(
        platform.address, platform.port("sip"), client.number, client.portal, record
    )
    key = services.models_key(platform).read_text().strip()
    voices = Endpoint(
        by_socket(services.models_folder(platform), "tts"), tokens.mint(key, "callers")
    )
    shipped = {scenario.name: scenario for scenario in load(SHIPPED)}
    report = Report(
        mode="Calls", started=datetime.now(UTC), seconds=0, cores=os.cpu_count() or 1,
        load=(os.getloadavg()[0], 0), calls=[],
    )  # fmt: skip
    calls = run.calls(
        run.Client(CLIENT, config(CLIENT, machine.url)),
        [shipped[name] for name in CALLERS],
        exchange,
        lambda voice: LocalSpeaker(voices, voice, ahead=True),
        Script,
        "script",
        folder,
        jobs=1,
    )
    async for call in calls:
        report.calls.append(call)
    await voices.aclose()
    await client.portal.stop()
    return report


async def test_callers_of_every_kind_are_served(machine: TalkingMachine, tmp_path: Path) -> None:
    folder = Path(os.environ.get("VOICEFLEET_ARTEFACTS", tmp_path)) / "simulation"
    folder.mkdir(parents=True, exist_ok=True)
    report = await called(machine, folder)
    print(write(report, folder), report.waits, report.total)
    talks = [
        f"{turn.at:6.1f} {turn.speaker}: {turn.text}"
        for call in report.calls
        for turn in (call.record.transcript if call.record else ())
    ]
    assert report.met(AT_LEAST), "\n".join([*report.failed, *talks])
    assert {call.scenario for call in report.calls} == set(CALLERS)
    assert report.emergencies == (1, 1)
    assert report.waits
    assert all((folder / str(call.audio)).stat().st_size > 100_000 for call in report.calls)
