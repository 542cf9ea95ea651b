"""The driver against a cluster in memory: killed after every write, and what it makes of what it
sees. The real API server is in tests/integration/runtime."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from support.manifests import merged
from voicefleet_operator.drivers.errors import (
    Ambiguous,
    Gone,
    Rejected,
    Throttled,
    Unauthorized,
    Unavailable,
    VendorError,
)
from voicefleet_operator.drivers.runtime import kubernetes, kubernetes_objects
from voicefleet_operator.drivers.runtime.base import LABEL_SPEC
from voicefleet_operator.drivers.runtime.kubernetes import KubernetesRuntime
from voicefleet_operator.kube import (
    Conflict,
    KubeError,
    KubeUnavailable,
    NotFound,
    NotLeader,
    Object,
    Resource,
)
from voicefleet_operator.planning.desired import config_hash
from voicefleet_operator.planning.observed import AgentUnit, Mark, Slot, UnitSpec

pytestmark = pytest.mark.unit

CLIENT = "vc-0000000001"
SPEC = UnitSpec(
    client_id=CLIENT,
    mark=Mark("vf-00000001", CLIENT, "agency", "bright-smile"),
    config_json=json.dumps({"agentName": f"voicefleet-{CLIENT}", "livekitURL": "ws://x"}),
    memory_mib=512,
    secrets={"LIVEKIT_API_SECRET": "quiet"},
)
GREEN = replace(SPEC, slot=Slot.GREEN)


class Killed(Exception):
    """The operator has died."""


class Cluster:
    """As much of `Kube` as the driver uses, over objects in memory; no controller but one: what is
    in a namespace goes with it, and a Deployment's pods with it."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.writes_left = 1_000
        self.refusal: KubeError | None = None

    def _write(self) -> None:
        if self.writes_left == 0:
            raise Killed
        self.writes_left -= 1
        if self.refusal is not None:
            raise self.refusal

    async def get(self, kind: Resource, name: str, namespace: str | None = None) -> Object:
        found = self.objects.get((kind.plural, namespace or "", name))
        if found is None:
            raise NotFound(404, f"{kind.plural} {name}")
        return copy.deepcopy(found)

    async def list(
        self, kind: Resource, namespace: str | None = None, *, selector: str = ""
    ) -> list[Object]:
        return [
            copy.deepcopy(obj)
            for (plural, home, _), obj in self.objects.items()
            if plural == kind.plural
            and namespace in (None, home)
            and _selects(selector, obj["metadata"].get("labels", {}))
        ]

    async def apply(self, kind: Resource, body: Object, namespace: str | None = None) -> Object:
        self._write()
        return self._put(kind.plural, namespace or "", body)

    async def create(self, kind: Resource, body: Object, namespace: str | None = None) -> Object:
        self._write()
        if (kind.plural, namespace or "", body["metadata"]["name"]) in self.objects:
            raise Conflict(409, "exists")
        return self._put(kind.plural, namespace or "", body)

    async def patch(
        self, kind: Resource, name: str, body: Object, namespace: str | None = None
    ) -> Object:
        self._write()
        await self.get(kind, name, namespace)
        return self._put(kind.plural, namespace or "", merged(body, {"metadata": {"name": name}}))

    async def delete(self, kind: Resource, name: str, namespace: str | None = None) -> None:
        self._write()
        self.objects.pop((kind.plural, namespace or "", name), None)
        for key in [*self.objects]:
            if kind.plural == "namespaces" and key[1] == name:
                del self.objects[key]
            if kind.plural == "deployments" and key[:2] == ("pods", namespace) and key[2] == name:
                del self.objects[key]

    def _put(self, plural: str, namespace: str, body: Object) -> Object:
        if namespace and ("namespaces", "", namespace) not in self.objects:
            raise NotFound(404, f"namespace {namespace}")
        key = plural, namespace, body["metadata"]["name"]
        base = {"metadata": {"namespace": namespace}} if namespace else {}
        if plural == "namespaces":
            base["status"] = {"phase": "Active"}
        made = merged(self.objects.get(key, base), body)
        self.objects[key] = made
        return copy.deepcopy(made)

    # --- what others do -----------------------------------------------------------------------

    def change(self, plural: str, name: str, changes: Object, namespace: str = CLIENT) -> None:
        key = plural, namespace, name
        self.objects[key] = merged(self.objects[key], changes)

    def run_pod(self, slot: Slot = Slot.BLUE, *, ready: bool = True, **status: Any) -> None:
        """The pod of a Deployment, as its controller and a kubelet make it."""
        name = kubernetes_objects.unit_name(slot)
        template = self.objects["deployments", CLIENT, name]["spec"]["template"]
        self.objects["pods", CLIENT, name] = {
            "metadata": template["metadata"] | {"name": name, "namespace": CLIENT, "uid": name},
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": str(ready)}],
            }
            | status,
        }


