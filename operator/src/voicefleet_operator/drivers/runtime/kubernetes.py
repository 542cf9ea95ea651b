"""Each client a namespace of its own, in the cluster that the operator watches.

`kubernetes_objects` says what is in there. It is written by server-side apply, so that what others
add to it stays; the Deployment comes last, and is an agent's record: its labels say which version
and which configuration it is, and by a seal, whether somebody has changed it since. Nothing that
holds a client's words or keys is ever read: of Secrets and ConfigMaps the operator needs no right
to, so it has none. A kubelet asks each agent whether it is registered, and says so in the pod's
condition `Ready`, which is watched; the agents' own pages are asked for their calls only where a
client has two agents.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from voicefleet_api.names import LABEL_CLIENT_ID
from voicefleet_operator.drivers.errors import (
    Ambiguous,
    Gone,
    Rejected,
    Throttled,
    Unauthorized,
    Unavailable,
)
from voicefleet_operator.drivers.runtime import kubernetes_objects as objects
from voicefleet_operator.drivers.runtime.base import HEALTH_PORT, LABEL_SLOT, LABEL_SPEC, hash_spec
from voicefleet_operator.drivers.runtime.probing import Prober, Target
from voicefleet_operator.kube import (
    CONFIGMAPS,
    DEPLOYMENTS,
    NAMESPACES,
    NETWORKPOLICIES,
    PODS,
    SECRETS,
    SERVICEACCOUNTS,
    VOLUMECLAIMS,
    Conflict,
    Kube,
    KubeError,
    KubeUnavailable,
    NotFound,
    NotLeader,
    Object,
    Objects,
    Resource,
)
from voicefleet_operator.planning.desired import config_hash
from voicefleet_operator.planning.observed import (
    AgentHealth,
    AgentUnit,
    Slot,
    UnitSpec,
    agent_name,
    client_of,
    unit_id,
)

logger = logging.getLogger(__name__)

RECIPE = "kubernetes/2"
"""Raise it when the objects are made otherwise: running agents are then replaced."""
POLL = 0.5
"""Seconds between two looks at what is to be gone."""
GONE_SECONDS = objects.STOP_SECONDS + 60.0
STUCK_SECONDS = 120.0
"""An agent without a pod for so long is applied again: what the pod waits for (its Secret, its
volume) may be missing."""
WATCH_REST = 1.0


@dataclass
class _Parts:
    """What there is of an agent."""

    deployment: Object | None = None
    pods: list[Object] = field(default_factory=list)

    @property
    def pod(self) -> Object | None:
        """The pod of the Deployment's present version, unless it is on its way out."""
        wanted = _labels(self.deployment).get(LABEL_SPEC) if self.deployment else None
        for pod in self.pods:
            meta = pod["metadata"]
            version = (meta.get("annotations") or {}).get(LABEL_SPEC)
            if wanted and version == wanted and "deletionTimestamp" not in meta:
                return pod
        return None


