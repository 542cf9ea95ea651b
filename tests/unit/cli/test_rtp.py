"""What is read from a telephone's packets: each fault by itself, in a stream that is known."""

from __future__ import annotations

import pytest

from voicefleet_cli.telephone import rtp
from voicefleet_cli.telephone.rtp import Packet, judge

pytestmark = pytest.mark.unit

COUNT = 500


def stream(sounding: bool = True) -> list[Packet]:
    """Ten seconds, steady; both counters begin again in the middle."""
    return [
        Packet(
            100 + index * rtp.SECONDS,
            (2**16 - 200 + index) % 2**16,
            (2**32 - 20_000 + index * rtp.SAMPLES) % 2**32,
            sounding,
        )
        for index in range(COUNT)
    ]


def test_a_steady_stream_has_no_fault() -> None:
    heard = judge(stream())
    assert heard.packets == COUNT
    assert heard[1:] == pytest.approx((0, 0, 0, 0), abs=1e-6)


def test_of_nothing_all_is_lost() -> None:
    assert judge([]).lost == 1


def test_lost_packets_are_lost_and_holes() -> None:
    packets = [packet for index, packet in enumerate(stream()) if index % 10 != 5]
    heard = judge(packets)
    assert heard.lost == pytest.approx(0.1, abs=0.002)
    assert heard.broken == pytest.approx(0.1, abs=0.002)
    assert heard.late == 0


def test_a_packet_out_of_order_or_twice_is_not_lost() -> None:
    packets = stream()
    packets[40], packets[41] = packets[41], packets[40]
    assert judge([*packets[:60], packets[59], *packets[60:]]).lost == 0


@pytest.mark.parametrize(("behind", "late"), [(0.05, 0), (0.07, 0.1)])
def test_late_is_what_a_buffer_has_given_up(behind: float, late: float) -> None:
    packets = [
        packet._replace(came=packet.came + behind) if index % 10 == 5 else packet
        for index, packet in enumerate(stream())
    ]
    assert judge(packets).late == late


def test_a_line_that_takes_longer_from_now_on_is_not_late_for_long() -> None:
    packets = [
        packet._replace(came=packet.came + 0.2) if index >= COUNT / 2 else packet
        for index, packet in enumerate(stream())
    ]
    assert judge(packets).late < 0.21


def test_jitter_is_the_mean_difference() -> None:
    packets = [
        packet._replace(came=packet.came + (0.008 if index % 2 else 0))
        for index, packet in enumerate(stream())
    ]
    assert judge(packets).jitter == pytest.approx(0.008, rel=0.05)


def test_a_pause_is_no_hole() -> None:
    packets = [
        packet._replace(loud=not (100 <= index < 100 + rtp.PAUSE or index == 300))
        for index, packet in enumerate(stream())
    ]
    assert judge(packets).broken == pytest.approx(1 / (COUNT - rtp.PAUSE))
    assert judge(stream(sounding=False)).broken == 0


def test_what_is_written_is_read() -> None:
    (sound,) = rtp.coded([9000 * (-1) ** at for at in range(100)])
    assert len(sound) == rtp.SAMPLES
    packet = rtp.read(rtp.written(70_000, 7, sound), 1.5)
    assert packet == Packet(1.5, 70_000 - 65_536, 70_000 * rtp.SAMPLES, True)
    quiet = rtp.read(rtp.written(1, 7, rtp.SILENCE), 1.5)
    assert quiet is not None
    assert not quiet.loud
    assert rtp.read(b"\x80\xc8 RTCP, as it happens", 1.5) is None
