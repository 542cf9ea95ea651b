"""What the outside world holds, as plain data: drivers return it, the planner reads it.

Nothing here talks to anybody. Amounts are in the smallest unit of the currency.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.dispatch import agent_names
from voicefleet_api.fleet import KubernetesConfig
from voicefleet_operator.planning.indexed import Indexed


@dataclass(frozen=True, slots=True)
class Mark:
    """Who owns an external thing (design, "Identity")."""

    fleet_id: str
    client_id: str
    namespace: str
    name: str

    @property
    def owner(self) -> tuple[str, str]:
        """The client, under whatever name: by this its things are found in a listing."""
        return self.fleet_id, self.client_id

    def owns(self, other: Mark | None) -> bool:
        """Whether a thing with that mark is this client's, under whatever name it once had."""
        return other is not None and other.owner == self.owner


class Marked(Protocol):
    """A thing that can carry our mark."""

    @property
    def mark(self) -> Mark | None:
        """Its owner, if it is one of ours."""


def _owner(thing: Marked) -> Iterable[Hashable]:
    return () if thing.mark is None else (thing.mark.owner,)


# --- billing (Stripe) -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Customer:
    """A Stripe customer."""

    id: str
    name: str
    email: str | None
    mark: Mark | None
    numbers: frozenset[str] = frozenset()
    """Phone numbers (E.164) that its phone and metadata name."""


@dataclass(frozen=True, slots=True)
class Invoice:
    """A subscription's latest invoice."""

    id: str
    status: str
    """As Stripe says: draft, open, paid, uncollectible, void."""
    refundable_minor: int
    """What was paid through Stripe and not given back yet, in cents."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A Stripe subscription with its one item."""

    id: str
    customer_id: str
    status: str
    """As Stripe says: incomplete, trialing, active, past_due, canceled, unpaid, paused."""
    item_id: str
    price_id: str
    cancel_at_period_end: bool
    paid: bool
    """The first invoice is paid, or the trial has begun."""
    mark: Mark | None
    price_minor: int = 0
    """What the customer pays a month, in cents."""
    currency: str = ""
    like_a_plan: bool = True
    """One item, once, billed each month: what a plan of ours is."""
    charges_card: bool = False
    """Charged automatically, not by an invoice that is sent."""
    invoice: Invoice | None = None

    @property
    def live(self) -> bool:
        """Whether it is still there to be changed or cancelled."""
        return self.status not in ("canceled", "incomplete_expired")

    @property
    def price(self) -> tuple[int, str] | None:
        """Amount a month and currency; None where it is not billed as a plan is."""
        return (self.price_minor, self.currency) if self.like_a_plan else None

    @property
    def price_words(self) -> str:
        """The price, for people."""
        amount = f"{self.price_minor / 100:.2f} {self.currency}"
        return f"{amount} a month" if self.like_a_plan else "not by one item a month"


@dataclass(frozen=True, slots=True)
class CheckoutSession:
    """A Stripe Checkout session in mode `subscription`."""

    id: str
    url: str | None
    status: str
    """open, complete or expired."""
    price_id: str | None
    subscription_id: str | None
    mark: Mark | None


@dataclass(slots=True)
class BillingInventory:
    """Everything in one Stripe account that carries this fleet's mark, by Stripe's id or by owner.

    Subscriptions of every status are in it; of Checkout sessions the open ones.
    """

    customers: Indexed[str, Customer] = field(default_factory=lambda: Indexed(_owner))
    subscriptions: Indexed[str, Subscription] = field(default_factory=lambda: Indexed(_owner))
    checkouts: Indexed[str, CheckoutSession] = field(default_factory=lambda: Indexed(_owner))


# --- telephony (Twilio) -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CarrierNumber:
    """A number the carrier account holds (IncomingPhoneNumber)."""

    sid: str
    e164: str
    friendly_name: str
    trunk_sid: str | None
    voice_url: str | None
    """Instructions for its calls, which count where it is on no trunk,"""
    voice_fallback_url: str | None = None
    """and those for when they, or what they lead to, cannot be had."""


@dataclass(frozen=True, slots=True)
class OriginationURL:
    """Where the carrier sends a trunk's calls; lowest priority number first."""

    sid: str
    sip_url: str
    priority: int
    weight: int
    enabled: bool


