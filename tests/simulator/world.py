"""The world: one API server, the vendors, and the controllers that are alive at the moment."""

from __future__ import annotations

import asyncio
import base64
import contextvars
import functools
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import dns.update
import dns.zone
import kopf

from simulator.apiserver import ApiServer, Object, Refused
from simulator.vendors import ACCOUNT, LiveKit, Paid, Runtime, Units, Zone
from simulator.wire import Reply, Request, fail_http, fail_transfer, fail_update, no_network
from support.manifests import fleet, merged, voice_client
from voicefleet_api.names import SYSTEM_NAMESPACE
from voicefleet_operator.controller import WATCHED, Loop
from voicefleet_operator.kube import Kube
from voicefleet_operator.settings import Settings

_KINDS = {resource.plural: kind for kind, resource in WATCHED.items()}
_LATENCY = 0.005
_WATCH_LAG = 0.02
_RESTART = 1.0
"""Seconds until the next controller is there after one has died."""
_LATE = 5.0
"""How long a request may still be on its way after its sender has died."""
_STALE = 10.0
"""How long a cache may lag, and an old leader stand still before it goes on with what it knew."""
_NOTICE = 3.0
"""How long it then takes the old leader to find out."""
SWEEP = 600.0
_SETTINGS = Settings(workers=8, resync_seconds=SWEEP)

OVERFLOW_AGENT = "overflow"
PLANS = {"Small": 4900, "Large": 9900}


class Fault(StrEnum):
    """What can become of a request, in words for the story."""

    KILLED_BEFORE = "the controller was killed before it"
    KILLED_AFTER = "the controller was killed after it was sent"
    KILLED_LATE = "the controller was killed after it was sent, and it arrived 5 s later"
    REPLY_LOST = "its reply was lost"
    TIMED_OUT = "it timed out, and was carried out all the same"
    THROTTLED = "it was answered 429"
    FAILED = "it was answered 500"
    FAILED_AFTER = "it was answered 500 after it had been carried out"
    RESET = "its connection was reset"
    STALE = "the controller was killed after it was sent, and the next one's cache was stale"
    OLD_LEADER = "the lease was lost before it, and the old leader went on 10 s later"


_OF_WRITES = {Fault.KILLED_AFTER, Fault.KILLED_LATE, Fault.FAILED_AFTER}


def faults_of(name: str) -> list[Fault]:
    """All that can become of a request; it does not matter when a read is carried out."""
    return [fault for fault in Fault if fault not in _OF_WRITES or not is_read(name)]


def is_read(name: str) -> bool:
    """Whether a request changes nothing."""
    return " GET " in name or name.startswith(("livekit List", "dns transfer", "runtime list"))


FIRST_WORDS = "Hello"

_operator: contextvars.ContextVar[Operator] = contextvars.ContextVar("_operator")


class Operator:
    """One process of the controller: its tasks know it, and it can be frozen and killed."""

    def __init__(self, world: World, *, stale: bool = False) -> None:
        self._world = world
        self._runs = asyncio.Event()
        self._runs.set()
        self._alive = True
        self._watching = True
        self.leads = True
        """Nobody has taken its place yet."""
        self.stale_until = asyncio.get_running_loop().time() + _STALE if stale else 0.0
        self.runtime = Runtime(world.units, world.ask)
        context = contextvars.copy_context()
        context.run(_operator.set, self)
        self._loop: Loop | None = None
        self._task = asyncio.create_task(self._main(), context=context)

    async def _main(self) -> None:
        async with Kube(lambda: kopf.ConnectionInfo(server="http://kube")) as kube:
            self._loop = Loop(kube, _SETTINGS)
            await self._loop.run()

    async def goes_on(self) -> None:
        """Nothing goes on in a process that is frozen or dead."""
        while not self._runs.is_set():
            await self._runs.wait()

    def hear(self, event: str, plural: str, text: str) -> None:
        """The watch tells of a change, a little later."""
        if not self._watching or plural not in _KINDS:
            return
        loop = asyncio.get_running_loop()
        when = max(loop.time() + _WATCH_LAG, self.stale_until)
        loop.call_at(when, self._heard, event, plural, text)

    def _heard(self, event: str, plural: str, text: str) -> None:
        if self._loop is not None and self._alive and self._watching:
            self._loop.event(_KINDS[plural], event, json.loads(text))

    def freeze(self) -> None:
        """Cut off from the watch, and stopped until `thaw`."""
        self._watching = False
        self._runs.clear()

    def thaw(self) -> None:
        if self._alive:
            self._runs.set()

    def kill(self) -> None:
        """Nothing of what it knew or meant to do remains."""
        self._alive = False
        self._runs.clear()
        if self in self._world.operators:
            self._world.operators.remove(self)
        self._task.cancel()

    @property
    def failure(self) -> BaseException | None:
        """Why it ended by itself, if it did."""
        ended = self._alive and self._task.done() and not self._task.cancelled()
        return self._task.exception() if ended else None


