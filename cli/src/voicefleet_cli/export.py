"""`voicefleet export`: everything that is live, as manifests for a GitOps repository.

They carry the identities (annotations `voicefleet.dev/fleet-id` and `client-id`) by which things at
the vendors are recognised: applied to a fresh cluster they take up what is there, and buy nothing.
Secrets are not among them. Numbers that a client holds follow from the client; those that nobody
holds are exported by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from voicefleet_api.names import ANNOTATION_CLIENT_ID, ANNOTATION_FLEET_ID, API_VERSION
from voicefleet_operator.kube import (
    FLEETS,
    PHONENUMBERS,
    RECEPTIONISTS,
    VOICECLIENTS,
    Kube,
    Object,
)

_KINDS = {
    "Fleet": FLEETS,
    "Receptionist": RECEPTIONISTS,
    "PhoneNumber": PHONENUMBERS,
    "VoiceClient": VOICECLIENTS,
}
_IDENTITIES = {
    "Fleet": (ANNOTATION_FLEET_ID, "fleetID"),
    "VoiceClient": (ANNOTATION_CLIENT_ID, "clientID"),
}
_NOT_OURS = ("kubectl.kubernetes.io/last-applied-configuration",)


async def export(kube: Kube) -> list[Object]:
    """All manifests, in the order in which they can be applied."""
    return [
        manifest(kind, obj)
        for kind, resource in _KINDS.items()
        for obj in await kube.list(resource)
        if "deletionTimestamp" not in obj["metadata"] and not _is_held(kind, obj)
    ]


def _is_held(kind: str, obj: Object) -> bool:
    return kind == "PhoneNumber" and obj["spec"].get("claimRef") is not None


def manifest(kind: str, obj: Object) -> Object:
    """The object as a person would have written it, with its identity."""
    meta = obj["metadata"]
    annotations = {k: v for k, v in (meta.get("annotations") or {}).items() if k not in _NOT_OURS}
    if kind in _IDENTITIES:
        annotation, field = _IDENTITIES[kind]
        identity = (obj.get("status") or {}).get(field)
        annotations |= {annotation: identity} if identity else {}
    kept: dict[str, Any] = {"name": meta["name"]}
    if "namespace" in meta:
        kept["namespace"] = meta["namespace"]
    kept |= {key: value for key, value in (("labels", meta.get("labels")),
                                           ("annotations", annotations)) if value}  # fmt: skip
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": kept, "spec": obj["spec"]}


def as_yaml(manifests: Iterable[Object]) -> str:
    """One stream of documents."""
    return yaml.safe_dump_all(manifests, sort_keys=False)


def write(manifests: Iterable[Object], folder: Path) -> list[Path]:
    """A file each, `<kind>/[<namespace>/]<name>.yaml` below `folder`; the paths written."""
    written = []
    for made in manifests:
        meta = made["metadata"]
        path = folder / made["kind"].lower() / meta.get("namespace", "") / f"{meta['name']}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(made, sort_keys=False))
        written.append(path)
    return written
