"""Two telephones call by SIP, one of them over a bad line: what their records say of it."""

from __future__ import annotations

import asyncio

import pytest

from bench.machine import Machine
from voicefleet_api.calls import CallQuality, CallRecord
from voicefleet_api.quality import MISSING_PERCENT, diagnose
from voicefleet_cli.telephone import rtp
from voicefleet_cli.telephone.phones import Phone, keep_sending

pytestmark = pytest.mark.integration

GOOD, BAD = "+15005550001", "+15005550002"
TALK = 14.0
SPEECH = [rtp.coded([8000 * (-1) ** (at // 20) for at in range(rtp.SAMPLES)])[0]] * 25


class Lossy(Phone):
    """One packet in five does not arrive."""

    def send(self) -> None:
        if self._sent % 5 == 0:
            self._sent += 1
        super().send()


async def test_a_bad_line_is_told_from_a_good_one() -> None:
    with Machine(instant=True) as machine:
        await asyncio.to_thread(machine.start_sip)
        client = await machine.start_ours("dentist")
        address, port = machine.platform.address, machine.platform.port("sip")
        phones = {GOOD: Phone(client.number), BAD: Lossy(client.number)}
        sending = asyncio.create_task(keep_sending([*phones.values()]))
        for caller, phone in phones.items():
            await phone.ring(address, port, caller)
        asking = [asyncio.create_task(phone.ask(SPEECH)) for phone in phones.values()]
        await asyncio.sleep(TALK)
        for task in (sending, *asking):
            task.cancel()
        for phone in phones.values():
            await phone.hang_up()
        async with asyncio.timeout(15):
            while len(client.portal.records) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        records = {record.caller: record for record in client.portal.records.values()}
    good, bad = (_quality(records[caller]) for caller in (GOOD, BAD))
    print(good, bad)
    assert good.concealed_percent < MISSING_PERCENT < bad.concealed_percent
    assert bad.mos < good.mos
    assert any("from the carrier to LiveKit" in words for words in diagnose(records[BAD]))


def _quality(record: CallRecord) -> CallQuality:
    assert record.quality is not None
    return record.quality