def _selects(selector: str, labels: dict[str, str]) -> bool:
    for part in re.split(r",(?![^(]*\))", selector) if selector else []:
        key, _, value = part.replace(" in ", "=").partition("=")
        if key not in labels or (value and labels[key] not in value.strip("()").split(",")):
            return False
    return True


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def runtime(cluster: Cluster) -> KubernetesRuntime:
    made: Any = cluster
    return KubernetesRuntime(made, "localhost/agent:1")


async def blue(runtime: KubernetesRuntime) -> AgentUnit:
    return (await runtime.list())[SPEC.unit_id]


# Killed half-way --------------------------------------------------------------------------------

APPLY_WRITES, REMOVE_WRITES, CONFIGURE_WRITES = 9, 4, 3


@pytest.mark.parametrize("writes", range(APPLY_WRITES + 1))
async def test_an_apply_that_dies_is_completed_by_the_next(
    runtime: KubernetesRuntime, cluster: Cluster, writes: int
) -> None:
    await runtime.apply(SPEC)
    whole, cluster.objects = cluster.objects, {}
    cluster.writes_left = writes
    if writes < APPLY_WRITES:
        with pytest.raises(Killed):
            await runtime.apply(SPEC)
        # It is seen, and not taken for whole.
        assert [unit.spec_hash for unit in (await runtime.list()).values()] == [""] * bool(writes)
    cluster.writes_left = 100
    await runtime.apply(SPEC)
    assert cluster.objects == whole
    assert (await blue(runtime)).spec_hash == runtime.spec_hash(SPEC)


@pytest.mark.parametrize("writes", range(REMOVE_WRITES + 1))
async def test_a_removal_that_dies_is_completed_by_the_next(
    runtime: KubernetesRuntime, cluster: Cluster, writes: int
) -> None:
    await runtime.apply(SPEC)
    cluster.run_pod()
    cluster.writes_left = writes
    if writes < REMOVE_WRITES:
        with pytest.raises(Killed):
            await runtime.remove(SPEC.unit_id)
        assert list(await runtime.list()) == [SPEC.unit_id]
    cluster.writes_left = 100
    await runtime.remove(SPEC.unit_id)
    assert cluster.objects == {}
    assert await runtime.list() == {}
    await runtime.remove(SPEC.unit_id)


@pytest.mark.parametrize("writes", range(CONFIGURE_WRITES))
async def test_words_that_did_not_arrive_are_seen(
    runtime: KubernetesRuntime, cluster: Cluster, writes: int
) -> None:
    await runtime.apply(SPEC)
    cluster.run_pod()
    words = json.dumps({"greeting": "Welcome"})
    cluster.writes_left = writes
    with pytest.raises(Killed):
        await runtime.configure(SPEC.unit_id, words)
    # Only the kubelet's nudge is not made up for.
    assert ((await blue(runtime)).config_hash == config_hash(words)) == (writes == 2)
    cluster.writes_left = 100
    await runtime.configure(SPEC.unit_id, words)
    unit = await blue(runtime)
    assert (unit.config_hash, unit.spec_hash) == (config_hash(words), runtime.spec_hash(SPEC))
    data = cluster.objects["configmaps", CLIENT, "agent-blue"]["data"]
    assert data == {"agent.json": words}
    pod = cluster.objects["pods", CLIENT, "agent-blue"]["metadata"]
    assert pod["annotations"][kubernetes_objects.LABEL_CONFIG] == config_hash(words)


