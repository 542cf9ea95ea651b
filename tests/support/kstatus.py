"""How Flux, kpt and others tell from its status whether an object is done.

The rules of `Compute` in sigs.k8s.io/cli-utils, pkg/kstatus/status, for kinds unknown to it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """What kstatus says of an object that exists."""

    IN_PROGRESS = "InProgress"
    CURRENT = "Current"
    FAILED = "Failed"
    TERMINATING = "Terminating"


def kstatus(obj: dict[str, Any]) -> Status:
    """Deletion first, then the generation, the two conditions of its own, and at last Ready."""
    meta, status = obj["metadata"], obj.get("status") or {}
    if meta.get("deletionTimestamp"):
        return Status.TERMINATING
    if status.get("observedGeneration", meta["generation"]) != meta["generation"]:
        return Status.IN_PROGRESS
    conditions = status.get("conditions", [])
    # The first that stands decides.
    for condition in conditions:
        if condition["status"] == "True" and condition["type"] == "Reconciling":
            return Status.IN_PROGRESS
        if condition["status"] == "True" and condition["type"] == "Stalled":
            return Status.FAILED
    for condition in conditions:
        if condition["type"] == "Ready":
            return Status.CURRENT if condition["status"] == "True" else Status.IN_PROGRESS
    return Status.CURRENT
