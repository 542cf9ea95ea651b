"""The vendors: the paid ones are the sandbox's; LiveKit, the zone and the runtime are here."""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import dns.name
import dns.rcode
import dns.rdataset
import dns.rdatatype
import dns.update
import dns.zone
from aiohttp import FormData
from livekit import api

from simulator.wire import Reply, Request, fail_runtime
from voicefleet_operator.drivers.errors import Gone
from voicefleet_operator.drivers.runtime.base import hash_spec
from voicefleet_operator.planning.desired import config_hash
from voicefleet_operator.planning.observed import AgentHealth, AgentUnit, UnitSpec
from voicefleet_sandbox.elevenlabs import api as elevenlabs
from voicefleet_sandbox.elevenlabs.api import ElevenLabsError, Upload
from voicefleet_sandbox.store import Store
from voicefleet_sandbox.stripe import api as stripe
from voicefleet_sandbox.stripe.wire import StripeError, parse_form
from voicefleet_sandbox.twilio import api as twilio
from voicefleet_sandbox.twilio import numbers
from voicefleet_sandbox.twilio.wire import TwilioError

ACCOUNT = "AC" + "1" * 32
STRIPE = "acct_1"


class Paid:
    """Stripe, Twilio and ElevenLabs, with one ledger."""

    def __init__(self, stock: int) -> None:
        self.store = Store(None)
        # One in each other place: who finds none here is told of them.
        elsewhere = dict.fromkeys(numbers.stock(self.store), 1)
        numbers.set_stock(self.store, elsewhere | {"415": stock})
        self._stripe = stripe.Api(self.store)

    def _call(self, method: str, url: str, data: str | None, key: str | None) -> stripe.Call:
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        pairs += parse_qsl(data or "", keep_blank_values=True)
        path = parts.path.removeprefix("/stripe")
        key = key if method == "POST" else None
        return stripe.Call(method, path, parse_form(pairs), "http://sandbox", key)

    def stripe(self, method: str, url: str, data: str | None, key: str | None) -> Reply:
        """One request to Stripe; `url` below `/stripe`."""
        reply = self._stripe.handle(STRIPE, self._call(method, url, data, key))
        return Reply(reply.status, reply.body.encode(), {"Request-Id": "req_1", **reply.headers})

    def stripe_failed(self, method: str, url: str, data: str | None, key: str | None) -> None:
        """Stripe keeps a failure under its key, too."""
        error = StripeError("simulated", status=500, type_="api_error")
        self._stripe.fail_after(STRIPE, self._call(method, url, data, key), error)

    def twilio(self, method: str, path: str, params: dict[str, Any]) -> Reply:
        """One request to Twilio."""
        form = {k: _text(v) for k, v in params.items() if v is not None}
        try:
            status, body = twilio.handle(self.store, ACCOUNT, method, path, form)
        except TwilioError as error:
            status, body = error.status, json.dumps(error.body)
        return Reply(status, body.encode())

    def elevenlabs(self, method: str, path: str, query: dict[str, str], form: Any) -> Reply:
        """One request to ElevenLabs; `form` is what aiohttp was given, or None."""
        body, files = _parts(form) if form is not None else ({}, ())
        call = elevenlabs.Call(method, path, query, body, files)
        try:
            answer = elevenlabs.handle(self.store, "sk_simulated", call)
        except ElevenLabsError as error:
            return Reply(error.http_status, error.body.encode())
        return Reply(200, json.dumps(answer).encode())

    def listed(self, kind: str) -> list[dict[str, Any]]:
        """Everything of a type: Stripe's, Twilio's (`number`, …) or ElevenLabs' (`voice`)."""
        twilio = (
            "number", "trunk", "origination_url", "credential_list", "Credentials",
            "trunk_credential_list",
        )  # fmt: skip
        vendor = (dict.fromkeys(twilio, "twilio") | {"voice": "elevenlabs"}).get(kind, "stripe")
        return self.store.all(vendor, None, kind)


def _parts(form: FormData) -> tuple[dict[str, str], tuple[Upload, ...]]:
    """A multipart form before it is written: its fields and its files."""
    body, files = {}, []
    for options, headers, value in form._fields:
        if "filename" in options:
            files.append(Upload(options["filename"], headers["Content-Type"], value))
        else:
            body[options["name"]] = value
    return body, tuple(files)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _replaced(kept: dict[str, Any], asked: Any, key: str) -> Any:
    """All of what it says, under the ID that it had."""
    if (found := getattr(asked, key)) not in kept:
        return "not found"
    setattr(asked.replace, key, found)
    kept[found] = asked.replace
    return asked.replace


