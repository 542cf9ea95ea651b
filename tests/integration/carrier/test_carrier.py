"""What the carrier does with a call, seen from telephones and from the servers it tries."""

from __future__ import annotations

import time
import wave
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integration.carrier.exchange import (
    FORWARD,
    NO_REPLY_SECONDS,
    OWNER,
    PORT,
    Exchange,
    Url,
)
from support.netns import Host
from support.phones import answering, invite
from support.sipp import Server, crowd, server
from support.stack import until
from support.tones import loudness, tone

pytestmark = pytest.mark.integration

Start = Callable[..., Server]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts servers, each on a host of its own, until the test ends."""
    started: list[Server] = []

    def run(host: Host, status: str = "200 OK") -> Server:
        started.append(server(host, tmp_path / str(len(started)), status))
        return started[-1]

    yield run
    for each in started:
        each.stop()


def test_the_most_important_url_that_is_enabled_has_the_call(line: Exchange, start: Start) -> None:
    one, two = start(line.one), start(line.two)
    call = line.call(line.number(Url(line.one, 20), Url(line.two, 10)))
    assert call.answered, call
    assert (one.got(), two.got()) == (0, 1)
    until(lambda: two.got("BYE") == 1, "the end of the call does not come through")
    assert line.call(line.number(Url(line.one, 20), Url(line.two, 10, enabled=False))).answered
    assert (one.got(), two.got()) == (1, 1)


def test_equal_urls_share_calls_by_weight(line: Exchange, start: Start, tmp_path: Path) -> None:
    one, two = start(line.one, "486 Busy Here"), start(line.two, "486 Busy Here")
    number = line.number(Url(line.one, weight=30), Url(line.two, weight=10))
    crowd(line.caller, tmp_path, line.edge, number, calls=400, rate=80, status=486)
    assert one.got() + two.got() == 400, "a refusal is final"
    # 300 expected; four standard deviations of the binomial are 35.
    assert 265 <= one.got() <= 335


def test_a_server_that_says_nothing_is_given_up_in_time(line: Exchange, start: Start) -> None:
    two = start(line.two)
    call = line.call(line.number(Url(line.one, 1), Url(line.two, 2)))
    assert call.answered, call
    assert two.got() == 1
    assert call.answered_after is not None
    # The edge's clock ticks 16 times a second, the phone's starts before the phone does.
    assert 0.9 * NO_REPLY_SECONDS < call.answered_after < NO_REPLY_SECONDS + 1


@pytest.mark.parametrize("status", ["500 Server Internal Error", "503 Service Unavailable"])
def test_a_server_in_trouble_is_passed_over_at_once(
    line: Exchange, start: Start, status: str
) -> None:
    one, two = start(line.one, status), start(line.two)
    call = line.call(line.number(Url(line.one, 1), Url(line.two, 2)))
    assert call.answered, call
    assert (one.got(), two.got()) == (1, 1)
    assert call.answered_after is not None
    assert call.answered_after < NO_REPLY_SECONDS


@pytest.mark.parametrize("status", ["404 Not Found", "486 Busy Here", "603 Decline"])
def test_a_refusal_ends_the_call(line: Exchange, start: Start, status: str) -> None:
    one, two = start(line.one, status), start(line.two)
    call = line.call(line.number(Url(line.one, 1), Url(line.two, 2), recovery=FORWARD))
    assert (call.answered, call.ended) == (False, status)
    assert (one.got(), two.got()) == (1, 0)


def test_a_pulled_cable_is_passed_over(line: Exchange, start: Start) -> None:
    one, two = start(line.one), start(line.two)
    number = line.number(Url(line.one, 1), Url(line.two, 2))
    assert line.call(number).answered
    line.one.cable.pull()
    try:
        call = line.call(number)
        assert call.answered, call
        assert call.answered_after is not None
        assert call.answered_after < NO_REPLY_SECONDS + 1
        assert (one.got(), two.got()) == (1, 1)
    finally:
        line.one.cable.plug()
    assert line.call(number).answered
    assert (one.got(), two.got()) == (2, 1)


def test_where_no_way_leads_the_next_is_taken(line: Exchange, start: Start) -> None:
    two = start(line.two)
    nowhere = Host("none", "203.0.113.1", line.one.cable, [])
    call = line.call(line.number(Url(nowhere, 1), Url(line.two, 2)))
    assert call.answered, call
    assert two.got() == 1


def test_the_last_ones_trouble_is_told_as_it_is(line: Exchange, start: Start) -> None:
    start(line.one, "500 Server Internal Error")
    start(line.two, "503 Service Unavailable")
    call = line.call(line.number(Url(line.one, 1), Url(line.two, 2)))
    assert (call.answered, call.ended) == (False, "503 Service Unavailable")


def test_a_caller_who_gives_up_is_not_passed_on(line: Exchange, start: Start) -> None:
    one, two = start(line.one, "180 Ringing"), start(line.two)
    number = line.number(Url(line.one, 1), Url(line.two, 2))
    call = line.call(number, ring_seconds=NO_REPLY_SECONDS)
    assert not call.answered
    until(lambda: one.got("CANCEL") == 1, "the server still rings")
    one.stop()
    assert not line.call(number, ring_seconds=NO_REPLY_SECONDS / 2).answered
    time.sleep(NO_REPLY_SECONDS)
    assert two.got() == 0


def test_with_everything_dead_the_owners_phone_rings(line: Exchange, tmp_path: Path) -> None:
    """On a trunk by its disaster recovery, without one by the number's own instructions."""
    says = tone(tmp_path / "hello.wav", 900, seconds=60, rate=8000)
    trunk = line.number(Url(line.one, 1), Url(line.two, 2), recovery=FORWARD)
    suspended = line.number(voice_url=FORWARD)
    assert line.call(suspended).ended == "480 Temporarily Unavailable"
    with line.owner.inside():
        phone = answering(line.owner.address, OWNER, line.edge, tmp_path / "owner", says=says)
        with phone:
            for number, limit in ((trunk, 2 * NO_REPLY_SECONDS + 1), (suspended, 1.0)):
                heard = tmp_path / f"{number}.wav"
                call = line.call(number, seconds=2, record=heard)
                assert call.answered, call
                assert call.answered_after is not None
                assert call.answered_after < limit
                with wave.open(str(heard)) as sound:
                    samples = array("h", sound.readframes(sound.getnframes()))
                assert loudness(samples[4000:12000], 900, 8000) > 0.9


def test_a_number_that_nobody_has(line: Exchange) -> None:
    assert line.call("+14155559999").ended == "404 Not Found"


def test_strangers_are_turned_away(line: Exchange, start: Start) -> None:
    one = start(line.one)
    number = line.number(Url(line.one))
    with line.carrier.inside():
        assert invite(line.carrier.address, PORT, number, "127.0.0.1") == [403]
    assert one.got() == 0
