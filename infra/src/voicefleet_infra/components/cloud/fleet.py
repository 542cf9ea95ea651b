"""What the stack knows of the Fleet: the rest, accounts and plans, is the agency's to say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from voicefleet_infra.components.cloud.objects import SYSTEM


def fleet(
    *,
    livekit: str,
    livekit_secret: str,
    origination_uris: Sequence[str],
    carrier_networks: Sequence[str],
    zone: dict[str, Any] | None,
    address: str,
) -> dict[str, Any]:
    """Parts of `Fleet.spec`: `livekit`, `telephony`, and `dns` where there is a zone.

    `zone` has `zone`, `server`, `port` and the name of the key's Secret, `secret`.
    """
    secure = all(uri.endswith(";transport=tls") for uri in origination_uris)
    spec: dict[str, Any] = {
        "livekit": {
            "url": livekit,
            "agentURL": livekit,
            "secretRef": {"namespace": SYSTEM, "name": livekit_secret},
        },
        "telephony": {
            "originationURIs": list(origination_uris),
            "carrierNetworks": list(carrier_networks),
            "secure": secure,
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
