"""A relay: how carriers reach a machine that nobody can call.

Behind carrier-grade NAT (RFC 6888; Starlink, most mobile networks) no port can be opened, and
LiveKit's SIP bridge does not register with a carrier. So the machine, here *the box*, keeps a
WireGuard tunnel open to *the relay*, a small server with a public address, which passes on
signalling and sound that come from the carrier's networks, and drops all else.

**Who calls stays visible.** The relay changes where a packet goes (DNAT), not whence it comes: the
edge admits carriers by their addresses as ever. The box reaches those networks by the tunnel, from
sockets that are bound to no address too (LiveKit's for sound are), and the relay gives what leaves
there its own address.

**When the NAT forgets.** The box says something every `KEEPALIVE` seconds; from wherever that comes
the relay answers. For so long at most a new address or port at the NAT keeps callers out.

Everything here is text, after wg-quick(8) and nft(8); docs/relay.md says how it is used.
"""

from __future__ import annotations

import base64
from ipaddress import IPv4Address, IPv4Network, collapse_addresses
from pathlib import Path
from typing import Annotated, Self

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from voicefleet_infra.platform import BASE_PORT, RTP_PORTS, Platform

KEEPALIVE = 5
"""Seconds; at 60 bytes a packet about a megabyte a day."""
TUNNEL_PORT = 51820
"""UDP, of the relay."""
_SIGNALLING = ("sip", "sip-backup", "sip-edge", "sips", "sips-backup")
_FILE = "relay.json"
# Rules come before the interface and go after it: nothing passes unruled. They are replaced as one.
_SERVER = """\
[Interface]
PrivateKey = {private}
Address = {server}
ListenPort = {port}
PreUp = sysctl -q -w net.ipv4.ip_forward=1
PreUp = nft -f {folder}/%i.nft
PostDown = nft delete table inet voicefleet

[Peer]
PublicKey = {public}
AllowedIPs = {box}
"""
_BOX = """\
[Interface]
PrivateKey = {private}
Address = {box}
PreUp = nft -f {folder}/%i.nft
PostDown = nft delete table inet voicefleet

[Peer]
PublicKey = {public}
Endpoint = {endpoint}
AllowedIPs = {carriers}
PersistentKeepalive = {keepalive}
"""
_TABLE = """\
table inet voicefleet
delete table inet voicefleet
table inet voicefleet {{
    set carriers {{
        type ipv4_addr
        flags interval
        elements = {{ {carriers} }}
    }}
{chains}}}
"""
_SERVER_CHAINS = """\
    chain whole {{
        type filter hook prerouting priority mangle; policy accept;
        # The tunnel's packets are 80 bytes shorter: let the carrier's be cut, not refused.
        iifname != "{interface}" ip saddr @carriers meta l4proto udp ip frag-off set 0
    }}
    chain inward {{
        type nat hook prerouting priority dstnat; policy accept;
        iifname != "{interface}" fib daddr type local ip saddr @carriers jump telephony
    }}
    chain telephony {{
        meta l4proto {{ tcp, udp }} th dport {{ {signalling} }} dnat ip to {box}
        udp dport {rtp} dnat ip to {box}
    }}
    chain outward {{
        type nat hook postrouting priority srcnat; policy accept;
        oifname != "{interface}" ip saddr {box} masquerade
    }}
    chain forward {{
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        oifname "{interface}" ct status dnat accept
        iifname "{interface}" ip saddr {box} ip daddr @carriers accept
    }}
    chain input {{
        type filter hook input priority filter; policy drop;
        iifname "lo" accept
        ct state established,related accept
        meta l4proto {{ icmp, ipv6-icmp }} accept
        udp dport {port} accept
{ssh}    }}
"""
_SSH = "        ip saddr {{ {admins} }} tcp dport 22 accept\n"
_BOX_CHAINS = """\
    chain input {{
        type filter hook input priority filter; policy accept;
        iifname "{interface}" jump telephony
    }}
    chain telephony {{
        ct state established,related accept
        ip saddr @carriers meta l4proto {{ tcp, udp }} th dport {{ {signalling} }} accept
        ip saddr @carriers udp dport {rtp} accept
        drop
    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
        iifname "{interface}" drop
    }}
"""
_SCRIPT = """\
#!/bin/bash
# Sets this machine's end of the tunnel up; as root. Safe to repeat.
set -euo pipefail
umask 077
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends wireguard-tools nftables
mkdir -p {folder}
cat >{folder}/{interface}.nft <<'END'
{rules}END
cat >{folder}/{interface}.conf <<'END'
{config}END
systemctl enable wg-quick@{interface}
systemctl restart wg-quick@{interface}
"""
_REMOVAL = (
    "systemctl disable --now wg-quick@{interface};"
    " rm -f {folder}/{interface}.conf {folder}/{interface}.nft"
)


