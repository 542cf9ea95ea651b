"""`voicefleet doctor`: keys, rights, DNS and ports of a Fleet, checked before anything is bought.

Everything here only reads. What it cannot know without spending (whether a card on file is good,
whether a right to write exists) it says.
"""

from __future__ import annotations

import asyncio
import random
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

import dns.asyncresolver
import dns.exception

from voicefleet_api.fleet import DNSConfig, FleetSpec, FleetStatus, KubernetesConfig
from voicefleet_operator.drivers.errors import VendorError
from voicefleet_operator.kube import FLEETS, STORAGECLASSES, Kube, KubeError, Object, Resource
from voicefleet_operator.reconcilers.common import read_secret
from voicefleet_operator.world import Names, Routing, Voices, World, build_world

_REMEDY = "Create the Secret; keys: kubectl explain fleet"
_TIMEOUT = 5.0
_POLICIES = Resource("/apis/admissionregistration.k8s.io/v1", "validatingadmissionpolicies")

Verdict = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at; `remedy` is empty where all is well."""

    what: str
    verdict: Verdict
    detail: str
    remedy: str = ""


async def examine(kube: Kube, fleet_name: str) -> AsyncIterator[Check]:
    """All checks of a Fleet, as they are done."""
    try:
        obj = await kube.get(FLEETS, fleet_name)
    except KubeError as error:
        remedy = f"Apply the CRDs (crds/generated) and a Fleet named {fleet_name}"
        yield Check("Kubernetes API", "failed", str(error), remedy)
        return
    yield Check("Kubernetes API", "ok", f"Fleet {fleet_name} is there")
    yield await _admission(kube)
    spec = FleetSpec.model_validate(obj["spec"])
    status = FleetStatus.model_validate(obj.get("status") or {})
    try:
        world = await build_world(
            status.fleet_id or "vf-unknown0",
            spec,
            lambda namespace, name: read_secret(kube, namespace, name),
        )
    except (KubeError, ValueError) as error:
        yield Check("Secrets", "failed", str(error), _REMEDY)
        return
    for words in world.unusable.values():
        yield Check("Secrets", "failed", words, _REMEDY)
    if not world.unusable:
        yield Check("Secrets", "ok", "all keys are there and fit the accounts' modes")
    try:
        async for check in _accounts(world):
            yield check
    finally:
        await world.close()
    async for check in _network(spec):
        yield check
    if spec.runtime is not None and spec.runtime.class_name == "kubernetes":
        config = spec.runtime.kubernetes or KubernetesConfig()
        yield await _storage(kube, config.storage_class_name)
        if spec.livekit is not None:
            yield _egress(config, spec.livekit.agent_url)


async def _admission(kube: Kube) -> Check:
    try:
        found: list[Object] = await kube.list(_POLICIES)
    except KubeError as error:
        return Check("Admission policies", "warning", str(error), "Ask for the right to list them")
    ours = [p["metadata"]["name"] for p in found if "voicefleet" in p["metadata"]["name"]]
    if ours:
        return Check("Admission policies", "ok", ", ".join(sorted(ours)))
    return Check(
        "Admission policies",
        "failed",
        "none of ours: plan limits and deletion protection are not enforced",
        "kubectl apply -k deploy/",
    )


async def _accounts(world: World) -> AsyncIterator[Check]:
    for name, billing in world.billing.items():
        what = f"Stripe account {name}"
        try:
            found = await billing.listing()
            detail = f"{len(found.customers)} customers, {len(found.subscriptions)} subscriptions"
            yield Check(what, "ok", f"key may read; of this fleet: {detail}")
        except VendorError as error:
            yield Check(what, "failed", error.message, error.hint or "See docs/going-live.md")
    for name in world.telephony:
        yield await _telephony(world, name, f"Twilio account {name}")
    for name, voices in world.voices.items():
        yield await _reachable(f"ElevenLabs account {name}", voices)
    yield await _reachable("LiveKit", world.routing)
    yield await _reachable("DNS server", world.names)


async def _reachable(what: str, listed: Routing | Names | Voices | None) -> Check:
    if listed is None:
        return Check(what, "warning", "not configured in the Fleet")
    try:
        await listed.listing()
    except VendorError as error:
        return Check(what, "failed", error.message, error.hint or "Check address and Secret")
    return Check(what, "ok", "reachable, credentials accepted")


async def _telephony(world: World, name: str, what: str) -> Check:
    try:
        held = len((await world.telephony[name].listing()).numbers)
    except VendorError as error:
        return Check(what, "failed", error.message, error.hint or "See docs/going-live.md")
    config = world.spec.telephony
    account = next(a for a in config.accounts if a.name == name) if config else None
    if account is None:
        return Check(what, "failed", "not in the Fleet", "")
    cost = held * account.monthly_number_cost_minor / 100
    cap = account.monthly_spending_cap_minor / 100
    detail = f"{held} numbers for {cost:.2f} a month; cap {cap:.2f}"
    if cost >= cap:
        return Check(what, "warning", detail, "No number can be bought: raise the cap")
    return Check(what, "ok", detail)


async def _network(spec: FleetSpec) -> AsyncIterator[Check]:
    if spec.livekit is not None:
        yield await _tcp("LiveKit port", spec.livekit.url)
    for uri in spec.telephony.origination_uris if spec.telephony else []:
        yield await _sip(uri)
    if spec.dns is not None:
        yield await _delegation(spec.dns)


async def _storage(kube: Kube, wanted: str | None) -> Check:
    """Whether the cluster can make volumes for clients."""
    what = "StorageClass of clients' volumes"
    try:
        found = await kube.list(STORAGECLASSES)
    except KubeError as error:
        return Check(what, "warning", str(error), "Ask for the right to list them")
    names = [each["metadata"]["name"] for each in found]
    if wanted is None:
        names = [each["metadata"]["name"] for each in found if _is_default(each)]
    elif wanted not in names:
        return Check(what, "failed", f"{wanted} is not there", f"Choose one of: {', '.join(names)}")
    if names:
        return Check(what, "ok", wanted or names[0])
    remedy = "Set Fleet spec.runtime.kubernetes.storageClassName"
    return Check(what, "failed", "the cluster has no default one", remedy)


def _is_default(storage_class: Object) -> bool:
    annotations = storage_class["metadata"].get("annotations") or {}
    return annotations.get("storageclass.kubernetes.io/is-default-class") == "true"


def _egress(config: KubernetesConfig, url: str) -> Check:
    """Whether an `egress` is for the agent gateway: by its namespace, where it is in the cluster,
    else by its port; at which address it is, is not looked at."""
    host, port = _address(url)
    for each in config.egress:
        # A NetworkPolicy is about a pod's port, which need not be its Service's.
        if each.namespace is not None and f".{each.namespace}.svc" in (host or ""):
            detail = f"egress {each.name} opens the namespace {each.namespace}"
            return Check("Agents' way to LiveKit", "ok", detail)
        tcp = [ports for ports in each.ports if ports.protocol == "TCP"]
        if any(ports.port <= port <= (ports.end_port or ports.port) for ports in tcp):
            return Check("Agents' way to LiveKit", "ok", f"egress {each.name} opens port {port}")
    detail = f"no egress opens TCP port {port} ({url})"
    remedy = "Add it to Fleet spec.runtime.kubernetes.egress"
    return Check("Agents' way to LiveKit", "failed", detail, remedy)


def _address(url: str) -> tuple[str | None, int]:
    parts = urlsplit(url)
    return parts.hostname, parts.port or (443 if parts.scheme in ("https", "wss") else 80)


async def _tcp(what: str, url: str) -> Check:
    host, port = _address(url)
    try:
        async with asyncio.timeout(_TIMEOUT):
            _, writer = await asyncio.open_connection(host, port)
        writer.close()
        await writer.wait_closed()
    except OSError as error:
        return Check(what, "failed", f"{host}:{port}: {error}", "Open the port")
    return Check(what, "ok", f"{host}:{port} accepts connections")


async def _sip(uri: str) -> Check:
    """Ask the SIP bridge for its options (RFC 3261, section 11), as a carrier's probe does."""
    match = re.match(r"sips?:(?:[^@;]+@)?(\[[^\]]+\]|[^:;]+)(?::(\d+))?", uri)
    if match is None:
        return Check(f"SIP {uri}", "failed", "not a SIP address", "sip:host:port")
    if "transport=tcp" in uri or "transport=tls" in uri or uri.startswith("sips:"):
        return await _tcp(f"SIP {uri}", f"http://{match[1]}:{match[2] or 5060}")
    host, port = match[1].strip("[]"), int(match[2] or 5060)
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()

    class Probe(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, _: object) -> None:
            if not answer.done():
                answer.set_result(data)

        def error_received(self, exc: Exception) -> None:
            if not answer.done():
                answer.set_exception(exc)

    try:
        transport, _ = await loop.create_datagram_endpoint(Probe, remote_addr=(host, port))
    except OSError as error:
        return Check(f"SIP {uri}", "failed", str(error), "Check the address")
    local = transport.get_extra_info("sockname")
    tag = f"{random.getrandbits(48):012x}"
    lines = (
        f"OPTIONS {uri} SIP/2.0",
        f"Via: SIP/2.0/UDP {local[0]}:{local[1]};rport;branch=z9hG4bK{tag}",
        "Max-Forwards: 70",
        f"From: <sip:doctor@{local[0]}>;tag={tag}",
        f"To: <{uri}>",
        f"Call-ID: {tag}",
        "CSeq: 1 OPTIONS",
        "Content-Length: 0",
    )
    transport.sendto(("\r\n".join(lines) + "\r\n\r\n").encode())
    try:
        async with asyncio.timeout(_TIMEOUT):
            line = (await answer).split(b"\r\n", 1)[0].decode(errors="replace")
    except (TimeoutError, OSError) as error:
        return Check(
            f"SIP {uri}",
            "failed",
            f"no answer ({type(error).__name__})",
            "Open the UDP port for the carrier's networks and start LiveKit SIP",
        )
    finally:
        transport.close()
    return Check(f"SIP {uri}", "ok", line)


async def _delegation(config: DNSConfig) -> Check:
    """Whether the world's resolvers find the zone at the server that we update."""
    what = f"DNS delegation of {config.zone}"
    if config.zone.rstrip(".").endswith((".test", ".localhost", ".example", ".internal")):
        return Check(what, "ok", "a private zone: nobody outside needs to find it")
    resolver = dns.asyncresolver.get_default_resolver()
    try:
        answer = await resolver.resolve(config.zone, "NS", lifetime=_TIMEOUT)
        names = [str(record.target) for record in answer]
        server = await asyncio.to_thread(socket.gethostbyname, config.server)
        addresses = [
            str(address)
            for name in names
            for address in await resolver.resolve(name, "A", lifetime=_TIMEOUT)
        ]
    except (dns.exception.DNSException, OSError) as error:
        return Check(
            what, "failed", f"not found: {error}", "Delegate the zone at the parent (NS records)"
        )
    if server in addresses:
        return Check(what, "ok", ", ".join(names))
    return Check(
        what,
        "warning",
        f"the world asks {', '.join(names)}, we update {server}",
        "Fine if that is a hidden primary; otherwise delegate the zone to it",
    )