class KubernetesRuntime:
    """A `RuntimeDriver`. One operation a client at a time; clients side by side."""

    def __init__(self, kube: Kube, image: str) -> None:
        self._kube = kube
        self._image = image
        self._locks: dict[str, asyncio.Lock] = {}
        self._prober = Prober()

    async def list(self) -> dict[str, AgentUnit]:
        """One listing of each of four kinds."""
        listed = (
            (NAMESPACES, LABEL_CLIENT_ID),
            (NETWORKPOLICIES, LABEL_CLIENT_ID),
            (DEPLOYMENTS, objects.UNITS),
            (PODS, objects.UNITS),
        )
        with _as_driver_errors():
            namespaces, policies, deployments, pods = await asyncio.gather(
                *(self._kube.list(kind, selector=labels) for kind, labels in listed)
            )
        guarded = {
            _home(policy)
            for policy in policies
            if policy["metadata"]["name"] == objects.SHARED and objects.is_sealed(policy)
        }
        homes = {
            namespace["metadata"]["name"]: _is_whole(namespace)
            and namespace["metadata"]["name"] in guarded
            for namespace in namespaces
            if _labels(namespace)[LABEL_CLIENT_ID] == namespace["metadata"]["name"]
        }
        found: dict[str, _Parts] = {}
        for deployment in deployments:
            if _home(deployment) in homes:
                found.setdefault(_unit(deployment), _Parts()).deployment = deployment
        for pod in pods:
            if _home(pod) in homes:
                found.setdefault(_unit(pod), _Parts()).pods.append(pod)
        # Made first and removed last: where a namespace stands alone, something was cut short.
        for client_id in homes:
            if not any(unit_id(client_id, slot) in found for slot in Slot):
                found[unit_id(client_id, Slot.BLUE)] = _Parts()
        calls = await self._calls(found)
        return {
            unit: _agent_unit(unit, parts, homes[client_of(unit)[0]], calls.get(unit))
            for unit, parts in found.items()
        }

    async def apply(self, spec: UnitSpec) -> None:
        async with self._lock(spec.client_id):
            with _as_driver_errors():
                await self._apply(spec)

    async def configure(self, unit: str, config_json: str) -> None:
        client_id, slot = client_of(unit)
        async with self._lock(client_id):
            with _as_driver_errors():
                body = objects.config_map(unit, config_json)
                await self._kube.apply(CONFIGMAPS, body, client_id)
                told = {objects.LABEL_CONFIG: config_hash(config_json)}
                await self._kube.patch(
                    DEPLOYMENTS, objects.unit_name(slot), {"metadata": {"labels": told}}, client_id
                )
                # A kubelet looks at a ConfigMap once a minute, or when the pod changes.
                nudge = {"metadata": {"annotations": told}}
                for pod in await self._pods(client_id, slot):
                    await self._kube.patch(PODS, pod["metadata"]["name"], nudge, client_id)

    async def remove(self, unit: str) -> None:
        client_id, slot = client_of(unit)
        async with self._lock(client_id):
            with _as_driver_errors():
                name = objects.unit_name(slot)
                # What a pod that runs has of them it keeps. The Deployment is the record: last.
                for kind in (SECRETS, CONFIGMAPS, DEPLOYMENTS):
                    await self._kube.delete(kind, name, client_id)
                # Only then the namespace, whose NetworkPolicy would go while calls still end.
                await self._until_gone("its pod", lambda: self._has_pod(client_id, slot))
                if not await self._kube.list(DEPLOYMENTS, client_id, selector=objects.UNITS):
                    await self._kube.delete(NAMESPACES, client_id)
                    await self._until_gone("its namespace", lambda: self._has_namespace(client_id))

    def spec_hash(self, spec: UnitSpec) -> str:
        # A volume that is there stays as it is; what is new and unset changes no agent.
        storage = {"storage_class_name", "storage_mib"}
        config = spec.kubernetes.model_dump(mode="json", exclude=storage, exclude_defaults=True)
        return hash_spec(spec, RECIPE, self._image, json.dumps(config, sort_keys=True))

    def config_hash(self, config_json: str) -> str:
        return config_hash(config_json)

    async def watch(self, callback: Callable[[str], None]) -> None:
        registered: dict[str, str] = {}
        """By the pod's UID, its client."""
        while True:
            seen: set[str] = set()
            try:
                async for event, pod in self._kube.watch(PODS, objects.UNITS):
                    if event == "BOOKMARK":
                        for uid in registered.keys() - seen:
                            callback(registered.pop(uid))
                        continue
                    uid, client_id = pod["metadata"]["uid"], _labels(pod)[LABEL_CLIENT_ID]
                    seen.add(uid)
                    now = event != "DELETED" and _is_ready(pod)
                    if now == (uid in registered):
                        continue
                    if now:
                        registered[uid] = client_id
                    else:
                        del registered[uid]
                    callback(client_id)
            except KubeError as error:
                logger.warning("watching pods: %s", error)
            await asyncio.sleep(WATCH_REST)

    # --- how --------------------------------------------------------------------------------------

    def _lock(self, client_id: str) -> asyncio.Lock:
        return self._locks.setdefault(client_id, asyncio.Lock())

    async def _apply(self, spec: UnitSpec) -> None:
        client_id, config = spec.client_id, spec.kubernetes
        await self._claim(client_id)
        await self._kube.apply(NAMESPACES, objects.namespace(spec.mark))
        # Before anything can run in there.
        policy = objects.network_policy(client_id, config.egress)
        await self._apply_sealed(NETWORKPOLICIES, policy, client_id)
        await self._kube.apply(SERVICEACCOUNTS, objects.service_account(client_id), client_id)
        try:
            # Not applied: most of a claim cannot be changed.
            claim = objects.volume_claim(client_id, config)
            await self._kube.create(VOLUMECLAIMS, claim, client_id)
        except NotLeader:
            raise
        except Conflict:
            logger.debug("client %s has its volume", client_id)
        await self._kube.apply(
            CONFIGMAPS, objects.config_map(spec.unit_id, spec.config_json), client_id
        )
        await self._kube.apply(SECRETS, objects.secret(spec), client_id)
        deployment = objects.deployment(spec, config, self._image, self.spec_hash(spec))
        await self._apply_sealed(DEPLOYMENTS, deployment, client_id)

    async def _claim(self, client_id: str) -> None:
        """Raise where the namespace is somebody else's, or on its way out."""
        try:
            there = await self._kube.get(NAMESPACES, client_id)
        except NotFound:
            return
        if _labels(there).get(LABEL_CLIENT_ID) != client_id:
            raise Rejected(
                "NamespaceTaken",
                f"namespace {client_id} is there, and not ours",
                hint=f"Remove it, or label it {LABEL_CLIENT_ID}={client_id}",
            )
        if there["status"]["phase"] == "Terminating":
            raise Unavailable("NamespaceTerminating", f"namespace {client_id} is being deleted")

    async def _apply_sealed(self, kind: Resource, body: Object, namespace: str) -> None:
        live = await self._kube.apply(kind, body, namespace)
        seal = {objects.LABEL_SEAL: objects.seal(live)}
        if not objects.is_sealed(live):
            name = body["metadata"]["name"]
            await self._kube.patch(kind, name, {"metadata": {"labels": seal}}, namespace)

    async def _calls(self, found: dict[str, _Parts]) -> dict[str, AgentHealth | None]:
        """What the agents of clients that have two say of their calls."""
        targets = {}
        for unit, parts in found.items():
            client_id, slot = client_of(unit)
            address = ((parts.pod or {}).get("status") or {}).get("podIP")
            if address and unit_id(client_id, slot.other) in found:
                host = f"[{address}]" if ":" in address else address
                targets[unit] = Target(HEALTH_PORT, agent_name(client_id, slot), host)
        self._prober.retarget(targets)
        return await self._prober.health()

    async def _pods(self, client_id: str, slot: Slot) -> Objects:
        return await self._kube.list(PODS, client_id, selector=objects.selector(client_id, slot))

    async def _has_pod(self, client_id: str, slot: Slot) -> bool:
        return bool(await self._pods(client_id, slot))

    async def _has_namespace(self, client_id: str) -> bool:
        try:
            await self._kube.get(NAMESPACES, client_id)
        except NotFound:
            return False
        return True

    async def _until_gone(self, what: str, is_there: Callable[[], Awaitable[bool]]) -> None:
        deadline = time.monotonic() + GONE_SECONDS
        while await is_there():
            if time.monotonic() > deadline:
                raise Ambiguous("StillThere", f"{what} is still there after a while")
            await asyncio.sleep(POLL)


