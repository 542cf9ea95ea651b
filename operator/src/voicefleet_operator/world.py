"""The fleet's accounts: drivers and what they last listed.

Every vendor is listed whole (pages, not one request a client); our own writes keep the listing
true in between; `forget` makes the next reader list again, after an outcome that nobody knows.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from voicefleet_api.fleet import FleetSpec
from voicefleet_operator.drivers.dns import DNSDriver
from voicefleet_operator.drivers.elevenlabs import ElevenLabsDriver
from voicefleet_operator.drivers.errors import VendorError
from voicefleet_operator.drivers.guard import Guards
from voicefleet_operator.drivers.livekit import LiveKitDriver
from voicefleet_operator.drivers.runtime.base import RuntimeDriver
from voicefleet_operator.drivers.stripe import StripeDriver
from voicefleet_operator.drivers.twilio import TwilioDriver
from voicefleet_operator.kube import KubeError
from voicefleet_operator.offers import Offers
from voicefleet_operator.planning.indexed import Indexed
from voicefleet_operator.planning.observed import (
    AgentUnit,
    BillingInventory,
    ClonedVoice,
    DNSName,
    RoutingInventory,
    TelephonyInventory,
)

logger = logging.getLogger(__name__)

_VOICES_REST = 10.0
"""Seconds: every client looks for its voice, and none is to wait for a vendor that is silent."""

D = TypeVar("D")
I = TypeVar("I")  # noqa: E741


def _now() -> float:
    return asyncio.get_running_loop().time()


class Listed(Generic[D, I]):
    """A driver and the newest listing of what it manages, which is shared by all clients."""

    def __init__(
        self, driver: D, list_all: Callable[[], Awaitable[I]], *, rest: float = 0.0
    ) -> None:
        """`rest`: seconds for which a listing that has failed is not tried again."""
        self.driver = driver
        self._rest = rest
        self._failure: VendorError | None = None
        self._next_try = 0.0
        self._list_all = list_all
        self._listing: I | None = None
        self._made_at = 0.0
        self._lock = asyncio.Lock()

    async def listing(self) -> I:
        """The listing; made now if there is none. Callers may add what they have just written.

        Raises what the last try has raised, while that rests or somebody else tries again.
        """
        if self._failure is not None and self._lock.locked():
            raise self._failure.with_traceback(None)
        async with self._lock:
            if self._listing is None:
                if self._failure is not None and _now() < self._next_try:
                    raise self._failure.with_traceback(None)
                self._made_at = _now()
                self._listing = await self._try()
            return self._listing

    async def _try(self) -> I:
        try:
            made = await self._list_all()
        except VendorError as error:
            if self._rest:
                self._failure, self._next_try = error, _now() + self._rest
            raise
        self._failure = None
        return made

    @property
    def age(self) -> float:
        """Seconds since the newest listing was begun."""
        return _now() - self._made_at

    def forget(self, *, older_than: float = 0.0) -> None:
        """The listing may be wrong, if it is older than so many seconds: the next one is new."""
        if self.age >= older_than:
            self._listing = None


Billing = Listed[StripeDriver, BillingInventory]
Telephony = Listed[TwilioDriver, TelephonyInventory]
Routing = Listed[LiveKitDriver, RoutingInventory]
Voices = Listed[ElevenLabsDriver, Indexed[str, ClonedVoice]]
Names = Listed[DNSDriver, Indexed[str, DNSName]]
Runtime = Listed[RuntimeDriver, dict[str, AgentUnit]]


@dataclass
class World:
    """Everything outside Kubernetes that one Fleet has; made anew when its spec changes."""

    fleet_id: str
    spec: FleetSpec
    billing: dict[str, Billing] = field(default_factory=dict)
    telephony: dict[str, Telephony] = field(default_factory=dict)
    voices: dict[str, Voices] = field(default_factory=dict)
    routing: Routing | None = None
    names: Names | None = None
    speech_keys: dict[str, str] = field(default_factory=dict, repr=False)
    """By voices account: what its voices speak with."""
    unusable: dict[str, str] = field(default_factory=dict)
    """By voices account that is left out: what is wrong with its Secret."""
    offers: dict[str, Offers] = field(default_factory=dict)
    """By telephony account."""

    def all_listed(self) -> list[Listed[object, object]]:
        """All that can be listed, for the sweep."""
        optional = [listed for listed in (self.routing, self.names) if listed is not None]
        accounts = [*self.billing.values(), *self.telephony.values(), *self.voices.values()]
        return [*accounts, *optional]  # type: ignore[list-item]

    async def close(self) -> None:
        """Close every driver's connections."""
        for listed in self.all_listed():
            await listed.driver.close()  # type: ignore[attr-defined]


SecretReader = Callable[[str, str], Awaitable[dict[str, str]]]
"""(namespace, name) -> decoded data."""


