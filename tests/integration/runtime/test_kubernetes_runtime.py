"""The kubernetes driver on the real API server, with the operator's own rights and policies.

No kubelet and no controller: tests/support/workloads.py stands in for what they would do.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import yaml
from aiohttp import web
from kopf import ConnectionInfo

from support import workloads
from support.controlplane import OPERATOR, ControlPlane, Refused
from voicefleet_api.fleet import KubernetesConfig
from voicefleet_infra.cluster import Cluster
from voicefleet_operator.drivers.errors import Unauthorized, Unavailable
from voicefleet_operator.drivers.runtime import kubernetes
from voicefleet_operator.drivers.runtime.kubernetes import KubernetesRuntime
from voicefleet_operator.kube import PODS, Kube
from voicefleet_operator.planning.observed import Mark, Slot, UnitSpec, agent_name

pytestmark = pytest.mark.integration

EGRESS = [
    {
        "name": "livekit",
        "cidr": "192.0.2.10/32",
        "ports": [{"port": 7880}, {"protocol": "UDP", "port": 50000, "endPort": 60000}],
    },
    {"name": "portal", "namespace": "voicefleet-system", "ports": [{"port": 9443}]},
    {"name": "vendors", "cidr": "0.0.0.0/0", "ports": [{"port": 443}]},
]


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with ControlPlane() as running:
        running.install()
        # Policies are in force a moment after they are there.
        deadline = time.monotonic() + 60
        while "clients'" not in _refusal(running):
            assert time.monotonic() < deadline, "the operator's policy is not in force"
            time.sleep(0.2)
        yield running


def _refusal(plane: ControlPlane) -> str:
    try:
        return plane.kubectl("create", "ns", "shop", "--dry-run=server", user=OPERATOR)
    except Refused as refused:
        return str(refused)


@asynccontextmanager
async def as_operator(plane: ControlPlane) -> AsyncIterator[Kube]:
    """A session under the operator's ServiceAccount."""
    file = Cluster(plane.platform).kubeconfig_of("operator")
    config = yaml.safe_load(file.read_text())
    info = ConnectionInfo(
        server=plane.server,
        ca_data=config["clusters"][0]["cluster"]["certificate-authority-data"],
        token=config["users"][0]["user"]["token"],
    )
    async with Kube(lambda: info) as kube:
        yield kube


@pytest.fixture
async def runtime(plane: ControlPlane) -> AsyncIterator[KubernetesRuntime]:
    async with as_operator(plane) as kube:
        yield KubernetesRuntime(kube, "localhost/voicefleet-agent:1")


@pytest.fixture
def spec() -> UnitSpec:
    client_id = f"vc-{secrets.token_hex(5)}"
    config = {"agentName": agent_name(client_id, Slot.BLUE), "livekitURL": "ws://192.0.2.10:7880"}
    return UnitSpec(
        client_id=client_id,
        mark=Mark("vf-test0000", client_id, "agency", "bright-smile"),
        config_json=json.dumps(config),
        memory_mib=1024,
        secrets={"LIVEKIT_API_KEY": "key", "LIVEKIT_API_SECRET": "quiet"},
        kubernetes=KubernetesConfig.model_validate({"egress": EGRESS}),
    )