class World:
    """Use `simulated()`, which sees to time and network."""

    def __init__(self, stock: int) -> None:
        self.kube = ApiServer(self._changed)
        self.paid = Paid(stock)
        self.livekit = LiveKit()
        self.zone = Zone()
        self.units = Units()
        self.operators: list[Operator] = []
        self.fault: Callable[[str], Fault | None] = lambda _name: None
        """Asked before each request what becomes of it."""
        self.log: list[str] = []
        self.overlapped = False
        """A leader that was replaced has gone on for a while."""
        self.client_ids: set[str] = set()
        """Every identity that a client ever had."""
        self._awaited: dict[str, asyncio.Event] = {}
        for name, data in _SECRETS.items():
            encoded = {k: base64.b64encode(v.encode()).decode() for k, v in data.items()}
            self.kube.create(
                "secrets", SYSTEM_NAMESPACE, {"metadata": {"name": name}, "data": encoded}
            )
        self.kube.create("namespaces", "", {"metadata": {"name": "default"}})

    # --- the controllers ----------------------------------------------------------------------

    def begin(self) -> None:
        """A fleet, what its receptionist says, and a controller."""
        self.kube.create("fleets", "", _fleet())
        self.greet("words", FIRST_WORDS)
        self.start()

    def start(self, *, stale: bool = False) -> None:
        """Start a controller."""
        self.operators.append(Operator(self, stale=stale))

    def restart(self, operator: Operator | None = None, *, stale: bool = False) -> None:
        """Kill it; another one comes up."""
        operator = operator or self.operators[0]
        operator.kill()
        self._replace(operator, stale=stale)

    def _replace(self, operator: Operator, *, stale: bool = False) -> None:
        if operator.leads:
            start = functools.partial(self.start, stale=stale)
            asyncio.get_running_loop().call_later(_RESTART, start)
        operator.leads = False

    def fail_over(self, operator: Operator) -> None:
        """It stands still and is replaced, goes on with what it knew, and then finds out."""
        loop = asyncio.get_running_loop()
        self.overlapped = True
        operator.freeze()
        self._replace(operator)
        loop.call_later(_STALE, operator.thaw)
        loop.call_later(_STALE + _NOTICE, operator.kill)

    def _changed(self, event: str, plural: str, obj: Object) -> None:
        text = json.dumps(obj)
        if client_id := (obj.get("status") or {}).get("clientID"):
            self.client_ids.add(client_id)
        for operator in self.operators:
            operator.hear(event, plural, text)

    # --- requests -----------------------------------------------------------------------------

    async def ask(self, request: Request) -> Any:
        """Carry a request out, or what a fault makes of it."""
        operator = _operator.get()
        await operator.goes_on()
        fault = self.fault(request.name)
        self.log.append(request.name)
        if seen := self._awaited.pop(request.name, None):
            seen.set()
        reply = await self._delivered(operator, request, fault)
        await operator.goes_on()
        return reply

    async def _delivered(self, operator: Operator, request: Request, fault: Fault | None) -> Any:
        loop = asyncio.get_running_loop()
        match fault:
            case Fault.KILLED_BEFORE:
                self.restart(operator)
                await operator.goes_on()
            case Fault.KILLED_LATE:
                loop.call_later(_LATE, request.carry_out)
                self.restart(operator)
                await operator.goes_on()
            case Fault.OLD_LEADER:
                self.fail_over(operator)
                await operator.goes_on()
            case Fault.TIMED_OUT:
                loop.call_later(request.time_limit + 1, request.carry_out)
                await asyncio.sleep(request.time_limit)
                return request.fail("timeout")
        await asyncio.sleep(_LATENCY)
        match fault:
            case Fault.THROTTLED:
                return request.fail("429")
            case Fault.FAILED:
                return request.fail("500")
            case Fault.RESET:
                return request.fail("reset")
        reply = request.carry_out()
        match fault:
            case Fault.KILLED_AFTER | Fault.STALE:
                self.restart(operator, stale=fault == Fault.STALE)
                await operator.goes_on()
            case Fault.REPLY_LOST:
                return request.fail("lost")
            case Fault.FAILED_AFTER:
                request.after()
                return request.fail("500")
        await asyncio.sleep(_LATENCY)
        return reply

    async def http(self, method: str, url: str, **kwargs: Any) -> Reply:
        """What aiohttp is asked for."""
        method = method.upper()
        host, path = urlsplit(url).hostname, urlsplit(url).path
        data, params = kwargs.get("data"), kwargs.get("params") or {}
        headers = {k.lower(): v for k, v in (kwargs.get("headers") or {}).items()}
        after: Callable[[], Any] = lambda: None  # noqa: E731
        if host == "kube":
            name, carry_out = f"kube {method} {path}", lambda: self._kube(method, path, data)
        elif host == "livekit":
            verb = path.rpartition("/")[2]
            name, carry_out = f"livekit {verb}", lambda: self.livekit.handle(verb, data)
        elif path.startswith("/stripe"):
            settling = "?created" if "created" in urlsplit(url).query else ""
            name = f"stripe {method} {path.removeprefix('/stripe')}{settling}"
            call = (method, url, data, headers.get("idempotency-key"))
            carry_out = functools.partial(self.paid.stripe, *call)
            after = functools.partial(self.paid.stripe_failed, *call)
        elif path.startswith("/elevenlabs"):
            below = path.removeprefix("/elevenlabs")
            name = f"elevenlabs {method} {_VOICE.sub('/voices/*', below)}"
            carry_out = functools.partial(self.paid.elevenlabs, method, below, params, data)
        else:
            below = re.sub(r"^/twilio/(api|trunking)", "", path)
            name = f"twilio {method} {below}"
            carry_out = functools.partial(
                self.paid.twilio, method, below, {**params, **(data or {})}
            )
        request = Request(_short(name), carry_out, fail_http, after, kwargs["time_limit"])
        reply: Reply = await self.ask(request)
        return reply

    def _kube(self, method: str, path: str, data: bytes | None) -> Reply:
        plural = path.rpartition("/")[2]
        operator = _operator.get(None)
        try:
            if method == "GET" and plural in _KINDS and operator and operator.stale_until:
                answer = self._listed_late(operator, plural)
            else:
                answer = self.kube.handle(method, path, json.loads(data) if data else None)
        except Refused as error:
            return Reply(error.status, json.dumps({"message": str(error)}).encode())
        return Reply(200, json.dumps(answer).encode())

    def _listed_late(self, operator: Operator, plural: str) -> Object:
        """A listing from a cache that lags; the watch makes up for it in a while."""
        if asyncio.get_running_loop().time() >= operator.stale_until:
            operator.stale_until = 0.0
            return {"items": self.kube.all(plural), "metadata": {}}
        for obj in (old := self.kube.one_write_ago(plural)):
            meta = obj["metadata"]
            if self.kube.get(plural, meta["name"], meta.get("namespace", "")) is None:
                operator.hear("DELETED", plural, json.dumps(obj))
        for obj in self.kube.all(plural):
            operator.hear("MODIFIED", plural, json.dumps(obj))
        return {"items": old, "metadata": {}}

    async def update(self, message: dns.update.UpdateMessage, *_: Any, **__: Any) -> Any:
        """What dnspython is asked to send."""
        carry_out = functools.partial(self.zone.update, message)
        return await self.ask(Request("dns update", carry_out, fail_update))

    async def transfer(self, _address: str, zone: dns.zone.Zone, *_: Any, **__: Any) -> None:
        """What dnspython is asked to fetch."""
        carry_out = functools.partial(self.zone.transfer, zone)
        await self.ask(Request("dns transfer", carry_out, fail_transfer))

    async def until(self, name: str, seconds: float = 60.0) -> None:
        """Wait for the next request of that name to be sent, or some time."""
        seen = self._awaited.setdefault(name, asyncio.Event())
        try:
            async with asyncio.timeout(seconds):
                await seen.wait()
        except TimeoutError:
            self._awaited.pop(name, None)

    # --- people -------------------------------------------------------------------------------

    def apply(self, name: str, **spec: Any) -> None:
        """Create a client, or change it."""
        if (obj := self.client(name)) is not None:
            where = ("voiceclients", "default", name)
            self.kube.write(where, {}, {"spec": merged(obj["spec"], spec)})
            return
        self.kube.create(
            "voiceclients",
            "default",
            voice_client(name, **merged(_CLIENT, spec), dns={"subdomain": name}),
        )

    def client(self, name: str) -> Object | None:
        """A client as the API server has it."""
        return self.kube.get("voiceclients", name, "default")

    def delete(self, name: str) -> None:
        """Delete a client."""
        if self.client(name) is not None:
            self.kube.delete(("voiceclients", "default", name))

    def greet(self, name: str, words: str) -> None:
        """Write the Receptionist of that name anew."""
        where = ("receptionists", "default", name)
        if self.kube.get("receptionists", name, "default") is not None:
            self.kube.write(where, {}, {"spec": {"greeting": words}})
            return
        body = {"metadata": {"name": name}, "spec": {"greeting": words}}
        self.kube.create("receptionists", "default", body)

    def own_voice(self, recording: str) -> None:
        """The fleet has an account for voices, the Receptionist a recording, and consent."""
        content = base64.b64encode(f"fLaC{recording}".encode()).decode()
        data, where = {"data": {"sample.flac": content}}, ("secrets", "default", "ada")
        if self.kube.get("secrets", "ada", "default") is not None:
            self.kube.write(where, {}, data)
            return
        self.kube.create("secrets", "default", {"metadata": {"name": "ada"}, **data})
        secret = {"namespace": SYSTEM_NAMESPACE, "name": "credentials"}
        account = {"name": "main", "mode": "Sandbox", "secretRef": secret}
        voices = {"spec": {"voices": {"accounts": [account]}}}
        self.kube.write(("fleets", "", "default"), {}, voices)
        consent = {"givenBy": "Ada", "givenAt": "2026-01-31T12:00:00Z", "statement": "Yes."}
        clone = {"sampleRef": {"name": "ada", "key": "sample.flac"}, "consent": consent}
        words = {"spec": {"voice": {"clone": clone}}}
        self.kube.write(("receptionists", "default", "words"), {}, words)

    def encrypt(self, secure: bool) -> None:
        """Calls come by TLS and SRTP from now on, or in the clear again."""
        uri = f"sip:192.0.2.1:5060{';transport=tls' if secure else ''}"
        line = {"spec": {"telephony": {"secure": secure, "originationURIs": [uri]}}}
        self.kube.write(("fleets", "", "default"), {}, line)

    def cancel_in_stripe(self) -> None:
        """Somebody cancels every subscription in Stripe's dashboard."""
        for subscription in self.paid.listed("subscription"):
            if subscription["status"] != "canceled":
                url = f"/stripe/v1/subscriptions/{subscription['id']}"
                self.paid.stripe("DELETE", url, None, None)

    def release_in_twilio(self) -> None:
        """Somebody releases every number in Twilio's console."""
        for number in self.paid.listed("number"):
            path = f"/2010-04-01/Accounts/{ACCOUNT}/IncomingPhoneNumbers/{number['sid']}.json"
            self.paid.twilio("DELETE", path, {})