@dataclass(frozen=True, slots=True)
class CarrierTrunk:
    """An Elastic SIP trunk."""

    sid: str
    friendly_name: str
    domain_name: str
    disaster_recovery_url: str | None
    origination: tuple[OriginationURL, ...] | None
    """None: not read; a listing of trunks does not hold them."""
    transfers: bool = False
    """Whether we may have a caller connected elsewhere (SIP REFER)."""
    calls_out: bool = False
    """Whether a user and password let calls out over it."""
    secure: bool = False
    """Whether its calls are TLS and SRTP."""


@dataclass(slots=True)
class TelephonyInventory:
    """One Twilio account: all its numbers, and the trunks with this fleet's mark, by SID.

    Numbers are also found by E.164 and by friendly name, trunks by friendly name.
    """

    numbers: Indexed[str, CarrierNumber] = field(
        default_factory=lambda: Indexed(lambda number: (number.e164, number.friendly_name))
    )
    trunks: Indexed[str, CarrierTrunk] = field(
        default_factory=lambda: Indexed(lambda trunk: (trunk.friendly_name,))
    )
    outbound_user: str = ""
    """Who may call out over the fleet's trunks; empty where that is not in order."""


# --- LiveKit ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class InboundTrunk:
    """A LiveKit SIP inbound trunk."""

    id: str
    numbers: frozenset[str]
    allowed_addresses: frozenset[str]
    max_call_seconds: int
    mark: Mark | None
    secure: bool = False
    """Whether it takes calls with SRTP alone."""


@dataclass(frozen=True, slots=True)
class OutboundTrunk:
    """A LiveKit SIP outbound trunk: a client's way out over the carrier's trunk."""

    id: str
    address: str
    numbers: frozenset[str]
    """That calls over it may show."""
    username: str
    mark: Mark | None
    secure: bool = False
    """Whether its calls are TLS and SRTP."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A second agent that a rule names: a new version with a share of the callers."""

    agent_name: str
    percent: int
    revision: str
    """Deals the callers anew for each version."""


@dataclass(frozen=True, slots=True)
class DispatchRule:
    """A LiveKit SIP dispatch rule that sends a trunk's calls to an agent, or to two by caller,
    and to the overflow agent where none of them joins."""

    id: str
    trunk_ids: frozenset[str]
    agent_name: str | None
    mark: Mark | None
    candidate: Candidate | None = None
    overflow: AgentConfig | None = None
    """What the overflow agent is told, and its name."""


@dataclass(slots=True)
class RoutingInventory:
    """LiveKit's SIP objects that carry this fleet's mark, by LiveKit's id or by owner."""

    trunks: Indexed[str, InboundTrunk] = field(default_factory=lambda: Indexed(_owner))
    rules: Indexed[str, DispatchRule] = field(default_factory=lambda: Indexed(_owner))
    outbound: Indexed[str, OutboundTrunk] = field(default_factory=lambda: Indexed(_owner))


# --- voices (ElevenLabs) ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClonedVoice:
    """A voice that was made of a client's recording."""

    id: str
    sample: str
    """The beginning of the recording's SHA-256, in hexadecimal digits (`sample_mark`)."""
    mark: Mark | None


def sample_mark(sha256: str) -> str:
    """As much of a recording's hash as a voice's name has room for."""
    return sha256[:32]


def cloned_voices(voices: Iterable[ClonedVoice]) -> Indexed[str, ClonedVoice]:
    """Voices by the vendor's id or by owner."""
    found: Indexed[str, ClonedVoice] = Indexed(_owner)
    for voice in voices:
        found[voice.id] = voice
    return found


# --- DNS --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DNSName:
    """A name in the zone and what it points at."""

    label: str
    rtype: str
    """A, AAAA or CNAME."""
    value: str
    ttl: int
    mark: Mark | None
    """From the ownership TXT record; None where the name is somebody else's."""


def dns_names(names: Iterable[DNSName]) -> Indexed[str, DNSName]:
    """Names by label or by owner."""
    found: Indexed[str, DNSName] = Indexed(_owner)
    for name in names:
        found[name.label] = name
    return found


# --- runtime ----------------------------------------------------------------------------------


class Slot(StrEnum):
    """A client has a second place for an agent, so that a new version starts beside the old."""

    BLUE = "blue"
    GREEN = "green"

    @property
    def other(self) -> Slot:
        """The other one."""
        return Slot.GREEN if self == Slot.BLUE else Slot.BLUE


_GREEN = "green-"


def unit_id(client_id: str, slot: Slot) -> str:
    """How a runtime driver knows a unit."""
    return client_id if slot == Slot.BLUE else f"{_GREEN}{client_id}"


