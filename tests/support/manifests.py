"""Valid manifests that tests break in one place."""

from __future__ import annotations

import copy
from typing import Any

from voicefleet_api.names import API_VERSION

Manifest = dict[str, Any]


def merged(base: Manifest, changes: Manifest) -> Manifest:
    """A copy of `base` changed as a JSON merge patch would (RFC 7386): None removes."""
    made = copy.deepcopy(base)
    for key, value in changes.items():
        if value is None:
            made.pop(key, None)
        elif isinstance(value, dict) and isinstance(made.get(key), dict):
            made[key] = merged(made[key], value)
        else:
            made[key] = copy.deepcopy(value)
    return made


def _object(kind: str, name: str, namespace: str | None, spec: Manifest) -> Manifest:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def numbers(count: int) -> list[Manifest]:
    """That many number claims, of area code 415."""
    return [
        {"name": f"line-{i}", "request": {"country": "US", "areaCode": "415"}} for i in range(count)
    ]


def voice_client(name: str = "bright-smile", namespace: str = "default", **spec: Any) -> Manifest:
    """A valid VoiceClient with one number on plan Pro; `spec` is merged in."""
    base = {
        "business": {"name": "Bright Smile", "email": "owner@bright-smile.example"},
        "profession": "dentist",
        "plan": "Pro",
        "telephony": {"numbers": numbers(1)},
    }
    return _object("VoiceClient", name, namespace, merged(base, spec))


def phone_number(name: str = "line", **spec: Any) -> Manifest:
    """A valid PhoneNumber that nobody claims; `spec` is merged in."""
    base = {"fleetRef": {"name": "default"}, "account": "main", "request": {"areaCode": "415"}}
    return _object("PhoneNumber", name, None, merged(base, spec))


def receptionist(name: str = "words", namespace: str = "default", **spec: Any) -> Manifest:
    """A valid Receptionist; `spec` is merged in."""
    return _object("Receptionist", name, namespace, merged({}, spec))


def fleet(name: str = "fleet", **spec: Any) -> Manifest:
    """A valid Fleet in Sandbox mode, plans Small (2 numbers) and Endless; `spec` is merged in."""
    secret = {"namespace": "voicefleet-system", "name": "credentials"}
    base = {
        "plans": [
            {"name": "Small", "monthlyPriceMinor": 100, "maxNumbers": 2},
            {"name": "Endless", "monthlyPriceMinor": 200},
        ],
        "billing": {"accounts": [{"name": "main", "mode": "Sandbox", "secretRef": secret}]},
        "telephony": {
            "accounts": [
                {
                    "name": "main",
                    "mode": "Sandbox",
                    "secretRef": secret,
                    "monthlySpendingCapMinor": 1000,
                }
            ],
            "originationURIs": ["sip:192.0.2.1:5060"],
            "carrierNetworks": ["192.0.2.0/24"],
        },
        "sandbox": {"url": "http://192.0.2.2:8080"},
    }
    return _object("Fleet", name, None, merged(base, spec))