class RelaySettings(BaseModel):
    """What both ends agree on; without secrets. As JSON it is the platform's `relay.json`."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True
    )

    public_address: IPv4Address
    """The relay's, which carriers are told."""
    carriers: Annotated[tuple[IPv4Network, ...], Field(min_length=1)]
    """Networks that signalling and sound come from; the box reaches them through the tunnel."""
    admins: tuple[IPv4Network, ...] = ()
    """Who may reach the relay by SSH, on port 22."""
    base_port: int = BASE_PORT
    """The platform's: its ports for telephony are the relay's, too."""
    network: IPv4Network = IPv4Network("10.87.0.0/30")
    """The tunnel's; the relay has the first address, the box the second."""
    interface: str = "voicefleet"
    folder: str = "/etc/wireguard"

    @model_validator(mode="after")
    def _relay_is_outside(self) -> Self:
        for network in self.carriers:
            if self.public_address in network:
                # The tunnel's own packets would go through the tunnel.
                raise ValueError(f"the relay {self.public_address} is in a carrier's {network}")
        return self

    @property
    def server_address(self) -> IPv4Address:
        """The relay's, in the tunnel."""
        return self.network[1]

    @property
    def box_address(self) -> IPv4Address:
        """The box's, in the tunnel: where its edge and bridges listen."""
        return self.network[2]

    @property
    def origination_uri(self) -> str:
        """For the Fleet's `originationURIs`: the box's edge, through the relay."""
        return f"sip:{self.public_address}:{self._port('sip-edge')}"

    def server_script(self, private: str, box_public: str) -> str:
        """Sets the relay up: as its cloud-init user data, or run by root. Has its private key."""
        config = _SERVER.format(
            private=private,
            public=box_public,
            server=f"{self.server_address}/{self.network.prefixlen}",
            box=f"{self.box_address}/32",
            port=TUNNEL_PORT,
            folder=self.folder,
        )
        ssh = _SSH.format(admins=_listed(self.admins)) if self.admins else ""
        return self._script(config, _SERVER_CHAINS, port=TUNNEL_PORT, ssh=ssh)

    def box_script(self, private: str, server_public: str) -> str:
        """Sets the box up; to be run by root. Has its private key."""
        config = _BOX.format(
            private=private,
            public=server_public,
            box=f"{self.box_address}/{self.network.prefixlen}",
            endpoint=f"{self.public_address}:{TUNNEL_PORT}",
            carriers=_listed(self.carriers),
            keepalive=KEEPALIVE,
            folder=self.folder,
        )
        return self._script(config, _BOX_CHAINS)

    def removal(self) -> str:
        """Takes either end down; a command for root."""
        return _REMOVAL.format(interface=self.interface, folder=self.folder)

    def _script(self, config: str, chains: str, **more: object) -> str:
        first = self._port("rtp")
        written = chains.format(
            interface=self.interface,
            box=self.box_address,
            signalling=", ".join(str(self._port(name)) for name in _SIGNALLING),
            rtp=f"{first}-{first + 2 * RTP_PORTS - 1}",
            **more,
        )
        rules = _TABLE.format(carriers=_listed(self.carriers), chains=written)
        return _SCRIPT.format(
            folder=self.folder, interface=self.interface, rules=rules, config=config
        )

    def _port(self, name: str) -> int:
        return Platform(Path(), self.base_port).port(name)


def _listed(networks: tuple[IPv4Network, ...]) -> str:
    # wg-quick adds a route for each, and fails over one that is there.
    return ", ".join(map(str, collapse_addresses(networks)))


def private_key() -> str:
    """A new key of WireGuard's (RFC 7748, X25519), base64."""
    return _text(X25519PrivateKey.generate().private_bytes_raw())


def public_key(private: str) -> str:
    """The other end's name for who holds this private key, base64."""
    key = X25519PrivateKey.from_private_bytes(base64.b64decode(private))
    return _text(key.public_key().public_bytes_raw())


def _text(key: bytes) -> str:
    return base64.b64encode(key).decode()


# --- a platform with a relay ---------------------------------------------------------------------


def known_relay(platform: Platform) -> RelaySettings | None:
    """What `relay.json` in the platform's state says; None where there is none.

    Raises ValueError where it is not to be understood, or is another platform's.
    """
    file = platform.path(_FILE)
    if not file.exists():
        return None
    settings = RelaySettings.model_validate_json(file.read_text())
    if settings.base_port != platform.base_port:
        raise ValueError(f"{file} is for the base port {settings.base_port}")
    return settings


def sip_address(platform: Platform) -> str:
    """Where the edge and the SIP bridges listen."""
    relay = known_relay(platform)
    return str(relay.box_address) if relay else platform.address


def public_address(platform: Platform) -> str:
    """Where carriers reach them, which is what the bridges say of themselves."""
    relay = known_relay(platform)
    return str(relay.public_address) if relay else platform.address


def callers(platform: Platform) -> list[str]:
    """Networks whose calls the edge takes: this machine's, and those that the relay passes on."""
    own = {platform.address, sip_address(platform)}
    relay = known_relay(platform)
    return [f"{address}/32" for address in sorted(own)] + list(
        map(str, relay.carriers if relay else ())
    )
