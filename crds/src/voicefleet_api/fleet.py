"""`Fleet`: the accounts, plans and defaults that an agency's clients share (cluster-scoped)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from voicefleet_api import rules
from voicefleet_api.base import ApiModel, StatusModel
from voicefleet_api.meta import Condition, ObjectName, Operation, SecretRef
from voicefleet_api.names import DNS_LABEL_PATTERN, DNS_ZONE_PATTERN

Mode = Literal["Sandbox", "Live"]
Minor = Annotated[int, Field(ge=0, le=100_000_000)]
PlanName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=32,
        pattern=r"^[A-Za-z][A-Za-z0-9-]*$",
        json_schema_extra=rules.PLAN_NAME,
    ),
]
OriginationURI = Annotated[
    str,
    Field(
        max_length=256,
        pattern=r"^sips?:.+$",
        json_schema_extra=rules.SIP_URI,
        description="A SIP address, sip:host:port.",
    ),
]
CarrierNetwork = Annotated[
    str,
    Field(
        max_length=64,
        json_schema_extra=rules.CARRIER_NETWORK,
        description="A network, address/prefix length.",
    ),
]
HTTPAddress = Annotated[
    str, Field(max_length=256, pattern=r"^https?://", json_schema_extra=rules.HTTP_URL)
]
SIPAddress = Annotated[
    str,
    Field(max_length=128, pattern=r"^[^:/@\s]+:[0-9]+$", json_schema_extra=rules.SIP_ADDRESS),
]
OverflowAgent = Annotated[
    str,
    Field(
        min_length=1,
        max_length=63,
        pattern=DNS_LABEL_PATTERN,
        json_schema_extra=rules.OVERFLOW_AGENT,
    ),
]
RuntimeClass = Literal["podman", "kubernetes", "process", "stub"]
Image = Annotated[
    str,
    Field(
        max_length=256,
        pattern=r"^\S+(:[\w.-]+|@sha256:[0-9a-f]{64})$",
        json_schema_extra=rules.IMAGE,
    ),
]
EgressNetwork = Annotated[str, Field(max_length=64, json_schema_extra=rules.EGRESS_NETWORK)]
LabelValue = Annotated[str, Field(max_length=63, description="Value of the label.")]
PriceID = Annotated[str, Field(max_length=64, description="Id of the price, price_….")]


class Plan(ApiModel):
    """What a client can be sold (seed, "Pricing Tiers")."""

    name: PlanName = Field(description="Name of the plan, as clients write it in spec.plan.")
    monthly_price_minor: Minor = Field(
        description="Price a month in the smallest unit of the currency (cents)."
    )
    currency: str = Field(
        default="usd",
        max_length=16,
        pattern=r"^[a-z]{3}$",
        json_schema_extra=rules.CURRENCY,
        description="ISO 4217 code; the same in all plans of a fleet.",
    )
    included_minutes: int | None = Field(
        default=None, ge=0, le=10_000_000, description="Call minutes included; unset is unlimited."
    )
    max_numbers: int | None = Field(
        default=None, ge=0, le=1000, description="Phone numbers included; unset is unlimited."
    )
    white_label: bool = Field(default=False, description="Whether the agency's brand is hidden.")


class BillingAccount(ApiModel):
    """A Stripe account."""

    name: ObjectName = Field(description="Name that clients use in spec.accounts.billing.")
    mode: Mode = Field(description="Sandbox rehearses; Live charges real money.")
    secret_ref: SecretRef = Field(
        description="Secret with key `apiKey` (a restricted key will do; see going-live)."
    )


class TelephonyAccount(ApiModel):
    """A Twilio account or sub-account."""

    name: ObjectName = Field(description="Name that clients use in spec.accounts.telephony.")
    mode: Mode = Field(description="Sandbox rehearses; Live buys real numbers.")
    secret_ref: SecretRef = Field(
        description="Secret with keys `accountSID` and `authToken`, or `apiKeySID`/`apiKeySecret`."
    )
    monthly_number_cost_minor: Minor = Field(
        default=115, description="What the carrier bills for one number a month, in cents."
    )
    monthly_spending_cap_minor: Minor = Field(
        description="Numbers are bought only while their monthly cost stays within this, in cents."
    )


class BillingConfig(ApiModel):
    """Where money comes in."""

    accounts: list[BillingAccount] = Field(
        default_factory=list,
        max_length=16,
        description="Stripe accounts.",
        json_schema_extra=rules.named_map(),
    )


class TelephonyConfig(ApiModel):
    """Where calls come in."""

    model_config = ConfigDict(json_schema_extra=rules.TELEPHONY_CONFIG)

    accounts: list[TelephonyAccount] = Field(
        default_factory=list,
        max_length=16,
        description="Twilio accounts.",
        json_schema_extra=rules.named_map(),
    )
    origination_uris: list[OriginationURI] = Field(
        min_length=1,
        max_length=10,
        description="SIP addresses that the carrier sends calls to, preferred first"
        " (sip:host:5060): our SIP edge, or the SIP bridges.",
    )
    carrier_networks: list[CarrierNetwork] = Field(
        min_length=1,
        max_length=64,
        description="Networks (CIDR) that calls reach the SIP bridges from: our SIP edge's, or the"
        " carrier's where there is none; all others are refused.",
    )
    secure: bool = Field(
        default=False,
        description="Whether calls are encrypted on their way between the carrier and us, both"
        " signalling (TLS) and sound (SRTP); others are refused then, as are clients with ingress"
        " ProgrammableVoice.",
    )
    voice_webhook_url: HTTPAddress | None = Field(
        default=None,
        description="Address at which the carrier reaches our voice webhook, which clients with"
        " ingress ProgrammableVoice need.",
    )
    quarantine_days: int = Field(
        default=30,
        ge=0,
        le=365,
        description="How long a retained number may go back only to the client it came from.",
    )


class VoiceAccount(ApiModel):
    """An ElevenLabs account (a workspace)."""

    name: ObjectName = Field(description="Name that clients use in spec.accounts.voices.")
    mode: Mode = Field(description="Sandbox rehearses; Live makes voices with the vendor.")
    secret_ref: SecretRef = Field(
        description="Secret with keys `apiKey`, which makes, lists and deletes voices, and"
        " `speechKey`, which only speaks and is all that pods are given."
    )


class VoicesConfig(ApiModel):
    """Where clients' own voices are made."""

    accounts: list[VoiceAccount] = Field(
        default_factory=list,
        max_length=16,
        description="ElevenLabs accounts.",
        json_schema_extra=rules.named_map(),
    )


