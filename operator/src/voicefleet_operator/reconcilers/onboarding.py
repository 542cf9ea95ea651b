"""A client's onboarding: complete by its deadline, or taken back to nothing (seed, property 7).

Its phase is kept in status. `RollingBack` is written before the first thing is undone, so that a
crash half-way, or a vendor that recovers meanwhile, does not turn it round: what is half undone is
undone. An edit, or a new reconcile-at annotation, starts afresh.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

from voicefleet_api.meta import ConditionType, TimelineEntry
from voicefleet_api.names import ANNOTATION_RECONCILE_AT
from voicefleet_api.voiceclient import OnboardingStatus, VoiceClientSpec, VoiceClientStatus
from voicefleet_operator.execution.status import now
from voicefleet_operator.kube import Object
from voicefleet_operator.planning.health import Finding, Trouble

_LATE = Trouble(ConditionType.READY, "Progressing", "Not everything was there yet")


def milestone(status: VoiceClientStatus, name: str) -> bool:
    """Note when something first happened, and how long it took; whether this was the first time."""
    if any(entry.milestone == name for entry in status.timeline):
        return False
    at = now()
    begun = status.timeline[0].at if status.timeline else at
    after = datetime.fromisoformat(at) - datetime.fromisoformat(begun)
    status.timeline.append(
        TimelineEntry(milestone=name, at=at, after_seconds=int(after.total_seconds()))
    )
    return True


def reached(status: VoiceClientStatus, name: str) -> bool:
    """Whether a milestone has been reached."""
    return any(entry.milestone == name for entry in status.timeline)


class Onboarding:
    """The onboarding of one client in one reconciliation; changes its status, and nothing else."""

    def __init__(self, spec: VoiceClientSpec, status: VoiceClientStatus, meta: Object) -> None:
        self._wanted = spec.onboarding
        self._spec = spec
        self._status = status
        self._meta = meta

    @property
    def undoing(self) -> bool:
        """Whether the client is being, or has been, taken back to nothing."""
        onboarding = self._status.onboarding
        return onboarding is not None and onboarding.phase in ("RollingBack", "RolledBack")

    def enter(self) -> None:
        """Begin, or begin afresh after an edit; a client that was Ready once is complete."""
        onboarding = self._status.onboarding
        if onboarding is not None and self.undoing:
            if onboarding.phase == "RollingBack" or not (self._edited() or self._asked()):
                return
            self._status.timeline = []
            milestone(self._status, "Accepted")
            onboarding = None
        if self._wanted is None:
            self._status.onboarding = None
        elif onboarding is None and reached(self._status, "Ready"):
            self._begin("Complete")
        elif onboarding is None or (
            onboarding.phase != "Complete" and (self._edited() or self._has_paid())
        ):
            self._start()

    def _edited(self) -> bool:
        onboarding = self._status.onboarding
        return onboarding is not None and onboarding.generation != self._meta["generation"]

    def _asked(self) -> bool:
        asked = (self._meta.get("annotations") or {}).get(ANNOTATION_RECONCILE_AT)
        return asked is not None and asked != self._status.last_handled_reconcile_at

    def _has_paid(self) -> bool:
        onboarding = self._status.onboarding
        waited = onboarding is not None and onboarding.phase == "AwaitingPayment"
        return waited and reached(self._status, "Activated")

    def _start(self) -> None:
        """The clock runs, unless it is the client's turn to pay."""
        billing = self._spec.billing
        waits = billing.mode == "Managed" and billing.activation == "OnPayment"
        if waits and not reached(self._status, "Activated"):
            self._begin("AwaitingPayment")
        else:
            self._begin("InProgress")

    def _begin(self, phase: Literal["AwaitingPayment", "InProgress", "Complete"]) -> None:
        onboarding = OnboardingStatus(phase=phase, generation=self._meta["generation"])
        if phase == "InProgress" and self._wanted is not None:
            deadline = datetime.now(UTC) + timedelta(seconds=self._wanted.deadline_seconds)
            onboarding.deadline = deadline.strftime("%Y-%m-%dT%H:%M:%SZ")
        self._status.onboarding = onboarding

    def next_look(self, otherwise: float | None) -> float | None:
        """Seconds until the client must be looked at again; not later than `otherwise`."""
        onboarding = self._status.onboarding
        if onboarding is None or onboarding.phase != "InProgress":
            return otherwise
        left = self._left(onboarding)
        return left if otherwise is None else min(left, otherwise)

    def _left(self, onboarding: OnboardingStatus) -> float:
        deadline = datetime.fromisoformat(onboarding.deadline or "9999-12-31T00:00:00Z")
        return max(0.0, (deadline - datetime.now(UTC)).total_seconds())

    def judge(self, *, complete: bool, trouble: Trouble | None) -> bool:
        """After a pass: complete, or late; whether a rollback begins.

        `trouble` is what stood in the way.
        """
        onboarding = self._status.onboarding
        if onboarding is None or self._wanted is None or "deletionTimestamp" in self._meta:
            return False
        if complete and onboarding.phase in ("AwaitingPayment", "InProgress", "Late"):
            onboarding.phase = "Complete"
        elif onboarding.phase == "InProgress" and self._left(onboarding) == 0:
            why = trouble or _LATE
            rolls_back = self._wanted.on_failure == "Rollback"
            onboarding.phase = "RollingBack" if rolls_back else "Late"
            onboarding.reason, onboarding.message = why.reason, why.message[:4000]
            milestone(self._status, onboarding.phase)
            return rolls_back
        return False

    def finish_rollback(self) -> None:
        """Nothing is left."""
        if self._status.onboarding is not None:
            self._status.onboarding.phase = "RolledBack"
            milestone(self._status, "RolledBack")

    def findings(self, failures: list[Trouble]) -> list[Finding]:
        """Conditions of a client that is being taken back, or has been."""
        onboarding = self._status.onboarding
        if onboarding is None:
            raise ValueError("nothing is taken back")
        why = f"Not complete in time ({onboarding.reason}: {onboarding.message})"
        if onboarding.phase == "RolledBack":
            kind, what = (
                ConditionType.STALLED,
                (
                    "everything was given back; to try again, edit the spec or set the annotation"
                    f" {ANNOTATION_RECONCILE_AT}"
                ),
            )
        elif failures:
            kind, what = ConditionType.RECONCILING, f"giving back: {failures[0].message}"
        else:
            kind, what = ConditionType.RECONCILING, "everything is being given back"
        message = f"{why}; {what}"
        return [
            Finding(ConditionType.READY, False, onboarding.phase, message),
            Finding(kind, True, onboarding.phase, message),
            Finding(ConditionType.ANSWERING, False, onboarding.phase, "The client is taken back"),
        ]
