"""One operator at a time: a Lease that we hold ourselves around everything else.

kopf's own peering freezes everybody at equal priority. The rules are client-go's: a lease has run
out when its holder was not seen to renew it for as long as it lasts, by the observer's own clock,
so that clocks need not agree (https://kubernetes.io/docs/concepts/architecture/leases/). The
holder counts from before it asked, so it gives up before anybody else takes over.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from voicefleet_api.names import SYSTEM_NAMESPACE
from voicefleet_operator import metrics
from voicefleet_operator.kube import LEASES, Conflict, Kube, KubeError, NotFound, Object

logger = logging.getLogger(__name__)

NAME = "voicefleet-operator"


class Leadership:
    """The right to act; `seconds` without a renewal end it.

    A successor under the same `identity` takes over at once: whoever sets one vouches that its
    predecessor is dead (a supervisor, the kubelet).
    """

    def __init__(self, kube: Kube, *, seconds: int, identity: str | None) -> None:
        self._kube = kube
        self._seconds = seconds
        self._identity = identity or f"{socket.gethostname()}_{uuid.uuid4()}"
        self._version = ""
        self._until = 0.0
        self.seen = False
        """The lease was read once."""

    @property
    def held(self) -> bool:
        """Whether we may act now."""
        return time.monotonic() < self._until

    async def acquire(self) -> None:
        """Return once the lease is ours."""
        seen, seen_at = "", 0.0
        while not self.held:
            try:
                lease = await self._read()
                self.seen = True
                version, spec = lease["metadata"]["resourceVersion"], lease["spec"]
                if version != seen:
                    seen, seen_at = version, time.monotonic()
                holder = spec.get("holderIdentity")
                lasts = spec.get("leaseDurationSeconds", self._seconds)
                if holder in (None, "", self._identity) or time.monotonic() - seen_at > lasts:
                    await self._write(version, self._taken(spec))
                    break
                logger.info("waiting for the lease of %s", holder, extra={"action": "Wait"})
            except Conflict:
                logger.info("another operator was quicker", extra={"action": "Wait"})
            except KubeError as error:
                logger.warning("the lease cannot be read: %s", error)
            await asyncio.sleep(self._seconds / 5)
        metrics.LEADER.set(1)
        logger.info("leading as %s", self._identity, extra={"action": "Lead"})

    async def keep(self) -> None:
        """Renew; returns when the lease is lost."""
        while self.held:
            await asyncio.sleep(self._seconds / 5)
            try:
                await self._write(self._version, {"renewTime": _now()})
            except (Conflict, NotFound):
                break
            except KubeError as error:
                logger.warning("the lease cannot be renewed: %s", error)
        self._until = 0.0
        metrics.LEADER.set(0)

    async def release(self) -> None:
        """Let another operator take over at once."""
        if self.held:
            self._until = 0.0
            try:
                await self._write(self._version, {"holderIdentity": ""}, hold=False)
            except KubeError as error:
                logger.warning("the lease cannot be released: %s", error)

    async def _read(self) -> Object:
        try:
            return await self._kube.get(LEASES, NAME, SYSTEM_NAMESPACE)
        except NotFound:
            body = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": NAME, "namespace": SYSTEM_NAMESPACE},
                "spec": {},
            }
            return await self._kube.create(LEASES, body, SYSTEM_NAMESPACE)

    def _taken(self, spec: dict[str, Any]) -> dict[str, Any]:
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._seconds,
            "acquireTime": _now(),
            "renewTime": _now(),
            "leaseTransitions": spec.get("leaseTransitions", 0) + 1,
        }

    async def _write(self, version: str, spec: dict[str, Any], *, hold: bool = True) -> None:
        asked = time.monotonic()
        body = {"metadata": {"resourceVersion": version}, "spec": spec}
        written = await self._kube.patch(LEASES, NAME, body, SYSTEM_NAMESPACE)
        self._version = written["metadata"]["resourceVersion"]
        if hold:
            self._until = asked + self._seconds


def _now() -> str:
    """As metav1.MicroTime."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