class LiveKitConfig(ApiModel):
    """The LiveKit server that carries the calls."""

    url: str = Field(
        max_length=256,
        pattern=r"^(http|ws)s?://",
        json_schema_extra=rules.HTTP_OR_WS_URL,
        description="Address of LiveKit's API as the controller reaches it.",
    )
    agent_url: str = Field(
        max_length=256,
        pattern=r"^wss?://",
        json_schema_extra=rules.WS_URL,
        description="Address of the agent gateway as the agents' pods reach it; those in a cluster"
        " reach the machine's models and the portal through it, too.",
    )
    secret_ref: SecretRef = Field(description="Secret with keys `apiKey` and `apiSecret`.")
    overflow_agent: OverflowAgent | None = Field(
        default=None,
        description="Name under which the platform's overflow agent registers in LiveKit. It takes"
        " a message where a client's own agent does not join within 2 seconds; unset: nobody does.",
    )


class DNSConfig(ApiModel):
    """The zone that clients' dashboards live in; updated by RFC 2136."""

    zone: str = Field(
        min_length=1,
        max_length=253,
        pattern=DNS_ZONE_PATTERN,
        json_schema_extra=rules.ZONE,
        description="Zone, for example fleet.example.",
    )
    server: str = Field(min_length=1, max_length=253, description="Address of the primary server.")
    port: int = Field(default=53, ge=1, le=65535, description="Port of the primary server.")
    tsig_secret_ref: SecretRef = Field(
        description="Secret with keys `name`, `algorithm` (hmac-sha256) and `secret` (base64)."
    )
    target: str = Field(
        max_length=253,
        description="What clients' names point at: an IPv4 or IPv6 address, or a host name.",
    )
    ttl: int = Field(default=300, ge=1, le=86400, description="Seconds that answers may be cached.")


class EgressPort(ApiModel):
    """Ports that something is reached at."""

    model_config = ConfigDict(json_schema_extra=rules.EGRESS_PORT)

    protocol: Literal["TCP", "UDP"] = Field(default="TCP", description="Protocol.")
    port: int = Field(ge=1, le=65535, description="Port, or the first of them.")
    end_port: int | None = Field(
        default=None, ge=1, le=65535, description="The last of them; unset: port alone."
    )


class Egress(ApiModel):
    """Something outside its namespace that agents may reach."""

    model_config = ConfigDict(json_schema_extra=rules.EGRESS)

    name: ObjectName = Field(description="What it is, for example livekit or portal.")
    cidr: EgressNetwork | None = Field(
        default=None,
        description="Its network, where it is no pod or one in its node's network (LiveKit)."
        " 0.0.0.0/0 is the internet, without private networks.",
    )
    namespace: ObjectName | None = Field(
        default=None, description="Its namespace, where it is in the cluster's own network."
    )
    ports: list[EgressPort] = Field(min_length=1, max_length=16, description="Its ports.")


CertificateBundle = Annotated[
    str,
    Field(
        max_length=65536,
        pattern=r"^-----BEGIN CERTIFICATE-----",
        json_schema_extra=rules.CERTIFICATE_BUNDLE,
    ),
]