class LiveKit:
    """The SIP API of a LiveKit server, with its refusals (livekit/protocol, sip/sip.go)."""

    def __init__(self) -> None:
        self.trunks: dict[str, api.SIPInboundTrunkInfo] = {}
        self.rules: dict[str, api.SIPDispatchRuleInfo] = {}
        self.outbound: dict[str, api.SIPOutboundTrunkInfo] = {}
        self._ids = itertools.count(1)

    def handle(self, method: str, data: bytes) -> Reply:
        """One request, by Twirp's name of it."""
        answer = getattr(self, method)(data)
        if isinstance(answer, str):
            code = "not_found" if answer == "not found" else "invalid_argument"
            body = json.dumps({"code": code, "msg": answer}).encode()
            return Reply(404 if code == "not_found" else 400, body)
        return Reply(200, answer.SerializeToString())

    def ListSIPInboundTrunk(self, data: bytes) -> Any:  # noqa: N802 - as Twirp spells it
        wanted = set(api.ListSIPInboundTrunkRequest.FromString(data).numbers)
        found = [t for t in self.trunks.values() if not wanted or wanted & set(t.numbers)]
        return api.ListSIPInboundTrunkResponse(items=found)

    def CreateSIPInboundTrunk(self, data: bytes) -> Any:  # noqa: N802
        info = api.CreateSIPInboundTrunkRequest.FromString(data).trunk
        if any(set(info.numbers) & set(t.numbers) for t in self.trunks.values()):
            return "Conflicting inbound SIP Trunks"
        info.sip_trunk_id = f"ST_{next(self._ids)}"
        self.trunks[info.sip_trunk_id] = info
        return info

    def UpdateSIPInboundTrunk(self, data: bytes) -> Any:  # noqa: N802
        asked = api.UpdateSIPInboundTrunkRequest.FromString(data)
        return _replaced(self.trunks, asked, "sip_trunk_id")

    def DeleteSIPTrunk(self, data: bytes) -> Any:  # noqa: N802
        id_ = api.DeleteSIPTrunkRequest.FromString(data).sip_trunk_id
        gone = self.trunks.pop(id_, None) or self.outbound.pop(id_, None)
        return api.SIPTrunkInfo(sip_trunk_id=id_) if gone else "not found"

    def ListSIPOutboundTrunk(self, data: bytes) -> Any:  # noqa: N802
        return api.ListSIPOutboundTrunkResponse(items=list(self.outbound.values()))

    def CreateSIPOutboundTrunk(self, data: bytes) -> Any:  # noqa: N802
        info = api.CreateSIPOutboundTrunkRequest.FromString(data).trunk
        info.sip_trunk_id = f"ST_{next(self._ids)}"
        self.outbound[info.sip_trunk_id] = info
        return info

    def UpdateSIPOutboundTrunk(self, data: bytes) -> Any:  # noqa: N802
        asked = api.UpdateSIPOutboundTrunkRequest.FromString(data)
        return _replaced(self.outbound, asked, "sip_trunk_id")

    def ListSIPDispatchRule(self, data: bytes) -> Any:  # noqa: N802
        wanted = set(api.ListSIPDispatchRuleRequest.FromString(data).trunk_ids)
        found = [r for r in self.rules.values() if not wanted or wanted & set(r.trunk_ids)]
        return api.ListSIPDispatchRuleResponse(items=found)

    def CreateSIPDispatchRule(self, data: bytes) -> Any:  # noqa: N802
        info = api.CreateSIPDispatchRuleRequest.FromString(data).dispatch_rule
        if any(set(info.trunk_ids) & set(r.trunk_ids) for r in self.rules.values()):
            return "combination already exists in dispatch rule"
        info.sip_dispatch_rule_id = f"SDR_{next(self._ids)}"
        self.rules[info.sip_dispatch_rule_id] = info
        return info

    def UpdateSIPDispatchRule(self, data: bytes) -> Any:  # noqa: N802
        asked = api.UpdateSIPDispatchRuleRequest.FromString(data)
        return _replaced(self.rules, asked, "sip_dispatch_rule_id")

    def DeleteSIPDispatchRule(self, data: bytes) -> Any:  # noqa: N802
        id_ = api.DeleteSIPDispatchRuleRequest.FromString(data).sip_dispatch_rule_id
        return self.rules.pop(id_, "not found")


