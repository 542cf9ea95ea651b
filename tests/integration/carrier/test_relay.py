"""A box that nobody can call is called: by a carrier's phone, over a relay, WireGuard and a NAT.

The tests run in this order: the NAT's move is the last.
"""

from __future__ import annotations

import socket
import time
import wave
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.carrier.homebox import DELAY, LATER, HomeBox
from support.invite import Invite
from support.netns import Host
from support.stack import until
from support.tones import loudness, tone
from voicefleet_infra.probes import sip_answers, tcp_open
from voicefleet_infra.relay import KEEPALIVE
from voicefleet_infra.tools import binary, missing_packages

pytestmark = pytest.mark.integration

NUMBER = "+14152201000"
"""The first that the sandbox sells."""
HERTZ, RATE = 900, 8000
WHOLE = 1500
"""Bytes that the public network carries in one packet."""


@pytest.fixture(scope="module")
def lab(programs: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeBox]:
    if not binary("livekit-sip").exists():
        pytest.skip("livekit-sip is not built: make provision")
    if missing := {"wireguard-tools", "nftables"} & set(missing_packages("tests")):
        pytest.skip(f"{', '.join(missing)} missing: make provision")
    if not Path("/dev/net/tun").exists():
        pytest.skip("there is no /dev/net/tun here")
    with HomeBox(tmp_path_factory.mktemp("lab"), answered=NUMBER) as lab:
        assert lab.line.number(lab.url) == NUMBER
        yield lab


def sound(file: Path) -> array[int]:
    with wave.open(str(file)) as wav:
        return array("h", wav.readframes(wav.getnframes()))


def answered_in_the_end(lab: HomeBox) -> None:
    """Calls, one after the other, until one is answered."""
    until(lambda: lab.line.call(NUMBER).answered, "no call is answered")


def test_caller_and_room_hear_one_another(lab: HomeBox, tmp_path: Path) -> None:
    """The room says what it hears: what the caller hears of herself has gone both ways."""
    said = tone(tmp_path / "said.wav", HERTZ, seconds=10, rate=RATE)
    heard = tmp_path / "heard.wav"
    call = lab.line.call(NUMBER, seconds=5, play=said, record=heard)
    assert call.answered, call
    assert loudness(sound(heard)[-RATE:], HERTZ, RATE) > 0.8


def test_a_packet_of_full_size_gets_through_at_once(lab: HomeBox) -> None:
    """It is larger than the tunnel's, and the sender does not allow that it be cut."""
    host, port = lab.line.carrier, lab.port("sip")
    with host.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(5)
        sender.connect((lab.relay.address, port))
        own = "{}:{}".format(*sender.getsockname())
        uri = f"sip:{lab.relay.address}:{port}"
        head = (
            f"OPTIONS {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {own};rport;branch=z9hG4bKlarge\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:carrier@{own}>;tag=1\r\nTo: <{uri}>\r\n"
            f"Call-ID: large@{own}\r\nCSeq: 1 OPTIONS\r\nX-Padding: "
        )
        tail = "\r\nContent-Length: 0\r\n\r\n"
        headers = 28  # of IP and UDP
        padding = "x" * (WHOLE - headers - len(head) - len(tail))
        sender.send((head + padding + tail).encode())
        assert sender.recv(4096).startswith(b"SIP/2.0 200")


def test_encrypted_signalling_has_its_way_too(lab: HomeBox) -> None:
    edge = lab.port("sip-edge"), lab.relay.address
    with lab.line.carrier.inside():
        assert tcp_open(*edge)
    with lab.stranger.inside():
        assert not tcp_open(*edge)


def test_what_the_box_sends_a_carrier_comes_from_the_relay(lab: HomeBox) -> None:
    """From a socket that is bound to no address, as LiveKit's for sound are; the port stays."""
    port = lab.port("rtp") + 1  # sound has even ones
    with lab.line.carrier.inside():
        there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with lab.box.inside():
        here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with there, here:
        there.bind((lab.line.carrier.address, 0))
        there.settimeout(5)
        here.bind(("", port))
        here.sendto(b"sound", there.getsockname())
        assert there.recvfrom(16) == (b"sound", (lab.relay.address, port))


def test_strangers_hear_nothing(lab: HomeBox) -> None:
    """Not even from the bridge, which answers whoever reaches it."""
    bridge = lab.relay.address, lab.port("sip")
    with lab.line.carrier.inside():
        asked = time.monotonic()
        assert sip_answers(*bridge)
        # There and back over the slow line: it is one.
        assert time.monotonic() - asked > 2 * DELAY[0]
    relay, stranger = lab.relay, lab.stranger
    hook = "type filter hook postrouting priority filter;"
    seen = f'oifname "{lab.tunnel}" ip saddr {stranger.address} counter;'
    relay.run("nft", f"table ip watch {{ chain tunnel {{ {hook} {seen} }}; }}")
    with stranger.inside():
        assert not sip_answers(*bridge)
        edge = lab.relay.address, lab.port("sip-edge")
        with Invite(edge, NUMBER, stranger.address) as call:
            assert call.wait(2).statuses == []
    # Nor does the box, which would not let them in either, hear of them.
    assert "counter packets 0 " in relay.run("nft", "list", "table", "ip", "watch")


def test_the_relay_is_reached_by_ssh_from_the_admins_alone(lab: HomeBox) -> None:
    with lab.relay.inside():
        ssh = socket.create_server((lab.relay.address, 22))
    with ssh:
        assert reaches(lab.line.owner, lab.relay.address, 22)
        for other in (lab.line.carrier, lab.stranger):
            assert not reaches(other, lab.relay.address, 22)


def test_who_has_the_relay_has_telephony_and_no_more_of_the_box(lab: HomeBox) -> None:
    """Even where the relay calls itself a carrier."""
    disguise = "203.0.113.1"
    lab.relay.run("ip", "address", "add", f"{disguise}/32", "dev", "lo")
    box = str(lab.settings.box_address)
    with lab.box.inside():
        other = socket.create_server(("", 8000))
    with other:
        assert reaches(lab.box, box, 8000)
        assert reaches(lab.relay, box, lab.port("sip-edge"), source=disguise)
        assert not reaches(lab.relay, box, 8000, source=disguise)
        assert not reaches(lab.relay, box, lab.port("sip-edge"))


def reaches(host: Host, address: str, port: int, source: str = "") -> bool:
    """Whether TCP gets there from the host."""
    with host.inside():
        try:
            socket.create_connection((address, port), 2, (source, 0) if source else None).close()
        except OSError:
            return False
        return True


def test_without_the_tunnel_no_way_leads_in_and_with_it_calls_come_again(lab: HomeBox) -> None:
    lab.uplink.cut = True
    try:
        assert not lab.line.call(NUMBER, ring_seconds=5).answered
    finally:
        lab.uplink.cut = False
    answered_in_the_end(lab)
    # The NAT itself leads nobody in.
    with lab.line.carrier.inside():
        assert not sip_answers(lab.nat.address, lab.port("sip"))


def test_after_the_nat_has_moved_calls_come_again_in_seconds(lab: HomeBox) -> None:
    assert lab.line.call(NUMBER).answered
    assert lab.endpoint().startswith(f"{lab.nat.address}:")
    # Until the call has nothing more to say, and WireGuard has nothing to answer (10 s).
    time.sleep(12)
    lab.move()
    moved = time.monotonic()
    answered_in_the_end(lab)
    seconds = time.monotonic() - moved
    assert lab.endpoint().startswith(f"{LATER}:")
    print(f"answered {seconds:.1f} s after the NAT has moved; keepalive {KEEPALIVE} s")
