"""Many telephones against another end that gives their sound back."""

from __future__ import annotations

import asyncio

import pytest

from support.sip_peer import ECHO, HOST, peer
from voicefleet_cli.load import SETTLE, Load

pytestmark = pytest.mark.integration

NUMBER = "+15005550001"


async def test_all_ask_are_answered_and_hang_up() -> None:
    async with peer("200 OK") as server:
        load = Load(HOST, server.port)
        await load.add([NUMBER] * 3)
        # Nobody greets them: they ask once they have waited for it long enough.
        figures = await load.measure(12)
        await load.end()
    assert (figures.calls, figures.refused, figures.dropped) == (3, {}, 0)
    assert len(figures.answered_after) == 3
    assert figures.lost == 0
    assert figures.unanswered == 0
    # The echo of the question's beginning is heard while it is asked: that is no answer.
    assert all(answer == pytest.approx(0, abs=ECHO) for answer in figures.answers)
    assert server.methods.count("BYE") == 3


async def test_what_is_lost_on_the_way_is_told() -> None:
    async with peer("200 OK", lost=lambda number: number % 20 == 7) as server:
        load = Load(HOST, server.port, background=b"\x00\x80" * 80, asking=False, steady=True)
        await load.add([NUMBER])
        await asyncio.sleep(SETTLE)
        figures = await load.measure(4)
        await load.end()
    assert figures.lost == pytest.approx(0.05, abs=0.01)
    assert figures.broken == pytest.approx(0.05, abs=0.01)
    assert figures.complaints(figures)


async def test_a_refusal_is_told_with_its_status() -> None:
    async with peer("503 Service Unavailable") as server:
        load = Load(HOST, server.port)
        await load.add([NUMBER] * 2)
        figures = await load.measure(0.1)
        await load.end()
    assert figures.refused == {"503 Service Unavailable": 2}
    assert server.methods.count("ACK") == 2


async def test_who_is_interrupted_hangs_up_and_gives_up() -> None:
    async with peer("200 OK") as server:
        load = Load(HOST, server.port)
        await load.add([NUMBER])
        server.status = "180 Ringing"
        adding = asyncio.create_task(load.add([NUMBER] * 2))
        await asyncio.sleep(0.3)
        adding.cancel()
        await asyncio.gather(adding, return_exceptions=True)
        await load.end()
    assert server.methods.count("BYE") == 1
    assert server.methods.count("CANCEL") == 2


async def test_a_lost_invite_is_sent_again() -> None:
    async with peer("200 OK", deaf=2) as server:
        load = Load(HOST, server.port)
        await load.add([NUMBER])
        await load.end()
    assert server.methods[:4] == ["INVITE", "INVITE", "INVITE", "ACK"]
