"""A SIP bridge is lost: the next call is answered within 2 s through the other, at our edge.

Everything is a process of its own on a host of its own (`support.sip_lab`); cables are pulled.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from support.sip_lab import UNATTENDED, UNKNOWN, SipLab

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

LIMIT = 2.0


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SipLab]:
    with SipLab(tmp_path_factory.mktemp("lab")) as lab:
        lab.until_preferred()
        yield lab


@pytest.mark.parametrize("fault", ["killed", "unplugged", "frozen", "refusing"])
def test_the_next_call_takes_the_other_bridge(lab: SipLab, fault: str) -> None:
    with getattr(lab, fault)():
        with lab.call() as next_call:
            next_call.wait(10)
        time.sleep(2.5)
        with lab.call() as later:
            later.wait(10)
    print(f"{fault}: {next_call.after:.2f} s, once a probe has seen it {later.after:.2f} s")
    for call in (next_call, later):
        assert call.answered, call.statuses
        assert call.contact[0] == lab.bridges[1].address
        assert call.after < LIMIT
    if fault != "refusing":
        # By then nobody waits for the one that is lost.
        assert later.after < next_call.after
    # And it is preferred again once it is back.
    lab.until_preferred()


def test_who_is_not_taken_is_handed_back_to_the_carrier(lab: SipLab) -> None:
    for number in (UNATTENDED, UNKNOWN):
        with lab.call(number) as call:
            call.wait(15)
        print(f"{number}: {call.statuses} after {call.after:.1f} s")
        assert call.final == 503
        assert call.after < 11


def test_without_any_bridge_the_carrier_is_told_at_once(lab: SipLab) -> None:
    other = lab.bridges[1].cable
    with lab.unplugged():
        other.pull()
        with lab.call() as call:
            call.wait(10)
        other.plug()
    assert call.final == 503
    assert call.after < LIMIT
    lab.until_preferred()


def test_a_stranger_hears_nothing(lab: SipLab) -> None:
    with lab.call(source=lab.stranger) as call:
        call.wait(3)
    assert call.statuses == []


def test_a_flood_is_held_at_the_edge(lab: SipLab) -> None:
    """And who calls afterwards is answered."""
    calls = [lab.call(UNATTENDED) for _ in range(60)]
    finals = []
    for call in calls:
        with call:
            # Shorter than calls ring that nobody takes: those end with 503, too.
            finals.append(call.wait(0.05).final)
    time.sleep(1)
    assert finals.count(503) >= 20, finals
    lab.until_preferred()


def test_a_call_goes_on_without_the_edge(lab: SipLab) -> None:
    """Requests within a call go to its bridge. Last: the lab has no edge afterwards."""
    with lab.call() as call:
        assert call.wait(5).answered
        lab.edge.terminate()
        lab.edge.wait(10)
        assert call.hang_up() == "SIP/2.0 200 OK"