def _labels(obj: Object) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


def _home(obj: Object) -> str:
    """Its namespace, where that is its client's too: anybody can write a label."""
    namespace: str = obj["metadata"]["namespace"]
    return namespace if _labels(obj).get(LABEL_CLIENT_ID) == namespace else ""


def _unit(obj: Object) -> str:
    return unit_id(_labels(obj)[LABEL_CLIENT_ID], Slot(_labels(obj)[LABEL_SLOT]))


def _is_whole(namespace: Object) -> bool:
    """Whether the namespace stays, and admits only what it is to admit."""
    active = namespace["status"]["phase"] == "Active"
    return active and objects.POD_SECURITY.items() <= _labels(namespace).items()


def _agent_unit(unit: str, parts: _Parts, home: bool, health: AgentHealth | None) -> AgentUnit:
    deployment, pod = parts.deployment, parts.pod
    running = pod is not None and pod["status"].get("phase") == "Running"
    registered = pod is not None and running and _is_ready(pod)
    whole = home and deployment is not None and objects.is_sealed(deployment)
    if deployment is not None and not running and _is_stuck(deployment):
        whole = False
    labels = _labels(deployment) if deployment is not None else {}
    return AgentUnit(
        client_id=client_of(unit)[0],
        spec_hash=labels.get(LABEL_SPEC, "") if whole else "",
        config_hash=labels.get(objects.LABEL_CONFIG, ""),
        running=running,
        registered=registered,
        message="" if registered else _why_not(deployment, pod, running),
        health=health,
    )