async def until(check: Callable[[], Any], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(check):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        await asyncio.sleep(0.2)


async def test_what_is_made_is_admitted_as_restricted_and_reads_back_as_it_was_written(
    plane: ControlPlane, runtime: KubernetesRuntime, spec: UnitSpec
) -> None:
    await runtime.apply(spec)
    unit = (await runtime.list())[spec.unit_id]
    assert unit.spec_hash == runtime.spec_hash(spec)
    assert unit.config_hash == runtime.config_hash(spec.config_json)
    assert (unit.running, unit.registered) == (False, False)

    pod = workloads.pod_of(plane, spec.client_id)
    assert "created (server dry run)" in plane.apply(pod, dry_run=True)
    open_pod = json.loads(json.dumps(pod))
    open_pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    with pytest.raises(Refused, match="violates PodSecurity"):
        plane.apply(open_pod, dry_run=True)

    shown = plane.get("secret", "agent-blue", "-n", spec.client_id)
    assert set(shown["data"]) == set(spec.secrets)
    # The same again changes nothing, not even a version.
    everything = ("deploy,cm,secret,sa,pvc,netpol", "-n", spec.client_id)
    before = plane.get(*everything)["items"]
    await runtime.apply(spec)
    assert plane.get(*everything)["items"] == before


async def test_what_others_add_stays_and_what_they_change_of_ours_is_put_back(
    plane: ControlPlane, runtime: KubernetesRuntime, spec: UnitSpec
) -> None:
    await runtime.apply(spec)
    where = ("-n", spec.client_id)
    theirs = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "agent-blue", "namespace": spec.client_id, "labels": {"team": "a"}},
        "spec": {"template": {"spec": {"priorityClassName": "calls"}}},
    }
    plane.kubectl(
        "apply", "--server-side", "--field-manager=theirs", "-f", "-", stdin=yaml.safe_dump(theirs)
    )
    plane.kubectl("scale", "deploy", "agent-blue", "--replicas=0", *where)
    opened = json.dumps({"spec": {"egress": [{}]}})
    plane.kubectl("patch", "netpol", "agent", *where, "--type=merge", "-p", opened)
    label = "pod-security.kubernetes.io/enforce"
    plane.kubectl("label", "ns", spec.client_id, f"{label}=privileged", "--overwrite")
    assert (await runtime.list())[spec.unit_id].spec_hash == ""

    await runtime.apply(spec)
    assert (await runtime.list())[spec.unit_id].spec_hash == runtime.spec_hash(spec)
    deployment = plane.get("deploy", "agent-blue", *where)
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["template"]["spec"]["priorityClassName"] == "calls"
    assert deployment["metadata"]["labels"]["team"] == "a"
    assert len(plane.get("netpol", "agent", *where)["spec"]["egress"]) == 1 + len(EGRESS)
    assert plane.get("ns", spec.client_id)["metadata"]["labels"][label] == "restricted"

    # What we no longer want goes; what is theirs does not.
    await runtime.apply(replace(spec, secrets={"LIVEKIT_API_KEY": "other"}, memory_mib=2048))
    assert set(plane.get("secret", "agent-blue", *where)["data"]) == {"LIVEKIT_API_KEY"}
    pod = plane.get("deploy", "agent-blue", *where)["spec"]["template"]["spec"]
    assert pod["priorityClassName"] == "calls"
    assert pod["containers"][0]["resources"]["limits"]["memory"] == "2Gi"


async def test_registration_is_watched_and_words_reach_the_pod(
    plane: ControlPlane, runtime: KubernetesRuntime, spec: UnitSpec
) -> None:
    await runtime.apply(spec)
    changes: asyncio.Queue[str] = asyncio.Queue()
    watch = asyncio.create_task(runtime.watch(changes.put_nowait))
    await asyncio.to_thread(workloads.run_pod, plane, spec.client_id, ready=False)
    unit = (await runtime.list())[spec.unit_id]
    assert (unit.running, unit.registered) == (True, False)
    for ready in (True, False):
        await asyncio.to_thread(workloads.set_ready, plane, spec.client_id, ready=ready)
        assert await asyncio.wait_for(changes.get(), 60) == spec.client_id
        assert (await runtime.list())[spec.unit_id].registered == ready
    await asyncio.to_thread(workloads.set_ready, plane, spec.client_id)
    assert await asyncio.wait_for(changes.get(), 60) == spec.client_id
    await runtime.configure(spec.unit_id, '{"greeting": "Welcome"}')
    words = plane.get("cm", "agent-blue", "-n", spec.client_id)["data"]
    assert words == {"agent.json": '{"greeting": "Welcome"}'}
    told = plane.get("pod", "agent-blue", "-n", spec.client_id)["metadata"]["annotations"]
    unit = (await runtime.list())[spec.unit_id]
    assert told["voicefleet.dev/config-hash"] == unit.config_hash
    assert unit.registered
    assert changes.empty()
    plane.kubectl("delete", "pod", "agent-blue", "-n", spec.client_id, "--force")
    assert await asyncio.wait_for(changes.get(), 60) == spec.client_id
    watch.cancel()


