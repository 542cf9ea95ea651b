"""`VoiceClient` (vc): one client of the agency; money and routing; owned by Git."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from voicefleet_api import rules
from voicefleet_api.base import ApiModel, StatusModel
from voicefleet_api.fleet import PlanName, RuntimeClass
from voicefleet_api.meta import Condition, DateTime, LocalRef, ObjectName, Operation, TimelineEntry
from voicefleet_api.names import TIME_ZONE_PATTERN
from voicefleet_api.phonenumber import (
    E164,
    Destination,
    NumberRequest,
    PersonsPhone,
    ReclaimPolicy,
    Source,
)
from voicefleet_api.pipeline import Pipeline

Email = Annotated[
    str, Field(max_length=254, pattern=r"^[^@\s]+@[^@\s]+$", json_schema_extra=rules.EMAIL)
]
CustomerID = Annotated[
    str, Field(max_length=64, pattern=r"^cus_", json_schema_extra=rules.CUSTOMER)
]
SubscriptionID = Annotated[
    str, Field(max_length=64, pattern=r"^sub_", json_schema_extra=rules.SUBSCRIPTION)
]


class Accounts(ApiModel):
    """Which of the fleet's accounts this client lives in; part of the identity of its things."""

    telephony: ObjectName = Field(default="main", description="Telephony account of the fleet.")
    billing: ObjectName = Field(default="main", description="Billing account of the fleet.")
    voices: ObjectName = Field(default="main", description="Account that own voices are made in.")


class Business(ApiModel):
    """Who the client is."""

    name: Annotated[str, Field(min_length=1, max_length=128)] = Field(
        description="Name, as the agent says it and as it stands on the invoice."
    )
    time_zone: Annotated[
        str,
        Field(
            min_length=1,
            max_length=64,
            pattern=TIME_ZONE_PATTERN,
            json_schema_extra=rules.TIME_ZONE,
        ),
    ] = Field(default="UTC", description="IANA time zone, for example America/New_York.")
    locale: Literal["en-US", "es-ES", "es-US"] = Field(
        default="en-US", description="Language and region that callers speak."
    )
    email: Email | None = Field(
        default=None,
        description="Where invoices go; needed where they are sent by e-mail.",
    )
    phone: E164 | None = Field(default=None, description="The business's own number.")


class ExistingBilling(ApiModel):
    """Things in Stripe to take over instead of creating them."""

    model_config = ConfigDict(json_schema_extra=rules.EXISTING_BILLING)

    customer_id: CustomerID | None = Field(
        default=None, description="Id of the customer, which begins with cus_."
    )
    subscription_id: SubscriptionID | None = Field(
        default=None,
        description="Id of the customer's subscription, which begins with sub_.",
    )


class Billing(ApiModel):
    """How the client pays."""

    model_config = ConfigDict(json_schema_extra=rules.BILLING)

    mode: Literal["Managed", "None"] = Field(
        default="Managed", description="None: this client is not billed by voicefleet."
    )
    collection: Literal["Checkout", "Invoice", "Card"] = Field(
        default="Invoice",
        description="Checkout: a link to pay by; Invoice: by e-mail; Card: the customer's card.",
    )
    activation: Literal["OnPayment", "Immediately"] = Field(
        default="OnPayment",
        description="Numbers are bought after the first payment or start of the trial, or at once.",
    )
    trial_days: int = Field(default=0, ge=0, le=730, description="Days before the first charge.")
    on_delete: Literal["AtPeriodEnd", "Now"] = Field(
        default="AtPeriodEnd", description="When the subscription ends after deletion."
    )
    existing: ExistingBilling | None = Field(default=None, description="Things to take over.")


class NumberClaim(ApiModel):
    """One phone number of the client."""

    model_config = ConfigDict(json_schema_extra=rules.NUMBER_CLAIM)

    name: ObjectName = Field(description="Key of this number within the client.")
    source: Source = Field(
        default="Purchase",
        description="Purchase buys it; Existing takes a number that the account already has.",
    )
    request: NumberRequest | None = Field(default=None, description="Any such number.")
    e164: E164 | None = Field(default=None, description="Exactly this number (+14155550100).")
    reclaim_policy: ReclaimPolicy = Field(
        default="Release",
        description="After the client: Release gives it back to the carrier; Retain keeps it.",
    )