def _is_ready(pod: Object) -> bool:
    staying = "deletionTimestamp" not in pod["metadata"]
    return staying and _condition(pod, "Ready").get("status") == "True"


def _is_stuck(deployment: Object) -> bool:
    available = _condition(deployment, "Available")
    if available.get("status") != "False":
        return False
    since = datetime.fromisoformat(available["lastTransitionTime"])
    return (datetime.now(UTC) - since).total_seconds() > STUCK_SECONDS


def _condition(obj: Object, kind: str) -> Object:
    conditions = (obj.get("status") or {}).get("conditions") or []
    return next((each for each in conditions if each["type"] == kind), {})


def _why_not(deployment: Object | None, pod: Object | None, running: bool) -> str:
    """Why an agent is not registered, in the cluster's own words where it has some."""
    if deployment is None:
        return "The agent has no Deployment"
    if pod is None:
        # Quotas and admission are told here.
        failure = _condition(deployment, "ReplicaFailure").get("message", "")
        return f"The agent has no pod. {failure}".rstrip()
    if running:
        return "The agent is running and not registered with LiveKit"
    for status in pod["status"].get("containerStatuses") or []:
        waiting = status["state"].get("waiting") or status["state"].get("terminated") or {}
        if waiting.get("reason"):
            return f"The agent's pod: {waiting['reason']} {waiting.get('message', '')}".rstrip()
    scheduled = _condition(pod, "PodScheduled").get("message", "")
    return f"The agent's pod is {pod['status'].get('phase', 'Pending')}. {scheduled}".rstrip()


@contextlib.contextmanager
def _as_driver_errors() -> Iterator[None]:
    """The API server's answers as `drivers.errors`; a lost lease stays what it is."""
    try:
        yield
    except NotLeader:
        raise
    except NotFound as error:
        raise Gone("NotFound", str(error)) from error
    except Conflict as error:
        raise Ambiguous("KubernetesConflict", str(error)) from error
    except KubeUnavailable as error:
        raise Ambiguous("KubernetesUnavailable", str(error)) from error
    except KubeError as error:
        if error.status == 429:
            raise Throttled(str(error), retry_after=1.0) from error
        if error.status in (401, 403):
            # Quotas and admission policies are said so, too.
            hint = "The operator's rights come with `kubectl apply -k deploy/`"
            raise Unauthorized("KubernetesForbidden", str(error), hint=hint) from error
        raise Rejected("KubernetesRejected", str(error)) from error
