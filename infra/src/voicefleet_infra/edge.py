"""Our SIP edge: kamailio between the carrier and LiveKit's SIP bridges, by `edge.cfg`.

**Which bridge.** Both are asked by OPTIONS once a second; a call goes to the preferred one of those
that answer. One that says nothing to an INVITE within 0.6 s (a bridge that lives says 100 at once)
is left for the other, and out until it has answered two probes. On 5xx the other one is tried, too.

**What a carrier is told.** 503 whenever nobody takes the call: no bridge, no agent within
LiveKit's eight seconds of ringing (LiveKit says 486, on which carriers do not fail over), a number
that LiveKit does not know (it drops the call without a word), too many calls. On 503 a carrier does
what it has been told to do for that case: the client's fallback phone rings. Who is not a carrier
gets no answer at all.

**Encrypted calls** come by TLS on the same port, and go on by TLS; the sound's keys are in them.

**In a call** the edge has no part: no Record-Route, so requests and sound go between carrier and
bridge, and its own end harms no call.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from voicefleet_infra.pki import sip_authority
from voicefleet_infra.platform import Platform, write_private
from voicefleet_infra.probes import sip_answers
from voicefleet_infra.relay import callers, sip_address
from voicefleet_infra.service import Service, program
from voicefleet_infra.services import SIP_NODES, livekit_sip, sip_uris

_CONFIG = Path(__file__).with_name("edge.cfg")
CALLS_PER_SECOND = 30
"""New calls that are let through; a bridge has ports for the sound of 200."""
# A carrier is known by its address, and asked for no certificate; a bridge must have one.
_TLS = """\
[server:default]
method = TLSv1.2+
certificate = {certificate}
private_key = {private_key}
[client:default]
method = TLSv1.2+
verify_certificate = yes
require_certificate = yes
ca_list = {authority}
"""


def phone_line(platform: Platform) -> list[Service]:
    """The platform's bridges, and the edge before them."""
    bridges = [livekit_sip(platform, node) for node in SIP_NODES]
    uris = [sip_uris(platform, node) for node in SIP_NODES]
    return [*bridges, edge(platform, uris, callers(platform))]


def edge(
    platform: Platform, bridges: Sequence[tuple[str, str]], carriers: Sequence[str]
) -> Service:
    """The edge before these bridges (`sip_uris`), preferred first; `carriers` are networks."""
    listed = write_private(
        platform.path("sip-edge.list"),
        "".join(
            f"{way} {uri} 0 {len(bridges) - place}\n"
            for place, uris in enumerate(bridges)
            for way, uri in enumerate(uris, start=1)
        ),
    )
    host, port = sip_address(platform), platform.port("sip-edge")
    authority = sip_authority(platform)
    certificate, private_key = authority.issue("sip-edge")
    encryption = write_private(
        platform.path("sip-edge.tls"),
        _TLS.format(
            certificate=certificate, private_key=private_key, authority=authority.certificate
        ),
    )
    given = {
        "CARRIERS": f'"{",".join(carriers)}"',
        "BRIDGES": f'"{listed}"',
        "TLS_FILE": f'"{encryption}"',
        "CALLS_PER_SECOND": f'"{CALLS_PER_SECOND}"',
    }
    defines = (word for name, value in given.items() for word in ("-A", f"{name}={value}"))
    return Service(
        "sip-edge",
        (
            *(program("kamailio"), "-DD", "-E", "-m", "64", "-M", "8", "-f", str(_CONFIG)),
            *defines,
            *("-l", f"udp:{host}:{port}", "-l", f"tls:{host}:{port}"),
        ),
        f"sip:{host}:{port}",
        lambda: sip_answers(host, port),
        inputs=(listed, encryption, certificate, private_key, authority.certificate, _CONFIG),
        ports=("sip-edge",),
    )