class Fallback(ApiModel):
    """Where calls go when the agent does not take them."""

    forward_to: Destination = Field(
        description="Phone that rings instead, for example the owner's."
    )


class Limits(ApiModel):
    """What one client may use."""

    call_minutes: int = Field(default=30, ge=1, le=240, description="Longest call, in minutes.")
    transfer_to: list[Annotated[PersonsPhone, Field(description="A person's phone.")]] | None = (
        Field(
            default=None,
            max_length=32,
            description="Numbers that callers may be connected to, besides the fallback phone; one"
            " without an extension stands for all of its extensions. A Receptionist's other"
            " contacts are not called. If unset, all of its contacts are.",
        )
    )


class Telephony(ApiModel):
    """The client's phone line."""

    model_config = ConfigDict(json_schema_extra=rules.TELEPHONY)

    mode: Literal["Managed", "None"] = Field(
        default="Managed", description="None: this client has no phone line."
    )
    ingress: Literal["Trunk", "ProgrammableVoice"] = Field(
        default="Trunk",
        description="How calls come in. Trunk: over the carrier's SIP trunk. ProgrammableVoice:"
        " by instructions at the carrier, which keeps a caller whose SIP bridge is lost and"
        " connects them again, and bills its minutes apart; not where the fleet's calls are"
        " encrypted (telephony.secure).",
    )
    numbers: list[NumberClaim] = Field(
        default_factory=list,
        max_length=100,
        description="Phone numbers; how many is limited by the plan.",
        json_schema_extra=rules.named_map(),
    )
    fallback: Fallback | None = Field(default=None, description="Where calls go otherwise.")
    limits: Limits | None = Field(default=None, description="Limits of a call.")
    transfer: Literal["Refer", "Warm"] = Field(
        default="Refer",
        description="How callers are connected with a person. Refer: by the carrier (SIP REFER)."
        " Warm: by a second call of ours, which the carrier bills; the person hears first who calls"
        " and why.",
    )


class ClientDNS(ApiModel):
    """The client's name in the fleet's zone."""

    subdomain: ObjectName = Field(
        description="Label below the fleet's zone, for example bright-smile."
    )


class ClientRuntime(ApiModel):
    """Where the client's agent runs."""

    class_name: RuntimeClass | None = Field(
        default=None, description="Instead of the fleet's default."
    )


class AgentSpec(ApiModel):
    """What the client's agent works with."""

    pipeline: Pipeline = Field(
        default_factory=Pipeline, description="Who transcribes, thinks and speaks."
    )


class Onboarding(ApiModel):
    """What happens to a client that cannot be completed in time."""

    deadline_seconds: int = Field(
        default=60,
        ge=10,
        le=86400,
        description="Seconds until the client must be complete; a wait for payment does not count.",
    )
    on_failure: Literal["Retry", "Rollback"] = Field(
        default="Retry",
        description="Rollback takes a late client back to nothing, with what was paid refunded;"
        " Retry keeps trying.",
    )


class Drift(ApiModel):
    """What is done about changes that somebody makes by hand at a vendor."""

    free: Literal["Repair", "Report"] = Field(
        default="Repair", description="Where the repair costs nothing, for example a DNS record."
    )
    paid: Literal["Repair", "Report"] = Field(
        default="Report",
        description="Where it would buy or charge: a released number, a cancelled subscription.",
    )


class Retention(ApiModel):
    """How long the client's calls are kept, in days from their beginning; then they are deleted."""

    records_days: int = Field(
        default=365,
        ge=1,
        le=3650,
        description="What was said, found out, booked and left as a message.",
    )
    audio_days: int = Field(
        default=90,
        ge=1,
        le=3650,
        description="The sound of calls; it goes with the call's record at the latest.",
    )

    @property
    def sound_days(self) -> int:
        """What `audio_days` comes to beside `records_days`."""
        return min(self.records_days, self.audio_days)


class Recording(ApiModel):
    """Both directions of calls are kept as sound, and callers are told so first."""

    disclosure: Annotated[str, Field(min_length=1, max_length=300)] | None = Field(
        default=None,
        description="Said before the greeting, and part of the recording; by default that this"
        " call is recorded, in the client's language. What the law asks for is yours to find out.",
    )


