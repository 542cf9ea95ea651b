"""The telephone against another end that gives its sound back after a known time."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from support.sip_peer import ECHO, HOST, peer
from voicefleet_cli.telephone.hearing import LOUD, judge, sounds
from voicefleet_cli.telephone.signalling import NotAnswered
from voicefleet_cli.telephone.sip import SipLine
from voicefleet_cli.telephone.sound import LOUDNESS, RATE, decode, encode, levels

pytestmark = pytest.mark.integration


async def test_what_is_said_comes_back_when_it_was_sent_back() -> None:
    async with peer("200 OK") as server:
        line = SipLine(np.zeros(RATE))
        await line.open(HOST, server.port, "+15005550001", "+15005550006")
        await asyncio.sleep(0.3)
        tone = np.sin(np.arange(RATE // 2) * 0.5) * LOUDNESS
        start, end = await line.say(tone)
        await asyncio.sleep(ECHO + 0.5)
        mouth, ear = line.recordings()
        await line.hang_up()
    assert server.methods == ["INVITE", "ACK", "BYE"]
    (said,) = sounds(mouth)
    assert (said.start, said.end) == pytest.approx((start, end), abs=0.01)
    heard = judge(ear, start, end, line.now)
    assert heard.answer == pytest.approx(ECHO - 0.5, abs=0.2)
    assert levels(tone).min() > LOUD


async def test_keys_are_pressed_one_after_the_other_and_each_end_is_said_three_times() -> None:
    async with peer("200 OK") as server:
        line = SipLine(np.zeros(RATE))
        await line.open(HOST, server.port, "+15005550001", "+15005550006")
        await line.press("41#")
        await line.hang_up()
    keys = server.echo.keys
    assert [key for _, key in keys] == ["4", "4", "4", "1", "1", "1", "#", "#", "#"]
    assert len({began for began, _ in keys}) == 3


async def test_a_refusal_is_said_with_its_status() -> None:
    async with peer("486 Busy Here") as server:
        with pytest.raises(NotAnswered, match="486 Busy Here"):
            await SipLine(np.zeros(RATE)).open(HOST, server.port, "+15005550001", "+15005550006")
    assert server.methods == ["INVITE", "ACK"]


async def test_what_is_not_heard_is_said_again() -> None:
    async with peer("200 OK", deaf=1) as server:
        line = SipLine(np.zeros(RATE))
        await line.open(HOST, server.port, "+15005550001", "+15005550006")
        await line.hang_up()
    assert server.methods == ["INVITE", "INVITE", "ACK", "BYE", "BYE"]


def test_g711_loses_little() -> None:
    loud = np.linspace(-1, 1, 2001)
    assert np.abs(decode(encode(loud)) - loud).max() < 0.02
    quiet = loud * 0.01
    assert np.abs(decode(encode(quiet)) - quiet).max() < 0.0004