@pytest.mark.parametrize("writes", range(REMOVE_WRITES - 1))
async def test_one_of_two_agents_is_seen_until_all_of_it_is_gone(
    runtime: KubernetesRuntime, cluster: Cluster, writes: int
) -> None:
    await runtime.apply(SPEC)
    whole = copy.deepcopy(cluster.objects)
    await runtime.apply(GREEN)
    cluster.writes_left = writes
    with pytest.raises(Killed):
        await runtime.remove(GREEN.unit_id)
    assert GREEN.unit_id in await runtime.list()
    cluster.writes_left = 100
    await runtime.remove(GREEN.unit_id)
    assert cluster.objects == whole


async def test_two_agents_share_a_namespace_and_the_last_one_takes_it_along(
    runtime: KubernetesRuntime, cluster: Cluster
) -> None:
    await runtime.apply(SPEC)
    await runtime.apply(GREEN)
    assert set(await runtime.list()) == {SPEC.unit_id, GREEN.unit_id}
    await runtime.remove(SPEC.unit_id)
    assert set(await runtime.list()) == {GREEN.unit_id}
    assert ("persistentvolumeclaims", CLIENT, "agent") in cluster.objects
    assert ("secrets", CLIENT, "agent-blue") not in cluster.objects
    await runtime.remove(GREEN.unit_id)
    assert cluster.objects == {}


# What is seen -----------------------------------------------------------------------------------


async def test_an_agent_is_registered_once_its_pod_of_this_version_is_ready(
    runtime: KubernetesRuntime, cluster: Cluster
) -> None:
    await runtime.apply(SPEC)
    unit = await blue(runtime)
    assert (unit.running, unit.registered, unit.message) == (False, False, "The agent has no pod.")
    cluster.run_pod(ready=False)
    unit = await blue(runtime)
    assert (unit.running, unit.registered) == (True, False)
    cluster.run_pod()
    unit = await blue(runtime)
    assert (unit.running, unit.registered, unit.message) == (True, True, "")
    # A new version: the pod that is still there is not it.
    await runtime.apply(replace(SPEC, memory_mib=600))
    assert not (await blue(runtime)).registered


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (
            {
                "containerStatuses": [
                    {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no agent:2"}}}
                ]
            },
            "ImagePullBackOff no agent:2",
        ),
        (
            {
                "conditions": [
                    {"type": "PodScheduled", "status": "False", "message": "0/3 nodes available"}
                ]
            },
            "0/3 nodes available",
        ),
    ],
)
async def test_why_an_agent_does_not_start_is_said_in_the_clusters_words(
    runtime: KubernetesRuntime, cluster: Cluster, status: Object, words: str
) -> None:
    await runtime.apply(SPEC)
    cluster.run_pod(phase="Pending", **status)
    unit = await blue(runtime)
    assert words in unit.message
    assert not unit.running


@pytest.mark.parametrize(
    ("plural", "name", "changes"),
    [
        ("deployments", "agent-blue", {"spec": {"replicas": 0}}),
        ("networkpolicies", "agent", {"spec": {"egress": [{}]}}),
    ],
)
async def test_what_somebody_changes_is_put_back(
    runtime: KubernetesRuntime, cluster: Cluster, plural: str, name: str, changes: Object
) -> None:
    await runtime.apply(SPEC)
    before = copy.deepcopy(cluster.objects)
    cluster.change(plural, name, changes)
    assert (await blue(runtime)).spec_hash == ""
    await runtime.apply(SPEC)
    assert cluster.objects == before


async def test_a_namespace_that_is_opened_is_closed_again(
    runtime: KubernetesRuntime, cluster: Cluster
) -> None:
    await runtime.apply(SPEC)
    key = "pod-security.kubernetes.io/enforce"
    cluster.change("namespaces", CLIENT, {"metadata": {"labels": {key: "privileged"}}}, "")
    assert (await blue(runtime)).spec_hash == ""
    await runtime.apply(SPEC)
    assert (await blue(runtime)).spec_hash != ""