class Rollout(ApiModel):
    """How a new version of the agent takes over the calls.

    A version is what only a restart can change: image, limits, addresses, secrets.
    """

    strategy: Literal["Recreate", "BlueGreen", "Canary"] = Field(
        default="Recreate",
        description="Recreate stops the agent and starts the new one; BlueGreen starts it beside,"
        " moves all callers once it is ready, and lets calls under way end; Canary moves a share"
        " of the callers first.",
    )
    words: Literal["Reload", "RollOut"] = Field(
        default="Reload",
        description="Reload: the next call has a changed greeting, prompt or pipeline; RollOut:"
        " that is a new version, too.",
    )
    ready_seconds: int = Field(
        default=180,
        ge=10,
        le=3600,
        description="Seconds in which the new version must be registered, or it is taken back.",
    )
    percent: int = Field(
        default=10,
        ge=1,
        le=99,
        description="Canary: share of the callers, by their numbers, whom the new version answers.",
    )
    minimum_calls: int = Field(
        default=10,
        ge=1,
        le=10000,
        description="Canary: calls that the new version must have ended before it gets the rest.",
    )
    maximum_error_percent: int = Field(
        default=10,
        ge=0,
        le=99,
        description="Canary: share of those calls that may fail; with more it is taken back.",
    )
    maximum_answer_milliseconds: int = Field(
        default=1500,
        ge=100,
        le=60000,
        description="Canary: median over those calls of the wait for an answer, as the agent sees"
        " it; with more it is taken back.",
    )


ProfessionName = Annotated[
    str, Field(max_length=32, pattern=r"^[a-z][a-z-]*$", json_schema_extra=rules.PROFESSION)
]


class VoiceClientSpec(ApiModel):
    """What the client is to have."""

    model_config = ConfigDict(json_schema_extra=rules.VOICE_CLIENT_SPEC)

    fleet_ref: LocalRef = Field(
        default=LocalRef(name="default"), description="The Fleet this client belongs to."
    )
    accounts: Accounts = Field(default=Accounts(), description="Accounts of the fleet to use.")
    business: Business = Field(description="Who the client is.")
    profession: ProfessionName | None = Field(
        default=None,
        description="The client's trade, one of the professions that we ship, for example dentist.",
    )
    receptionist_ref: LocalRef | None = Field(
        default=None, description="Receptionist with the client's own words, same namespace."
    )
    plan: PlanName = Field(description="A plan of the fleet, for example Pro.")
    suspend: bool = Field(default=False, description="Calls go to the fallback; nothing is lost.")
    deletion_protection: bool = Field(
        default=False, description="While true, deleting the client or its namespace is refused."
    )
    billing: Billing = Field(default=Billing(), description="How the client pays.")
    telephony: Telephony = Field(default=Telephony(), description="The client's phone line.")
    dns: ClientDNS | None = Field(default=None, description="The client's name in the zone.")
    runtime: ClientRuntime | None = Field(default=None, description="Where the agent runs.")
    agent: AgentSpec | None = Field(default=None, description="What the client's agent works with.")
    onboarding: Onboarding | None = Field(
        default=None, description="A deadline for getting everything; none if unset."
    )
    drift: Drift = Field(default=Drift(), description="What to do about changes made by hand.")
    recording: Recording | None = Field(
        default=None,
        description="Keep the sound of calls, a file a side and both in step, as long as"
        " retention.audioDays says. If unset, nobody keeps any.",
    )
    retention: Retention = Field(default=Retention(), description="How long calls are kept.")
    rollout: Rollout = Field(
        default=Rollout(), description="How a new version of the agent takes over the calls."
    )


class NumberStatus(StatusModel):
    """One phone number, as it is."""

    name: str = Field(max_length=63, description="Key in spec.telephony.numbers.")
    e164: str | None = Field(default=None, max_length=16, description="The number.")
    phone_number_ref: str | None = Field(
        default=None, max_length=253, description="Its PhoneNumber object."
    )


class BillingStatus(StatusModel):
    """The client in Stripe."""

    customer_id: str | None = Field(default=None, max_length=64, description="Customer.")
    subscription_id: str | None = Field(default=None, max_length=64, description="Subscription.")
    subscription_status: str | None = Field(
        default=None,
        max_length=32,
        description="As Stripe says, for example active, trialing or past_due.",
    )
    checkout_url: str | None = Field(
        default=None, max_length=2048, description="Where the client pays, while it has not."
    )


class EndpointsStatus(StatusModel):
    """Where the client is reached."""

    url: str | None = Field(default=None, max_length=512, description="The client's address.")
    agent_name: str | None = Field(
        default=None, max_length=64, description="Name the agent registers under in LiveKit."
    )


