"""LiveKit's two configuration files, wherever they are read: a process, a pod, another machine.

Fields: https://github.com/livekit/livekit/blob/v1.13.5/config-sample.yaml and
https://github.com/livekit/sip/blob/v1.8.0/README.md.
"""

from __future__ import annotations

from typing import Any

SIP_PORT = 5060
SIPS_PORT = 5061
RTP_PORTS = (10000, 10399)
"""First and last UDP port of calls' sound, two a call, where nobody says otherwise."""


def server_config(
    *, port: int, rtc: dict[str, Any], redis: dict[str, str], keys: dict[str, str]
) -> dict[str, Any]:
    """LiveKit server's. `rtc` has ports and addresses; `keys` are API keys with their secrets."""
    return {
        "port": port,
        # Addresses are said, not found out: STUN would ask strangers.
        "rtc": {**rtc, "use_external_ip": False},
        "redis": redis,
        "keys": keys,
        "logging": {"level": "info", "json": True},
    }


def sip_config(
    *,
    key: tuple[str, str],
    livekit: str,
    redis: dict[str, str],
    public: str,
    ports: tuple[int, int] = (SIP_PORT, SIPS_PORT),
    rtp: tuple[int, int] = RTP_PORTS,
    certificate: tuple[str, str] | None = None,
) -> dict[str, Any]:
    """A SIP bridge's. `public` is the address that carriers are told; `ports` are UDP's and TLS's.

    `certificate` names the files of a certificate and its key; None: no TLS.
    """
    tls: dict[str, Any] = {}
    if certificate is not None:
        cert_file, key_file = certificate
        listed = [{"cert_file": cert_file, "key_file": key_file}]
        tls = {"tls": {"port": ports[1], "certs": listed}}
    return {
        "api_key": key[0],
        "api_secret": key[1],
        "ws_url": livekit,
        "redis": redis,
        "sip_port": ports[0],
        **tls,
        "rtp_port": f"{rtp[0]}-{rtp[1]}",
        "use_external_ip": False,
        "nat_1_to_1_ip": public,
        # Of the machine's last second. Above it a bridge refuses the calls that we ask it for
        # (a caller wants a person) and nobody who calls; a model that thinks takes all of it.
        "max_cpu_utilization": 1,
        "logging": {"level": "info", "json": True},
    }