def client_of(unit_id: str) -> tuple[str, Slot]:
    """Whose unit it is, and which one."""
    slot = Slot.GREEN if unit_id.startswith(_GREEN) else Slot.BLUE
    return unit_id.removeprefix(_GREEN), slot


def agent_name(client_id: str, slot: Slot) -> str:
    """Name that the agent in that place registers under in LiveKit."""
    blue, green = agent_names(client_id)
    return blue if slot == Slot.BLUE else green


@dataclass(frozen=True, slots=True)
class AgentHealth:
    """What a unit's health page says."""

    registered: bool
    """The worker is registered with LiveKit: a call dispatched now would be taken."""
    started_at: float = 0.0
    """Of the worker's process, in seconds since the epoch; its calls are counted from then on."""
    active_calls: int = 0
    ended_calls: int = 0
    failed_calls: int = 0
    answer_ms: float | None = None
    """Median wait for an answer, over the last calls."""


@dataclass(frozen=True, slots=True)
class AgentUnit:
    """A client's isolated unit (pod or process)."""

    client_id: str
    spec_hash: str
    """Of what only a restart can change: image, limits, addresses."""
    config_hash: str
    """Of the agent's configuration file, which is reloaded while it runs."""
    running: bool
    registered: bool
    """The worker is registered with LiveKit: a call dispatched now would be taken."""
    message: str = ""
    health: AgentHealth | None = None
    """None where its page does not answer."""


@dataclass(frozen=True, slots=True)
class UnitSpec:
    """What a runtime driver is asked to run."""

    client_id: str
    mark: Mark
    config_json: str
    """`AgentConfig` as canonical JSON."""
    memory_mib: int
    secrets: Mapping[str, str] = field(repr=False)
    """Environment variables that are secret, the client's own all of them."""
    slot: Slot = Slot.BLUE
    kubernetes: KubernetesConfig = field(default_factory=KubernetesConfig)
    """Where the runtime class is that one."""

    @property
    def unit_id(self) -> str:
        """How the driver knows it."""
        return unit_id(self.client_id, self.slot)


# --- Kubernetes -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NumberObject:
    """A PhoneNumber object, as far as its client is concerned."""

    name: str
    number: str
    """Key in the client's spec.telephony.numbers."""
    phase: str
    e164: str | None
    sid: str | None
    reclaim_policy: str
    monthly_cost_minor: int
    reason: str = ""
    message: str = ""
    stalled: bool = False
    paused: bool = False
    """A person has asked that the number be left alone."""


class Verdict(StrEnum):
    """Whether a new version is to have all callers; from its calls, or as remembered."""

    OPEN = "Open"
    GOOD = "Good"
    BAD = "Bad"


# --- all of one client ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that exists for one client."""

    activated: bool = False
    """The gate of `billing.activation` has been passed once; it does not close again."""
    customer: Customer | None = None
    subscription: Subscription | None = None
    checkout: CheckoutSession | None = None
    numbers: tuple[NumberObject, ...] = ()
    spare: Mapping[str, str] = field(default_factory=dict)
    """Number key -> name of a free PhoneNumber object that this client may have."""
    carrier_numbers: Mapping[str, CarrierNumber] = field(default_factory=dict)
    """By E.164."""
    carrier_trunk: CarrierTrunk | None = None
    inbound_trunks: tuple[InboundTrunk, ...] = ()
    rules: tuple[DispatchRule, ...] = ()
    outbound_trunks: tuple[OutboundTrunk, ...] = ()
    outbound_user: str = ""
    """Who may call out over it; empty where that is not in order at the carrier."""
    voices: tuple[ClonedVoice, ...] = ()
    """While the vendor does not answer, the one that is known."""
    voices_unseen: tuple[str, str] | None = None
    """Why the vendor of voices could not be asked: reason and message."""
    names: tuple[DNSName, ...] = ()
    live: Slot = Slot.BLUE
    """Where the agent is whom callers reach: by the rule."""
    units: Mapping[str, AgentUnit] = field(default_factory=dict)
    """The agent there, by runtime class."""
    beside: Mapping[str, AgentUnit] = field(default_factory=dict)
    """The one in the other place: a new version, or one that ends its calls."""
    verdict: Verdict = Verdict.OPEN
    """On the new version that is wanted."""
    verdict_message: str = ""
    moved_seconds: float = 0.0
    """For how long callers have been led away from the agent in the other place."""