class CostStatus(StatusModel):
    """What the client brings in and costs."""

    currency: str = Field(max_length=3, description="ISO 4217 code.")
    price_minor: int = Field(description="What the client pays a month, in cents.")
    monthly_minor: int = Field(description="What the vendors bill for it a month, in cents.")


class OnboardingStatus(StatusModel):
    """How far the client's onboarding is."""

    phase: Literal[
        "AwaitingPayment", "InProgress", "Late", "Complete", "RollingBack", "RolledBack"
    ] = Field(description="Late: past the deadline and still tried; RolledBack: nothing is left.")
    generation: int = Field(description="The metadata.generation that it is about.")
    deadline: DateTime | None = Field(default=None, description="When it must be complete.")
    reason: str | None = Field(default=None, max_length=128, description="Why it was late.")
    message: str | None = Field(default=None, max_length=4096, description="Why, for people.")


class ConsentRecord(StatusModel):
    """The consent that a voice was cloned with."""

    given_by: str = Field(max_length=128, description="Who gave it.")
    given_at: DateTime = Field(description="When it was given.")
    statement_sha256: str = Field(max_length=64, description="Hash of its words.")


class VoiceStatus(StatusModel):
    """The client's own voice."""

    voice_id: str = Field(max_length=64, description="The vendor's id of the voice.")
    sample_sha256: str = Field(max_length=64, description="Hash of the recording it is made of.")
    consent: ConsentRecord = Field(description="The consent that it was made with.")


class RolloutStatus(StatusModel):
    """A new version of the agent, on its way or taken back."""

    phase: Literal["Starting", "Canary", "Draining", "RolledBack"] = Field(
        description="Draining: calls under way end on an agent that gets no new ones."
    )
    revision: str = Field(max_length=64, description="Hash of the new version.")
    since: DateTime = Field(description="When this phase began.")
    calls: int = Field(default=0, description="Calls that the new version has ended.")
    failed_calls: int = Field(default=0, description="How many of them failed.")
    reason: str | None = Field(default=None, max_length=128, description="Why it was taken back.")
    message: str | None = Field(default=None, max_length=4096, description="Why, for people.")


class VoiceClientStatus(StatusModel):
    """What the client has."""

    observed_generation: int = Field(default=-1, description="Generation last handled.")
    last_handled_reconcile_at: str | None = Field(
        default=None, max_length=64, description="Echo of the reconcile-at annotation."
    )
    client_id: str | None = Field(
        default=None, max_length=32, description="Mark of this client on everything it owns."
    )
    numbers: list[NumberStatus] = Field(
        default_factory=list,
        max_length=100,
        description="The client's phone numbers.",
        json_schema_extra=rules.named_map(),
    )
    primary_number: str | None = Field(
        default=None, max_length=16, description="First of the client's numbers."
    )
    billing: BillingStatus | None = Field(default=None, description="The client in Stripe.")
    endpoints: EndpointsStatus | None = Field(default=None, description="Where it is reached.")
    voice: VoiceStatus | None = Field(default=None, description="Its own voice, once there is one.")
    cost: CostStatus | None = Field(default=None, description="Price and cost a month.")
    monthly_cost: str | None = Field(
        default=None, max_length=32, description="Vendors' bill a month, for people ($1.15)."
    )
    onboarding: OnboardingStatus | None = Field(
        default=None, description="How far onboarding is, where spec.onboarding asks for it."
    )
    rollout: RolloutStatus | None = Field(
        default=None, description="A new version of the agent, on its way or taken back."
    )
    carrier_trunk_sid: str | None = Field(
        default=None, max_length=64, description="The carrier's trunk, when all was last there."
    )
    converged_hash: str | None = Field(
        default=None,
        max_length=32,
        description="Of what was wanted when all of it was last there; tells drift from edits.",
    )
    timeline: list[TimelineEntry] = Field(
        default_factory=list, max_length=32, description="Milestones, oldest first."
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


class VoiceClient(ApiModel):
    """A client of the agency: its plan, phone numbers, agent, name and bill."""

    model_config = ConfigDict(json_schema_extra=rules.NAMED_OBJECT)

    spec: VoiceClientSpec = Field(description="What the client is to have.")
    status: VoiceClientStatus | None = Field(default=None, description="What the client has.")