class Zone:
    """A primary DNS server's zone: (label, type) -> (TTL, values)."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], tuple[int, list[str]]] = {}

    def update(self, message: dns.update.UpdateMessage) -> dns.update.UpdateMessage:
        """A dynamic update (RFC 2136, sections 3.2 and 3.4)."""
        answer = dns.update.UpdateMessage(".")
        for rrset in message.prerequisite:
            label, kind = rrset.name.to_text(), dns.rdatatype.to_text(rrset.rdtype)
            if rrset.rdclass == dns.rdataclass.NONE:
                if any(name == label for name, _ in self.records):
                    answer.set_rcode(dns.rcode.YXDOMAIN)
                    return answer
            elif self.records.get((label, kind), (0, []))[1] != [r.to_text() for r in rrset]:
                answer.set_rcode(dns.rcode.NXRRSET)
                return answer
        for rrset in message.update:
            label, kind = rrset.name.to_text(), dns.rdatatype.to_text(rrset.rdtype)
            if rrset.deleting is not None:
                self.records = {k: v for k, v in self.records.items() if k[0] != label}
            else:
                self.records[label, kind] = (rrset.ttl, [r.to_text() for r in rrset])
        return answer

    def transfer(self, into: dns.zone.Zone) -> None:
        """The whole zone (RFC 5936)."""
        with into.writer(replacement=True) as transaction:
            for (label, kind), (ttl, values) in self.records.items():
                rdataset = dns.rdataset.from_text("IN", kind, ttl, *values)
                transaction.add(dns.name.from_text(label, None), rdataset)


BAD_WORDS = "Nothing works"
_CALLS = 100


class Units:
    """The agents that run, wherever the controller is."""

    def __init__(self) -> None:
        self.running: dict[str, AgentUnit] = {}
        self.configs: dict[str, str] = {}
        self.watchers: list[Callable[[str], None]] = []

    def apply(self, spec: UnitSpec) -> None:
        # As if its calls came at once; with such a greeting all of them fail.
        failed = _CALLS if BAD_WORDS in spec.config_json else 0
        health = AgentHealth(registered=True, ended_calls=_CALLS, failed_calls=failed)
        unit = AgentUnit(
            spec.client_id, hash_spec(spec, "simulated"), "", True, True, health=health
        )
        self.running[spec.unit_id] = unit
        self.configure(spec.unit_id, spec.config_json)

    def configure(self, unit: str, config_json: str) -> None:
        if unit not in self.running:
            raise Gone("UnitMissing", f"{unit} is no unit")
        configured = replace(self.running[unit], config_hash=config_hash(config_json))
        self.running[unit] = configured
        self.configs[unit] = config_json
        self._changed(configured.client_id)

    def remove(self, unit: str) -> None:
        removed = self.running.pop(unit, None)
        if removed:
            self._changed(removed.client_id)

    def _changed(self, client_id: str) -> None:
        for watcher in self.watchers:
            watcher(client_id)


class Runtime:
    """The runtime driver of one controller; `ask` carries its requests out."""

    def __init__(self, units: Units, ask: Callable[[Request], Awaitable[Any]]) -> None:
        self._units, self._ask = units, ask

    async def _do(self, verb: str, *args: Any) -> None:
        carry_out = functools.partial(getattr(self._units, verb), *args)
        await self._ask(Request(f"runtime {verb}", carry_out, fail_runtime))

    async def list(self) -> dict[str, AgentUnit]:
        found: dict[str, AgentUnit] = await self._ask(
            Request("runtime list", lambda: dict(self._units.running), fail_runtime)
        )
        return found

    async def apply(self, spec: UnitSpec) -> None:
        await self._do("apply", spec)

    async def configure(self, unit: str, config_json: str) -> None:
        await self._do("configure", unit, config_json)

    async def remove(self, unit: str) -> None:
        await self._do("remove", unit)

    def spec_hash(self, spec: UnitSpec) -> str:
        return hash_spec(spec, "simulated")

    def config_hash(self, config_json: str) -> str:
        return config_hash(config_json)

    async def watch(self, callback: Callable[[str], None]) -> None:
        self._units.watchers.append(callback)
        try:
            await asyncio.Event().wait()
        finally:
            self._units.watchers.remove(callback)