def numbers(*names: str) -> Object:
    """A line with these numbers."""
    request = {"country": "US", "areaCode": "415"}
    return {"numbers": [{"name": name, "request": request} for name in names]}


_CLIENT = {
    "plan": "Small",
    "receptionistRef": {"name": "words"},
    "telephony": {**numbers("main"), "fallback": {"forwardTo": "+14155550199"}},
    "billing": {"collection": "Invoice", "activation": "Immediately", "onDelete": "Now"},
}
_SECRETS = {
    "credentials": {
        "apiKey": "sk_test_simulated", "accountSID": ACCOUNT, "authToken": "token",
        "speechKey": "sk_simulated_speech", "apiSecret": "s" * 32, "name": "key",
        "secret": "c2VjcmV0",
    },
}  # fmt: skip


def _fleet() -> Object:
    secret = {"namespace": SYSTEM_NAMESPACE, "name": "credentials"}
    return fleet(
        "default",
        plans=[{"name": name, "monthlyPriceMinor": price} for name, price in PLANS.items()],
        sandbox={"url": "http://sandbox"},
        telephony={"voiceWebhookURL": "https://voice.fleet.test"},
        livekit={
            "url": "http://livekit", "agentURL": "ws://livekit", "secretRef": secret,
            "overflowAgent": OVERFLOW_AGENT,
        },
        dns={
            "zone": "agents.test", "server": "192.0.2.53", "port": 53,
            "tsigSecretRef": secret, "target": "192.0.2.1",
        },
        runtime={"className": "process"},
    )  # fmt: skip


_GROUP = re.compile(r"/apis/voicefleet.dev/v1alpha1/|/api/v1/|/2010-04-01/Accounts/")
_IDS = re.compile(r"vf-\w{8}|\b(?:vc-|(?:cus|sub|si|price|cs)_|PN|TK|OU|AC|CL|CR)\w{6,}")
_VOICE = re.compile(r"/voices/(?!add)\w+")
_NAMES = re.compile(r"(voiceclients|phonenumbers)/[^/]+")


def _short(name: str) -> str:
    name = _IDS.sub("*", _GROUP.sub("", name)).replace("namespaces/default/", "")
    return _NAMES.sub(r"\1/*", name)


@contextmanager
def simulated(stock: int = 9) -> Iterator[World]:
    """A world inside a running loop, and no network beside it."""
    world = World(stock)

    def runtime(*_: object, **__: object) -> Runtime:
        return _operator.get().runtime

    with (
        no_network(world.http, world.update, world.transfer),
        mock.patch("voicefleet_operator.reconcilers.common.make_runtime", runtime),
    ):
        yield world
