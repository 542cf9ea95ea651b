"""Kubernetes events, in plain words, on what a person would want to hear of."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from voicefleet_api.names import API_VERSION, FIELD_MANAGER
from voicefleet_operator.kube import EVENTS, Kube, KubeError, Object

logger = logging.getLogger(__name__)


async def emit(
    kube: Kube, obj: Object, reason: str, message: str, *, warning: bool = False
) -> None:
    """Write an event about an object; an event that cannot be written is only logged."""
    meta = obj["metadata"]
    namespace = meta.get("namespace") or "default"
    time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    body: Object = {
        "metadata": {"generateName": f"{meta['name']}.", "namespace": namespace},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": obj["kind"],
            "name": meta["name"],
            "namespace": meta.get("namespace"),
            "uid": meta["uid"],
        },
        "reason": reason,
        "message": message[:1000],
        "type": "Warning" if warning else "Normal",
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    }
    try:
        await kube.create(EVENTS, body, namespace)
    except KubeError as error:
        logger.warning("event %s was not written: %s", reason, error)
