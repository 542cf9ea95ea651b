"""The agent gateway's pod as `deploy/gateway` has it."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from support.controlplane import ROOT, ControlPlane
from support.helm import DEPLOY, Object, kustomized
from support.manifests import voice_client
from support.pod import Pod, gateway_secrets, pod_of
from support.portal import record
from voicefleet_api import tokens
from voicefleet_api.calls import CallRecord
from voicefleet_api.names import SYSTEM_NAMESPACE
from voicefleet_infra.pki import Authority

pytestmark = pytest.mark.integration

CLIENT, NEIGHBOUR = "vc-0000000001", "vc-0000000002"
KEY = "k" * 48


@pytest.fixture
def cluster(bare: ControlPlane) -> Iterator[ControlPlane]:
    """With our kinds, the portal's rights and a client."""
    ours = (str(ROOT / "crds" / "generated"), str(DEPLOY / "rbac" / "portal.yaml"))
    bare.kubectl("apply", "--server-side", "-k", ours[0])
    bare.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=90s")
    bare.kubectl("apply", "--server-side", "-f", ours[1])
    bare.apply(voice_client("pipeworks", business={"name": "Pipeworks"}))
    status = f'{{"status": {{"clientID": "{CLIENT}"}}}}'
    patch = ("patch", "vc", "pipeworks", "--subresource=status", "--type=merge", "-p", status)
    bare.kubectl(*patch)
    yield bare
    bare.kubectl("delete", "-f", ours[1])
    bare.kubectl("delete", "-k", ours[0])


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Of the gateway's certificate."""
    return Authority(tmp_path / "pki")


@pytest.fixture
def spec(tmp_path: Path) -> Object:
    """The pod's."""
    (tmp_path / "overlay").mkdir()
    return pod_of(kustomized(tmp_path / "overlay", "gateway"), "voicefleet-agent-gateway")


@pytest.fixture
def pod(spec: Object, cluster: ControlPlane, authority: Authority, tmp_path: Path) -> Iterator[Pod]:
    """Running; its account's token is not there yet."""
    host, _, port = cluster.server.removeprefix("https://").rpartition(":")
    env = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
    with Pod(spec, gateway_secrets(authority, KEY), tmp_path / "pod", env=env) as running:
        yield running


@pytest.fixture
async def agent(pod: Pod, authority: Authority) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who believes the authority."""
    trust = ssl.create_default_context(cafile=str(authority.certificate))
    address = f"https://127.0.0.1:{pod.port(8443)}"
    async with httpx.AsyncClient(base_url=address, verify=trust) as client:
        await _until_answers(client, "/healthz", pod)
        yield client


@pytest.fixture
async def people(pod: Pod) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody with `kubectl port-forward`."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{pod.port(8080)}") as client:
        await _until_answers(client, "/api/clients", pod)
        yield client


async def _until_answers(client: httpx.AsyncClient, path: str, pod: Pod) -> None:
    for _ in range(600):
        try:
            await client.get(path)
        except httpx.TransportError:
            await asyncio.sleep(0.1)
        else:
            return
    raise AssertionError("".join(pod.log(each["name"]) for each in pod.spec["containers"]))


async def put(agent: httpx.AsyncClient, call: CallRecord, client: str | None) -> int:
    """Status of the answer to a record that is sent as that client's."""
    return (
        await agent.put(
            f"/services/portal/v1/calls/{call.call_id}",
            content=call.model_dump_json(by_alias=True),
            headers={"Authorization": f"Bearer {tokens.mint(KEY, client)}"} if client else {},
        )
    ).status_code


async def test_a_record_arrives_in_the_portal_through_the_gateway(
    pod: Pod,
    cluster: ControlPlane,
    agent: httpx.AsyncClient,
    people: httpx.AsyncClient,
    tmp_path: Path,
) -> None:
    call = record(CLIENT)
    assert await put(agent, call, None) == 401
    assert await put(agent, call, NEIGHBOUR) == 403
    assert await put(agent, call, CLIENT) == 200
    [file] = (tmp_path / "pod" / "data" / "calls").glob("*.sqlite")
    assert file.stem == CLIENT

    # Its clients' names it has from the API server, as soon as the kubelet has written the token.
    async def names() -> list[str]:
        return [each["business"] for each in (await people.get("/api/clients")).json()["items"]]

    assert await names() == [CLIENT]
    account = tmp_path / "pod" / "account"
    view = ("config", "view", "--raw", "--flatten", "-o")
    found = cluster.kubectl(*view, "jsonpath={.clusters[0].cluster.certificate-authority-data}")
    (account / "ca.crt").write_bytes(base64.b64decode(found))
    token = ("create", "token", "voicefleet-portal", f"--namespace={SYSTEM_NAMESPACE}")
    for given, wanted in (("another one's", [CLIENT]), (cluster.kubectl(*token), ["Pipeworks"])):
        (account / "token").write_text(given)
        # Clients are asked for every two seconds at most.
        await asyncio.sleep(2.1)
        assert await names() == wanted
    [shown] = (await people.get(f"/api/clients/{CLIENT}/calls")).json()["items"]
    assert shown["callID"] == call.call_id


async def test_probes_say_who_is_well_and_agents_have_the_gateway_without_the_portal(
    pod: Pod, agent: httpx.AsyncClient, people: httpx.AsyncClient
) -> None:
    gateway = pod.container("agent-gateway")
    [port] = gateway["ports"]
    for probe in (gateway["livenessProbe"], gateway["readinessProbe"]):
        asked = probe["httpGet"]
        assert (asked["port"], asked["scheme"]) == (port["name"], "HTTPS")
        assert (await agent.get(asked["path"])).status_code == 200
    assert pod.healthy("portal")
    pod.kill("portal")
    assert not pod.healthy("portal")
    assert (await agent.get("/healthz")).status_code == 200
    assert await put(agent, record(CLIENT), CLIENT) == 503


def test_neither_container_has_what_is_the_others(spec: Object) -> None:
    volumes = {each["name"]: each for each in spec["volumes"]}
    gateway, portal = spec["containers"]

    def given(container: Object) -> set[str]:
        return {mount["name"] for mount in container["volumeMounts"]}

    assert given(gateway) == {"livekit", "clients", "tls", "services"}
    assert given(portal) == {"data", "clients", "services", "account"}
    assert "serviceAccountToken" in volumes["account"]["projected"]["sources"][0]
    assert spec["automountServiceAccountToken"] is False
    assert spec["serviceAccountName"] == "voicefleet-portal"
    assert "env" not in portal
