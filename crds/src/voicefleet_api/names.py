"""Names that the API server, the vendors and every room agree on.

They are part of the API: changing one of them orphans what already carries it.
"""

from __future__ import annotations

GROUP = "voicefleet.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

FINALIZER = f"{GROUP}/teardown"
"""Ours alone: kopf strips the finalizer it manages when no handler of its own needs it."""

ANNOTATION_CLIENT_ID = f"{GROUP}/client-id"
ANNOTATION_FLEET_ID = f"{GROUP}/fleet-id"
ANNOTATION_PAUSED = f"{GROUP}/paused"
ANNOTATION_RECONCILE_AT = f"{GROUP}/reconcile-at"

LABEL_CLIENT_ID = f"{GROUP}/client-id"
LABEL_FLEET_ID = f"{GROUP}/fleet-id"
LABEL_PROTECTED = f"{GROUP}/deletion-protected"
"""On a namespace that holds a protected client, so that admission can refuse its deletion."""

FIELD_MANAGER = "voicefleet-operator"
SYSTEM_NAMESPACE = "voicefleet-system"

CLIENT_ID_PATTERN = r"^vc-[a-z0-9]{10}$"
FLEET_ID_PATTERN = r"^vf-[a-z0-9]{8}$"
KEY_PATTERN = r"^[a-z][A-Za-z0-9]{0,31}$"
E164_PATTERN = r"^\+[1-9][0-9]{6,14}$"
EXTENSION = ";ext="
"""What comes between a number and its extension (RFC 3966, section 3)."""
PHONE_PATTERN = rf"{E164_PATTERN[:-1]}({EXTENSION}[0-9]{{1,8}})?$"
DNS_LABEL_PATTERN = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
DNS_ZONE_PATTERN = r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)*[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.?$"
TIME_ZONE_PATTERN = r"^(UTC|GMT|[A-Z][A-Za-z_-]*(/[A-Za-z0-9_+-]+){1,2})$"
"""Area/City; whether the place exists is the controller's to check (CEL has no such list)."""


OWN_VOICE = "voicefleet-own-voice"
"""What the agent's configuration calls the Secret that its own voice speaks with."""


CA_FILE = "ca.pem"
"""File in the pod's secrets with certificates of the fleet's own (PEM)."""


def provider_secret(name: str) -> str:
    """File in the pod's secrets that holds the `apiKey` of a client's Secret of that name."""
    return f"PROVIDER_{name}"
