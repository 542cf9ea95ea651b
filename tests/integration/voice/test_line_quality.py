"""A telephone calls by SIP: what the record says of the line."""

from __future__ import annotations

import asyncio

import pytest

from bench.machine import Machine
from voicefleet_api.quality import JITTER_MS, MISSING_PERCENT, ROUND_TRIP_MS, diagnose
from voicefleet_cli.load import Load

pytestmark = pytest.mark.integration

TALK = 8.0
"""Seconds: the agent has looked at the line once."""


async def test_a_call_on_one_machine_has_a_good_line() -> None:
    with Machine(instant=True) as machine:
        await asyncio.to_thread(machine.start_sip)
        client = await machine.start_ours("dentist")
        load = Load(machine.platform.address, machine.platform.port("sip"))
        await load.add([client.number])
        await asyncio.sleep(TALK)
        await load.end()
        async with asyncio.timeout(60):
            while not client.portal.records:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        await client.portal.stop()
    (record,) = client.portal.records.values()
    line = record.quality
    assert line is not None
    # By the limits of the diagnosis: a busy machine's line is less than perfect, too.
    assert 0 <= line.lost_percent < MISSING_PERCENT
    assert 0 <= line.sent_lost_percent < MISSING_PERCENT
    assert 0 <= line.concealed_percent < MISSING_PERCENT
    assert 0 <= line.jitter_ms < JITTER_MS
    assert line.round_trip_ms is not None
    assert 0 < line.round_trip_ms < ROUND_TRIP_MS
    assert 3.5 < line.mos < 4.5
    assert diagnose(record) == []