async def test_labels_elsewhere_and_policies_beside_ours_count_for_nothing(
    runtime: KubernetesRuntime, cluster: Cluster
) -> None:
    await runtime.apply(SPEC)
    cluster.run_pod()
    cluster.objects["namespaces", "", "shop"] = {
        "metadata": {"name": "shop", "labels": {"voicefleet.dev/client-id": "vc-0000000002"}},
        "status": {"phase": "Active"},
    }
    for plural in ("deployments", "pods"):
        strange = copy.deepcopy(cluster.objects[plural, CLIENT, "agent-blue"])
        strange["metadata"]["namespace"] = "shop"
        strange["metadata"]["labels"][LABEL_SPEC] = "theirs"
        cluster.objects[plural, "shop", "agent-blue"] = strange
    assert set(await runtime.list()) == {SPEC.unit_id}
    unit = await blue(runtime)
    assert (unit.spec_hash, unit.registered) == (runtime.spec_hash(SPEC), True)
    ours = cluster.objects.pop(("networkpolicies", CLIENT, "agent"))
    cluster.objects["networkpolicies", CLIENT, "other"] = merged(
        ours, {"metadata": {"name": "other"}}
    )
    assert (await blue(runtime)).spec_hash == ""


@pytest.mark.parametrize(("seconds", "stuck"), [(10, False), (1000, True)])
async def test_an_agent_without_a_pod_for_long_is_made_again(
    runtime: KubernetesRuntime, cluster: Cluster, seconds: int, stuck: bool
) -> None:
    """Its Secret may be gone, which nobody may look at. LiveKit's absence is no reason."""
    await runtime.apply(SPEC)
    since = (datetime.now(UTC) - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    waits = {"type": "Available", "status": "False", "lastTransitionTime": since}
    cluster.change("deployments", "agent-blue", {"status": {"conditions": [waits]}})
    assert ((await blue(runtime)).spec_hash == "") == stuck
    cluster.run_pod(ready=False)
    assert (await blue(runtime)).spec_hash != ""


# What is refused --------------------------------------------------------------------------------


async def test_a_namespace_of_somebody_elses_is_left_alone(
    runtime: KubernetesRuntime, cluster: Cluster
) -> None:
    theirs = {"metadata": {"name": CLIENT, "labels": {}}, "status": {"phase": "Active"}}
    cluster.objects["namespaces", "", CLIENT] = theirs
    with pytest.raises(Rejected, match="NamespaceTaken"):
        await runtime.apply(SPEC)
    assert cluster.objects == {("namespaces", "", CLIENT): theirs}


async def test_a_namespace_on_its_way_out_is_waited_for(
    runtime: KubernetesRuntime, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await runtime.apply(SPEC)
    cluster.change("namespaces", CLIENT, {"status": {"phase": "Terminating"}}, "")
    assert (await blue(runtime)).spec_hash == ""
    with pytest.raises(Unavailable, match="NamespaceTerminating"):
        await runtime.apply(SPEC)
    # As when a finalizer holds it up.
    monkeypatch.setattr(kubernetes, "GONE_SECONDS", 0.01)
    cluster.run_pod()
    pod = cluster.objects["pods", CLIENT, "agent-blue"]
    cluster.objects["pods", CLIENT, "stays"] = pod
    with pytest.raises(Ambiguous, match="StillThere"):
        await runtime.remove(SPEC.unit_id)
    assert ("namespaces", "", CLIENT) in cluster.objects


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (KubeError(403, "forbidden"), Unauthorized),
        (KubeError(422, "invalid"), Rejected),
        (KubeError(429, "too many"), Throttled),
        (KubeUnavailable(0, "no answer"), Ambiguous),
        (Conflict(409, "changed"), Ambiguous),
        (NotFound(404, "gone"), Gone),
    ],
)
async def test_the_api_servers_answers_are_the_drivers_errors(
    runtime: KubernetesRuntime, cluster: Cluster, refusal: KubeError, error: type[VendorError]
) -> None:
    cluster.refusal = refusal
    with pytest.raises(VendorError) as raised:
        await runtime.apply(SPEC)
    assert type(raised.value) is error


async def test_a_lost_lease_stays_what_it_is(runtime: KubernetesRuntime, cluster: Cluster) -> None:
    cluster.refusal = NotLeader()
    with pytest.raises(NotLeader):
        await runtime.apply(SPEC)


async def test_words_for_an_agent_that_is_not_there_are_refused(
    runtime: KubernetesRuntime,
) -> None:
    with pytest.raises(Gone):
        await runtime.configure(SPEC.unit_id, "{}")