async def test_a_watch_that_begins_again_misses_nothing(
    plane: ControlPlane,
    runtime: KubernetesRuntime,
    spec: UnitSpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server ends every watch sooner or later; what happens in between is seen as well."""
    monkeypatch.setattr("voicefleet_operator.kube._WATCH_SECONDS", 1)
    monkeypatch.setattr(kubernetes, "WATCH_REST", 1.5)
    await runtime.apply(spec)
    await asyncio.to_thread(workloads.run_pod, plane, spec.client_id)
    changes: asyncio.Queue[str] = asyncio.Queue()
    watch = asyncio.create_task(runtime.watch(changes.put_nowait))
    while await asyncio.wait_for(changes.get(), 60) != spec.client_id:
        pass
    # While it listens, or while it does not: both are told.
    for ready in (False, True):
        await asyncio.to_thread(workloads.set_ready, plane, spec.client_id, ready=ready)
        while await asyncio.wait_for(changes.get(), 60) != spec.client_id:
            pass
    await asyncio.sleep(1.5)
    plane.kubectl("delete", "pod", "agent-blue", "-n", spec.client_id, "--force")
    while await asyncio.wait_for(changes.get(), 60) != spec.client_id:
        pass
    watch.cancel()


async def test_calls_are_asked_of_the_pods_of_a_client_that_has_two_agents(
    plane: ControlPlane,
    runtime: KubernetesRuntime,
    spec: UnitSpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = 0

    async def page(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        name = agent_name(spec.client_id, Slot.GREEN)
        return web.json_response({"agentName": name, "activeCalls": 2, "endedCalls": 7})

    app = web.Application()
    app.router.add_get("/", page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setattr(kubernetes, "HEALTH_PORT", int(runner.addresses[0][1]))

    await runtime.apply(spec)
    await asyncio.to_thread(workloads.run_pod, plane, spec.client_id)
    assert (await runtime.list())[spec.unit_id].health is None
    assert asked == 0
    green = replace(spec, slot=Slot.GREEN)
    await runtime.apply(green)
    await asyncio.to_thread(workloads.run_pod, plane, spec.client_id, "agent-green")
    units = await runtime.list()
    health = units[green.unit_id].health
    assert health is not None
    assert (health.active_calls, health.ended_calls) == (2, 7)
    # Another agent answers at that address.
    assert units[spec.unit_id].health is None
    await runner.cleanup()


async def test_removal_lets_the_pod_end_before_its_network_and_leaves_nothing(
    plane: ControlPlane, runtime: KubernetesRuntime, spec: UnitSpec
) -> None:
    await runtime.apply(spec)
    await asyncio.to_thread(workloads.run_pod, plane, spec.client_id)
    removal = asyncio.create_task(runtime.remove(spec.unit_id))
    await until(lambda: not plane.get("deploy", "-n", spec.client_id)["items"])
    # The pod ends its calls; the walls around it stand.
    assert plane.get("ns", spec.client_id)["status"]["phase"] == "Active"
    assert plane.get("netpol", "-n", spec.client_id)["items"]
    await asyncio.to_thread(workloads.collect_garbage, plane, spec.client_id)
    await until(lambda: spec.client_id in workloads.terminating(plane))
    assert not removal.done()
    unit = (await runtime.list())[spec.unit_id]
    assert (unit.spec_hash, unit.running) == ("", False)
    with pytest.raises(Unavailable, match="being deleted"):
        async with as_operator(plane) as kube:
            # Another operator, which has no lock of this one's.
            await KubernetesRuntime(kube, "localhost/voicefleet-agent:1").apply(spec)
    await asyncio.to_thread(workloads.finish_namespace, plane, spec.client_id)
    await removal
    assert spec.unit_id not in await runtime.list()
    assert not plane.kubectl("get", "ns", spec.client_id, "--ignore-not-found")
    left = plane.kubectl("get", workloads.CONTENT, "-n", spec.client_id, "--ignore-not-found")
    assert not left
    await runtime.remove(spec.unit_id)


async def test_the_operator_is_refused_where_it_has_no_business(
    plane: ControlPlane, runtime: KubernetesRuntime, spec: UnitSpec
) -> None:
    """The policy, and how its refusal is told."""
    other = replace(spec, client_id="shop", mark=replace(spec.mark, client_id="shop"))
    with pytest.raises(Unauthorized, match="no namespaces but clients'"):
        await runtime.apply(other)
    assert not plane.kubectl("get", "ns", "shop", "--ignore-not-found")


async def test_listing_is_by_label_and_page(
    plane: ControlPlane, runtime: KubernetesRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voicefleet_operator.kube._PAGE", 1)
    async with as_operator(plane) as kube:
        every = await kube.list(PODS, "default")
        assert every == []
        plane.apply(*(_bare_pod(name, {"voicefleet.dev/test": "yes"}) for name in ("a", "b", "c")))
        plane.apply(_bare_pod("d", {}))
        found = await kube.list(PODS, "default", selector="voicefleet.dev/test")
        assert [pod["metadata"]["name"] for pod in found] == ["a", "b", "c"]


def _bare_pod(name: str, labels: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "spec": {"containers": [{"name": "c", "image": "none:1"}]},
    }