class KubernetesConfig(ApiModel):
    """How agents run in the cluster."""

    image: Image | None = Field(
        default=None, description="Image of the agent; the operator's own setting if unset."
    )
    storage_class_name: ObjectName | None = Field(
        default=None,
        description="StorageClass of clients' volumes; the cluster's default if unset. Clients that"
        " have a volume keep it.",
    )
    storage_mib: int = Field(
        default=2048, ge=64, le=1_048_576, description="Size of a new client's volume."
    )
    cpu_request_millis: int = Field(
        default=100, ge=10, le=64_000, description="Processor that is kept free, in thousandths."
    )
    cpu_limit_millis: int = Field(
        default=2000, ge=10, le=64_000, description="Most processor it gets, in thousandths."
    )
    memory_request_mib: int = Field(
        default=256, ge=64, le=65536, description="Memory that is kept free; memoryMib at most."
    )
    node_selector: dict[str, LabelValue] = Field(
        default_factory=dict, max_length=16, description="Labels of the nodes that agents run on."
    )
    ca_bundle: CertificateBundle | None = Field(
        default=None,
        description="Certificates (PEM) of who has signed the agent gateway's, where that is no"
        " public authority; agents believe them beside the public ones.",
    )
    egress: list[Egress] = Field(
        default_factory=list,
        max_length=32,
        description="What agents may reach beside the cluster's DNS: the agent gateway, LiveKit,"
        " vendors, calendars; everything else is closed to them.",
        json_schema_extra=rules.named_map(),
    )


class RuntimeConfig(ApiModel):
    """Where clients' agents run unless they say otherwise."""

    class_name: RuntimeClass = Field(
        default="podman",
        description="podman: a pod a client, on this machine; kubernetes: a namespace a client, in"
        " the operator's own cluster; process: development only; stub: benchmarks only.",
    )
    memory_mib: int = Field(default=1024, ge=128, le=65536, description="Memory limit of a pod.")
    kubernetes: KubernetesConfig | None = Field(
        default=None, description="For agents with className kubernetes."
    )


class SandboxConfig(ApiModel):
    """The stand-in for Stripe, Twilio and ElevenLabs."""

    url: HTTPAddress = Field(description="Base address.")
    agent_url: HTTPAddress | None = Field(
        default=None, description="Where agents' pods reach its speech; the base address if unset."
    )
    sip_address: SIPAddress | None = Field(
        default=None,
        description="Its SIP edge (host:port), which calls out go to; a trunk's own domain,"
        " which is Twilio's, if unset.",
    )


class FleetSpec(ApiModel):
    """What the agency has."""

    model_config = ConfigDict(json_schema_extra=rules.FLEET_SPEC)

    plans: list[Plan] = Field(
        min_length=1,
        max_length=32,
        description="What clients can be sold.",
        json_schema_extra=rules.named_map(),
    )
    billing: BillingConfig | None = Field(default=None, description="Where money comes in: Stripe.")
    telephony: TelephonyConfig | None = Field(
        default=None, description="Where calls come in: Twilio and our SIP bridges."
    )
    voices: VoicesConfig | None = Field(
        default=None, description="Where clients' own voices are made: ElevenLabs."
    )
    livekit: LiveKitConfig | None = Field(
        default=None, description="The LiveKit server that carries the calls."
    )
    dns: DNSConfig | None = Field(default=None, description="The zone that clients' names live in.")
    runtime: RuntimeConfig | None = Field(default=None, description="Where clients' agents run.")
    sandbox: SandboxConfig | None = Field(
        default=None, description="Where accounts with `mode: Sandbox` live."
    )


class FleetStatus(StatusModel):
    """What is known of the fleet."""

    observed_generation: int = Field(default=-1, description="Generation last handled.")
    fleet_id: str | None = Field(
        default=None, max_length=32, description="Mark of this fleet on everything it owns."
    )
    monthly_number_cost_minor: int | None = Field(
        default=None, description="What the fleet's numbers cost a month, in cents."
    )
    prices: dict[str, PriceID] = Field(
        default_factory=dict,
        max_length=512,
        description="Stripe price of each plan, by account/plan.",
    )
    operations: list[Operation] = Field(
        default_factory=list, max_length=64, description="Operations whose outcome is unknown."
    )
    conditions: list[Condition] = Field(
        default_factory=list,
        max_length=16,
        description="State for programs and `kubectl wait`; Ready is always among them.",
        json_schema_extra=rules.conditions(),
    )


__all__ = ["Fleet", "FleetSpec", "FleetStatus", "Plan"]


class Fleet(ApiModel):
    """An agency's accounts, zone, plans and defaults; one for each set of vendor accounts."""

    spec: FleetSpec = Field(description="What the agency has.")
    status: FleetStatus | None = Field(default=None, description="What is known of the fleet.")
