"""The one writer of an object's status, and the journal that is kept in it.

Every write replaces the whole status under the resourceVersion that was read: a conflict means
that somebody else has acted (an edit, or an old leader), and aborts the reconciliation. This is
what fences the calls that spend money: the journal is written before them (design, "The journal").
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Generic, Protocol, TypeVar

from voicefleet_api.meta import Condition, Operation
from voicefleet_api.names import FINALIZER
from voicefleet_operator.drivers.errors import Ambiguous, Rejected
from voicefleet_operator.drivers.transport import TIMEOUT
from voicefleet_operator.kube import Conflict, Kube, Object, Resource
from voicefleet_operator.planning.health import Finding
from voicefleet_operator.store import Store, key_of

SETTLE = 15.0
"""Seconds after which a request whose sender gave up, lost the lease or died has arrived, or never
will. Until then nothing is forgotten of an object that it may have been made for."""


def settled(operation: Operation, longest: float = TIMEOUT) -> bool:
    """Whether what was asked for, by requests of so many seconds, has arrived or never will."""
    age = datetime.now(UTC) - datetime.fromisoformat(operation.started_at)
    return age.total_seconds() > SETTLE - TIMEOUT + longest


class HasStatus(Protocol):
    """What the statuses of our kinds have in common."""

    observed_generation: int
    operations: list[Operation]
    conditions: list[Condition]

    def to_json(self) -> dict[str, object]:
        """The wire form."""


S = TypeVar("S", bound=HasStatus)
T = TypeVar("T")


def now() -> str:
    """The time as Kubernetes writes it (RFC 3339, whole seconds, UTC)."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class StatusWriter(Generic[S]):
    """Holds one object's status during one reconciliation and writes it when it differs."""

    def __init__(
        self, kube: Kube, store: Store, resource: Resource, obj: Object, status: S
    ) -> None:
        self._kube = kube
        self._store = store
        self._resource = resource
        self._lock = asyncio.Lock()
        self.obj = obj
        self.status = status

    async def save(self) -> bool:
        """Write the status if it differs from what is there; raises `Conflict`."""
        async with self._lock:
            wanted = self.status.to_json()
            if wanted == self.obj.get("status"):
                return False
            meta = self.obj["metadata"]
            written = await self._kube.replace_status(
                self._resource, {**self.obj, "status": wanted}, meta.get("namespace")
            )
            self._take(written)
            return True

    async def patch_metadata(self, changes: Object) -> None:
        """Merge-patch metadata under the resourceVersion; raises `Conflict`."""
        async with self._lock:
            meta = self.obj["metadata"]
            body = {"metadata": {**changes, "resourceVersion": meta["resourceVersion"]}}
            self._take(
                await self._kube.patch(self._resource, meta["name"], body, meta.get("namespace"))
            )

    async def confirm(self) -> None:
        """Raise `Conflict` unless our copy is the newest."""
        async with self._lock:
            meta = self.obj["metadata"]
            newest = await self._kube.get(self._resource, meta["name"], meta.get("namespace"))
            if newest["metadata"]["resourceVersion"] != meta["resourceVersion"]:
                raise Conflict(409, "the object has been modified")

    async def let_go(self) -> None:
        """Take our finalizer away and forget the object; raises `Conflict`.

        The watch may have told of its end before this returns: a copy that is put back then would
        stay for ever.
        """
        kept = [f for f in self.obj["metadata"].get("finalizers", []) if f != FINALIZER]
        await self.patch_metadata({"finalizers": kept})
        if not kept:
            self._store.remove(key_of(self.obj))

    def _take(self, written: Object) -> None:
        self.obj = {**written, "kind": self.obj["kind"]}
        self._store.put(self.obj)

    def set_conditions(self, findings: Iterable[Finding]) -> None:
        """Replace the conditions: they are now those of the newest generation."""
        self.status.conditions = [self._condition(finding) for finding in findings]
        self.status.observed_generation = self._generation

    def add_condition(self, finding: Finding) -> None:
        """Set one condition and leave the others, and the generation they speak of."""
        others = [c for c in self.status.conditions if c.type != finding.type]
        self.status.conditions = [*others, self._condition(finding)]

    @property
    def _generation(self) -> int:
        generation: int = self.obj["metadata"].get("generation", 0)
        return generation

    def _condition(self, finding: Finding) -> Condition:
        """The transition time moves only when the status does."""
        status = "True" if finding.status else "False"
        before = next((c for c in self.status.conditions if c.type == finding.type), None)
        return Condition(
            type=finding.type,
            status=status,
            reason=finding.reason,
            message=finding.message[:4000],
            last_transition_time=before.last_transition_time
            if before and before.status == status
            else now(),
            observed_generation=self._generation,
        )


class Journal:
    """Operations in an object's status: written before the call, retired on a definite answer."""

    def __init__(self, writer: StatusWriter[S]) -> None:
        self._writer: StatusWriter[S] = writer

    def open(self, action: str) -> Operation | None:
        """The operation of that action whose outcome is unknown, if there is one."""
        return next((op for op in self._writer.status.operations if op.action == action), None)

    async def reopen(self, action: str) -> Operation | None:
        """The same, to repeat it; raises `Conflict` where our copy of the journal is an old one."""
        operation = self.open(action)
        if operation is not None:
            await self._writer.confirm()
        return operation

    async def begin(self, action: str, target: str, request: dict[str, str]) -> Operation:
        """Record the intent; raises `Conflict`, and then nothing may be sent."""
        operation = Operation(
            id=f"op-{secrets.token_hex(12)}",
            action=action,
            target=target,
            request=request,
            started_at=now(),
        )
        self._writer.status.operations.append(operation)
        try:
            await self._writer.save()
        except BaseException:
            self._writer.status.operations.remove(operation)
            raise
        return operation

    def retire(self, operation: Operation) -> None:
        """The outcome is known; the next write of the status drops the operation."""
        if operation in self._writer.status.operations:
            self._writer.status.operations.remove(operation)

    async def once(
        self,
        action: str,
        target: str,
        request: dict[str, str],
        *,
        find: Callable[[Operation], Awaitable[T | None]],
        do: Callable[[Operation], Awaitable[T]],
    ) -> T:
        """Do something that must not be done twice.

        An operation whose outcome is unknown is first looked for (`find`), then repeated exactly
        as it was frozen (`do` reads `operation.request`, never the newest spec).
        """
        operation = await self.reopen(action)
        if operation is None:
            operation = await self.begin(action, target, request)
        else:
            found = await find(operation)
            if found is not None:
                self.retire(operation)
                return found
        try:
            result = await do(operation)
        except Rejected:
            self.retire(operation)
            raise
        except Ambiguous as error:
            # A stored failure would be replayed for ever under this key; `find` of the next
            # reconciliation has then shown that nothing was made.
            if error.replayed:
                self.retire(operation)
            raise
        self.retire(operation)
        return result
