"""What the stack knows of the Fleet: the rest, accounts and plans, is the agency's to say."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any

from voicefleet_infra.components.cloud import agent_gateway
from voicefleet_infra.components.cloud.livekit import PORT, TCP_PORT, UDP_PORT
from voicefleet_infra.components.cloud.objects import SYSTEM


def fleet(
    *,
    livekit: str,
    livekit_address: str,
    livekit_secret: str,
    gateway: str,
    origination_uris: Sequence[str],
    carrier_networks: Sequence[str],
    zone: dict[str, Any] | None,
    address: str,
) -> dict[str, Any]:
    """Parts of `Fleet.spec`: `livekit`, `telephony`, `runtime`, and `dns` where there is a zone.

    `livekit_address` is its node's, as pods reach it; `gateway` the agent gateway's URL. `zone` has
    `zone`, `server`, `port` and the name of the key's Secret, `secret`.
    """
    secure = all(uri.endswith(";transport=tls") for uri in origination_uris)
    spec: dict[str, Any] = {
        "livekit": {
            "url": livekit,
            "agentURL": gateway,
            "secretRef": {"namespace": SYSTEM, "name": livekit_secret},
        },
        "telephony": {
            "originationURIs": list(origination_uris),
            "carrierNetworks": list(carrier_networks),
            "secure": secure,
        },
        "runtime": {
            "className": "kubernetes",
            "kubernetes": {"egress": _egress(livekit_address)},
        },
    }
    if zone is not None:
        spec["dns"] = {
            "zone": zone["zone"],
            "server": zone["server"],
            "port": zone["port"],
            "tsigSecretRef": {"namespace": SYSTEM, "name": zone["secret"]},
            "target": address,
        }
    return spec


def _egress(livekit: str) -> list[dict[str, Any]]:
    """What an agent's call needs; vendors are the agency's to add."""
    rtc = [{"port": PORT}, {"port": TCP_PORT}, {"port": UDP_PORT, "protocol": "UDP"}]
    return [
        {"name": "agent-gateway", "namespace": SYSTEM, "ports": [{"port": agent_gateway.PORT}]},
        {"name": "livekit", "cidr": str(ip_network(livekit)), "ports": rtc},
    ]