async def build_world(
    fleet_id: str, spec: FleetSpec, read_secret: SecretReader, guards: Guards | None = None
) -> World:
    """Make the drivers; raises `KubeError` where a Secret is missing, `ValueError` on a bad one.

    Voices alone are left out instead (`add_voices`).
    """
    guards = guards or Guards()
    world = World(fleet_id, spec)
    sandbox = spec.sandbox.url if spec.sandbox else None
    for billing in spec.billing.accounts if spec.billing else []:
        key = _need(await read_secret(*_ref(billing.secret_ref)), "apiKey", billing.name)
        _check_stripe_mode(billing.mode, key, billing.name)
        stripe = StripeDriver(
            key,
            base_url=sandbox if billing.mode == "Sandbox" else None,
            fleet_id=fleet_id,
            guard=guards.of("stripe", key, live=billing.mode == "Live"),
        )
        world.billing[billing.name] = Listed(stripe, stripe.inventory)
    for account in spec.telephony.accounts if spec.telephony else []:
        data = await read_secret(*_ref(account.secret_ref))
        account_sid = _need(data, "accountSID", account.name)
        twilio = TwilioDriver(
            account_sid,
            auth_token=data.get("authToken"),
            api_key_sid=data.get("apiKeySID"),
            api_key_secret=data.get("apiKeySecret"),
            base_url=sandbox if account.mode == "Sandbox" else None,
            fleet_id=fleet_id,
            guard=guards.of("twilio", account_sid, live=account.mode == "Live"),
        )
        world.telephony[account.name] = Listed(twilio, twilio.inventory)
        world.offers[account.name] = Offers(twilio)
    await add_voices(world, read_secret, guards)
    if spec.livekit is not None:
        data = await read_secret(*_ref(spec.livekit.secret_ref))
        key, secret = _need(data, "apiKey", "livekit"), _need(data, "apiSecret", "livekit")
        guard = guards.of("livekit", spec.livekit.url)
        livekit = LiveKitDriver(spec.livekit.url, key, secret, fleet_id=fleet_id, guard=guard)
        world.routing = Listed(livekit, livekit.inventory)
    if spec.dns is not None:
        data = await read_secret(*_ref(spec.dns.tsig_secret_ref))
        dns = DNSDriver(
            server=spec.dns.server,
            port=spec.dns.port,
            zone=spec.dns.zone,
            tsig_name=_need(data, "name", "dns"),
            tsig_algorithm=data.get("algorithm", "hmac-sha256"),
            tsig_secret=_need(data, "secret", "dns"),
            fleet_id=fleet_id,
            guard=guards.of("dns", f"{spec.dns.server}:{spec.dns.port}"),
        )
        world.names = Listed(dns, dns.inventory)
    return world


async def add_voices(world: World, read_secret: SecretReader, guards: Guards) -> None:
    """Make the drivers of voices that are not there yet, where their Secrets can be used.

    Why not, where they cannot, is in `world.unusable`: no call waits for a voice. Raises
    `KubeError` where nothing is known of a Secret.
    """
    spec = world.spec
    for account in spec.voices.accounts if spec.voices else []:
        if account.name in world.voices:
            continue
        try:
            data = await read_secret(*_ref(account.secret_ref))
            key = _need(data, "apiKey", account.name)
            speech_key = _need(data, "speechKey", account.name)
        except (KubeError, ValueError) as error:
            if isinstance(error, KubeError) and error.status not in (403, 404):
                raise
            world.unusable[account.name] = f"Fleet spec.voices, account {account.name!r}: {error}"
            continue
        if account.name in world.voices:  # another reconciliation has been faster
            continue
        driver = ElevenLabsDriver(
            key,
            base_url=spec.sandbox.url if spec.sandbox and account.mode == "Sandbox" else None,
            fleet_id=world.fleet_id,
            guard=guards.of("elevenlabs", key),
        )
        world.voices[account.name] = Listed(driver, driver.inventory, rest=_VOICES_REST)
        world.speech_keys[account.name] = speech_key
        world.unusable.pop(account.name, None)


def _ref(ref: object) -> tuple[str, str]:
    return ref.namespace, ref.name  # type: ignore[attr-defined]


def _need(data: dict[str, str], key: str, owner: str) -> str:
    if not data.get(key):
        raise ValueError(f"the Secret of {owner} has no key {key!r}")
    return data[key].strip()


def _check_stripe_mode(mode: str, key: str, owner: str) -> None:
    """A live key never meets the sandbox, and a test key never passes for live."""
    live = key.startswith(("sk_live_", "rk_live_"))
    if live != (mode == "Live"):
        kind = "live" if live else "test"
        raise ValueError(f"billing account {owner} has mode {mode} but its key is a {kind} key")
