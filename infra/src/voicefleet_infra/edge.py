"""Our SIP edge: kamailio between the carrier and LiveKit's SIP bridges, by `edge.cfg`.

**Which bridge.** Both are asked by OPTIONS once a second; a call goes to the preferred one of those
that answer. One that says nothing to an INVITE within 0.6 s (a bridge that lives says 100 at once)
is left for the other, and out until it has answered two probes. On 5xx the other one is tried, too.

**What a carrier is told.** 503 whenever nobody takes the call: no bridge, no agent within
LiveKit's eight seconds of ringing (LiveKit says 486, on which carriers do not fail over), a number
that LiveKit does not know (it drops the call without a word), too many calls. On 503 a carrier does
what it has been told to do for that case: the client's fallback phone rings. Who is not a carrier
gets no answer at all.

**In a call** the edge has no part: no Record-Route, so requests and sound go between carrier and
bridge, and its own end harms no call.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from voicefleet_infra.platform import Platform, write_private
from voicefleet_infra.probes import sip_answers
from voicefleet_infra.services import SIP_NODES, Service, livekit_sip, program

_CONFIG = Path(__file__).with_name("edge.cfg")
CALLS_PER_SECOND = 30
"""New calls that are let through; a bridge has ports for the sound of 200."""


def phone_line(platform: Platform) -> list[Service]:
    """The platform's bridges, and the edge before them; its carrier calls from its own address."""
    bridges = [livekit_sip(platform, node) for node in SIP_NODES]
    uris = [bridge.address for bridge in bridges]
    return [*bridges, edge(platform, uris, [f"{platform.address}/32"])]


def edge(platform: Platform, bridges: Sequence[str], carriers: Sequence[str]) -> Service:
    """The edge before these bridges (SIP addresses), preferred first; `carriers` are networks."""
    listed = write_private(
        platform.path("sip-edge.list"),
        "".join(f"1 {uri} 0 {len(bridges) - place}\n" for place, uri in enumerate(bridges)),
    )
    host, port = platform.address, platform.port("sip-edge")
    given = {
        "CARRIERS": f'"{",".join(carriers)}"',
        "BRIDGES": f'"{listed}"',
        "CALLS_PER_SECOND": f'"{CALLS_PER_SECOND}"',
    }
    defines = (word for name, value in given.items() for word in ("-A", f"{name}={value}"))
    return Service(
        "sip-edge",
        (
            *(program("kamailio"), "-DD", "-E", "-m", "32", "-M", "4", "-f", str(_CONFIG)),
            *defines,
            *("-l", f"udp:{host}:{port}"),
        ),
        f"sip:{host}:{port}",
        lambda: sip_answers(host, port),
        inputs=(listed, _CONFIG),
        ports=("sip-edge",),
    )
