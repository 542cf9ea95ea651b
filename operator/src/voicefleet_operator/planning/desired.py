"""From manifests to what the outside world should hold for one client; pure.

Fleet, profession and Receptionist are resolved here, so that the planner compares plain values.
"""

from __future__ import annotations

import hashlib
import json
import zoneinfo
from dataclasses import dataclass, field

from voicefleet_api.agentconfig import AgentConfig, OtherWords
from voicefleet_api.fleet import FleetSpec, FleetStatus, LiveKitConfig, Plan, TelephonyConfig
from voicefleet_api.phonenumber import NumberRequest, dialled
from voicefleet_api.pipeline import LOCAL_HEARS, Pipeline
from voicefleet_api.professions import load as load_profession
from voicefleet_api.professions import names as profession_names
from voicefleet_api.receptionist import Contact, ReceptionistSpec
from voicefleet_api.voiceclient import ConsentRecord, NumberClaim, Rollout, VoiceClientSpec
from voicefleet_operator.planning import overflow
from voicefleet_operator.planning.observed import Mark, Slot, agent_name

_GREETINGS = {
    "en": "Hello, this is the automated assistant of {business}. How can I help you?",
    "es": "Hola, soy el asistente automático de {business}. ¿En qué puedo ayudarle?",
}
_DISCLOSURES = {"en": "This call is recorded.", "es": "Esta llamada se graba."}


class Unmet(Exception):
    """The manifest asks for something that does not exist or is not allowed.

    `stalled` where only an edit of the client helps.
    """

    def __init__(self, reason: str, message: str, *, stalled: bool) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.stalled = stalled


@dataclass(frozen=True, slots=True)
class WantedBilling:
    """A subscription to a plan."""

    account: str
    plan: str
    price_id: str | None
    """None until the fleet has its price in Stripe."""
    price_minor: int
    currency: str
    collection: str
    activation: str
    trial_days: int
    customer_name: str
    email: str | None
    existing_customer_id: str | None
    existing_subscription_id: str | None
    renew: bool
    """Whether a subscription that somebody cancelled is made again."""


@dataclass(frozen=True, slots=True)
class WantedTelephony:
    """Numbers and where their calls go."""

    account: str
    numbers: tuple[NumberClaim, ...]
    number_cost_minor: int
    origination: tuple[str, ...]
    carrier_networks: frozenset[str]
    forward_to: str | None
    max_call_seconds: int
    voice_webhook: str | None
    """The carrier keeps callers' legs, and asks this address; None: calls come over the trunk."""
    calls_out: bool
    """Whether callers are connected with a person by a call of ours."""
    secure: bool
    """Whether calls are TLS and SRTP between the carrier and us."""
    termination: str | None
    """Where calls out go (host:port); None: to the trunk's own domain."""
    barred: tuple[str, ...]
    """Contacts of the Receptionist that are not called (`limits.transferTo`), by name."""
    replace_lost: bool
    """Whether another number is bought for one that somebody released."""
    overflow: AgentConfig | None = None
    """Who takes a message where the client's agent does not join."""


@dataclass(frozen=True, slots=True)
class WantedName:
    """A name in the fleet's zone."""

    label: str
    target: str
    ttl: int


@dataclass(frozen=True, slots=True)
class Sample:
    """A client's recording of a voice, as far as it can be had."""

    sha256: str | None
    problem: str = ""
    """Why there is none; empty where there is."""


@dataclass(frozen=True, slots=True)
class WantedVoice:
    """A voice of the client's own."""

    account: str
    url: str | None
    """Where agents have it speak, if that is not the vendor's own address."""
    sample: str | None
    """The recording's SHA-256; None where it cannot be had."""
    problem: tuple[str, str] | None
    """Why it cannot be made: reason and message."""
    consent: ConsentRecord


@dataclass(frozen=True, slots=True)
class WantedUnit:
    """A running agent; `spec_hash` is the driver's, of what only a restart can change."""

    class_name: str
    config_json: str
    config_hash: str
    spec_hash: str
    memory_mib: int
    slot: Slot = Slot.BLUE


@dataclass(frozen=True, slots=True)
class Desired:
    """What one client is to have; a power that is None is to be absent."""

    mark: Mark
    suspended: bool = False
    on_delete: str = "AtPeriodEnd"
    rollback: bool = False
    """Undo everything: numbers bought go back whatever their policy, payments are refunded."""
    adopted_subscription_id: str | None = None
    billing: WantedBilling | None = None
    telephony: WantedTelephony | None = None
    name: WantedName | None = None
    voice: WantedVoice | None = None
    unit: WantedUnit | None = None
    """With the pipeline's voices; its own is known only once it is made (`planning.voices`)."""
    rollout: Rollout = field(default_factory=Rollout)

    def agent_name(self, slot: Slot) -> str:
        """Name the client's agent in that place registers under in LiveKit."""
        return agent_name(self.mark.client_id, slot)


def nothing(mark: Mark, on_delete: str) -> Desired:
    """What a deleted client is to have."""
    return Desired(mark=mark, on_delete=on_delete)


def undone(mark: Mark, spec: VoiceClientSpec) -> Desired:
    """What a client is to have whose onboarding is taken back: nothing, at no charge."""
    existing = spec.billing.existing
    adopted = existing.subscription_id if existing else None
    return Desired(mark=mark, rollback=True, adopted_subscription_id=adopted)


def canonical_json(config: AgentConfig) -> str:
    """The same configuration is always the same text, so that its hash can be compared."""
    return json.dumps(config.to_json(), sort_keys=True, ensure_ascii=False)


def config_hash(config_json: str) -> str:
    """Short hash of an agent's configuration file."""
    return hashlib.sha256(config_json.encode()).hexdigest()[:16]


def find_plan(fleet: FleetSpec, name: str) -> Plan:
    """The fleet's plan of that name; raises `Unmet`."""
    for plan in fleet.plans:
        if plan.name == name:
            return plan
    known = ", ".join(plan.name for plan in fleet.plans)
    raise Unmet(
        "PlanNotFound", f"spec.plan: the fleet has no plan {name!r}; choose {known}", stalled=True
    )


def desire(
    mark: Mark,
    spec: VoiceClientSpec,
    fleet: FleetSpec,
    fleet_status: FleetStatus,
    receptionist: ReceptionistSpec | None,
    sample: Sample | None = None,
    default_runtime: str = "podman",
) -> Desired:
    """What the client is to have; raises `Unmet` where the manifest cannot be met.

    `receptionist` is None where the client names none, `sample` where that one wants no voice of
    its own. `WantedUnit.spec_hash` is left empty: it
    is the runtime driver's to fill in.
    """
    plan = find_plan(fleet, spec.plan)
    _check_time_zone(spec.business.time_zone)
    return Desired(
        mark=mark,
        suspended=spec.suspend,
        on_delete=spec.billing.on_delete,
        billing=_billing(spec, fleet, fleet_status, plan),
        telephony=_telephony(mark, spec, fleet, plan, receptionist),
        name=_name(spec, fleet),
        voice=_voice(spec, fleet, receptionist, sample),
        unit=_unit(mark, spec, fleet, receptionist, default_runtime),
        rollout=spec.rollout,
    )


def _check_time_zone(name: str) -> None:
    """Admission sees only the shape of the name."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise Unmet(
            "UnknownTimeZone",
            f"spec.business.timeZone: there is no time zone {name!r};"
            " use an IANA name, for example America/New_York",
            stalled=True,
        ) from None


def _account(kind: str, name: str, known: list[str]) -> None:
    if name not in known:
        raise Unmet(
            "AccountNotFound",
            f"spec.accounts.{kind}: the fleet has no {kind} account {name!r}"
            f" (it has: {', '.join(known) or 'none'})",
            stalled=True,
        )


def _billing(
    spec: VoiceClientSpec, fleet: FleetSpec, status: FleetStatus, plan: Plan
) -> WantedBilling | None:
    if spec.billing.mode == "None":
        return None
    account = spec.accounts.billing
    _account("billing", account, [a.name for a in fleet.billing.accounts] if fleet.billing else [])
    existing = spec.billing.existing
    return WantedBilling(
        account=account,
        plan=plan.name,
        price_id=status.prices.get(f"{account}/{plan.name}"),
        price_minor=plan.monthly_price_minor,
        currency=plan.currency,
        collection=spec.billing.collection,
        activation=spec.billing.activation,
        trial_days=spec.billing.trial_days,
        customer_name=spec.business.name,
        email=spec.business.email,
        existing_customer_id=existing.customer_id if existing else None,
        existing_subscription_id=existing.subscription_id if existing else None,
        renew=spec.drift.paid == "Repair",
    )


def _telephony(
    mark: Mark,
    spec: VoiceClientSpec,
    fleet: FleetSpec,
    plan: Plan,
    receptionist: ReceptionistSpec | None,
) -> WantedTelephony | None:
    if spec.telephony.mode == "None":
        return None
    if fleet.telephony is None:
        raise Unmet(
            "TelephonyNotConfigured",
            "spec.telephony: the fleet has no telephony; set telephony.mode to None",
            stalled=True,
        )
    name = spec.accounts.telephony
    _account("telephony", name, [a.name for a in fleet.telephony.accounts])
    account = next(a for a in fleet.telephony.accounts if a.name == name)
    wanted = len(spec.telephony.numbers)
    # Admission says the same; here for plans that shrank after the client was admitted.
    if plan.max_numbers is not None and wanted > plan.max_numbers:
        raise Unmet(
            "PlanLimitExceeded",
            f"spec.telephony.numbers: plan {plan.name} includes {plan.max_numbers} number(s),"
            f" {wanted} are asked for; remove some or choose a larger plan",
            stalled=True,
        )
    limits, fallback = spec.telephony.limits, spec.telephony.fallback
    called, barred = _allowed(receptionist, spec)
    return WantedTelephony(
        account=name,
        numbers=tuple(spec.telephony.numbers),
        number_cost_minor=account.monthly_number_cost_minor,
        origination=tuple(fleet.telephony.origination_uris),
        carrier_networks=frozenset(fleet.telephony.carrier_networks),
        forward_to=fallback.forward_to if fallback else None,
        max_call_seconds=60 * (limits.call_minutes if limits else 30),
        voice_webhook=_voice_webhook(spec, fleet.telephony),
        # No carrier presses an extension.
        calls_out=spec.telephony.transfer == "Warm"
        or any(dialled(contact.phone)[1] for contact in called),
        secure=fleet.telephony.secure,
        termination=fleet.sandbox.sip_address
        if fleet.sandbox and account.mode == "Sandbox"
        else None,
        barred=tuple(contact.name for contact in barred),
        replace_lost=spec.drift.paid == "Repair",
        overflow=_overflow(mark, spec, fleet.livekit, receptionist),
    )


def _voice_webhook(spec: VoiceClientSpec, fleet: TelephonyConfig) -> str | None:
    if spec.telephony.ingress == "Trunk":
        return None
    if fleet.voice_webhook_url is None:
        raise Unmet(
            "VoiceWebhookNotConfigured",
            "spec.telephony.ingress: the fleet has no telephony.voiceWebhookURL, which"
            " ProgrammableVoice needs; set ingress to Trunk",
            stalled=True,
        )
    if fleet.secure:
        raise Unmet(
            "IngressNotEncrypted",
            "spec.telephony.ingress: the fleet's calls are encrypted (telephony.secure), and those"
            " by instructions would not be; set ingress to Trunk",
            stalled=True,
        )
    return fleet.voice_webhook_url


def _overflow(
    mark: Mark,
    spec: VoiceClientSpec,
    livekit: LiveKitConfig | None,
    receptionist: ReceptionistSpec | None,
) -> AgentConfig | None:
    if livekit is None or livekit.overflow_agent is None or spec.suspend:
        return None
    own = agent_config(mark, spec, livekit.agent_url, receptionist)
    return overflow.speaks_for(own, livekit.overflow_agent)


def _name(spec: VoiceClientSpec, fleet: FleetSpec) -> WantedName | None:
    if spec.dns is None:
        return None
    if fleet.dns is None:
        raise Unmet(
            "DNSNotConfigured", "spec.dns: the fleet has no DNS zone; remove spec.dns", stalled=True
        )
    return WantedName(spec.dns.subdomain, fleet.dns.target, fleet.dns.ttl)


def _voice(
    spec: VoiceClientSpec,
    fleet: FleetSpec,
    receptionist: ReceptionistSpec | None,
    sample: Sample | None,
) -> WantedVoice | None:
    """Nothing that is wrong with it keeps a client from answering: it has another voice."""
    clone = receptionist.voice.clone if receptionist and receptionist.voice else None
    if clone is None or clone.consent is None or sample is None:
        return None
    name, sha256 = spec.accounts.voices, sample.sha256
    accounts = {account.name: account for account in fleet.voices.accounts} if fleet.voices else {}
    problem = ("SampleNotUsable", sample.problem) if sample.problem else None
    if name not in accounts:
        words = f"spec.accounts.voices: the fleet has no voices account {name!r}"
        problem = ("AccountNotFound", f"{words} (it has: {', '.join(accounts) or 'none'})")
        sha256 = None
    url = None
    if name in accounts and accounts[name].mode == "Sandbox" and fleet.sandbox:
        url = f"{fleet.sandbox.agent_url or fleet.sandbox.url}/elevenlabs"
    statement = hashlib.sha256(clone.consent.statement.encode()).hexdigest()
    return WantedVoice(
        account=name,
        url=url,
        sample=sha256,
        problem=problem,
        consent=ConsentRecord(
            given_by=clone.consent.given_by,
            given_at=clone.consent.given_at,
            statement_sha256=statement,
        ),
    )


def _unit(
    mark: Mark,
    spec: VoiceClientSpec,
    fleet: FleetSpec,
    receptionist: ReceptionistSpec | None,
    default_runtime: str,
) -> WantedUnit | None:
    if spec.suspend or fleet.livekit is None:
        return None
    text = canonical_json(agent_config(mark, spec, fleet.livekit.agent_url, receptionist))
    runtime = fleet.runtime
    return WantedUnit(
        class_name=(spec.runtime.class_name if spec.runtime else None)
        or (runtime.class_name if runtime else default_runtime),
        config_json=text,
        config_hash=config_hash(text),
        spec_hash="",
        memory_mib=runtime.memory_mib if runtime else 1024,
    )


def agent_config(
    mark: Mark, spec: VoiceClientSpec, livekit_url: str, receptionist: ReceptionistSpec | None
) -> AgentConfig:
    """The client's own words first, the profession's where it has none (seed, property 11)."""
    own = receptionist or ReceptionistSpec()
    if spec.profession is not None and spec.profession not in profession_names():
        raise Unmet(
            "UnknownProfession",
            f"spec.profession: {spec.profession!r} is not one of {', '.join(profession_names())}",
            stalled=True,
        )
    profession = load_profession(spec.profession) if spec.profession else None
    language = spec.business.locale.partition("-")[0]
    # The shipped professions speak English.
    shipped = profession.greeting if profession and language == "en" else _GREETINGS[language]
    greeting = own.greeting or shipped
    prompt = own.prompt or (profession.prompt if profession else "")

    def told(words: str) -> str:
        return words.replace("{business}", spec.business.name)

    other = own.experiment
    pipeline = spec.agent.pipeline if spec.agent else Pipeline()
    if language not in LOCAL_HEARS and all(
        transcriber.provider == "Local" for transcriber in pipeline.stt
    ):
        raise Unmet(
            "LanguageNotHeard",
            f"spec.business.locale: the machine's own transcribers do not hear"
            f" {spec.business.locale}; name one that does in spec.agent.pipeline.stt,"
            " such as Deepgram",
            stalled=True,
        )
    return AgentConfig(
        client_id=mark.client_id,
        agent_name=agent_name(mark.client_id, Slot.BLUE),
        livekit_url=livekit_url,
        business_name=spec.business.name,
        time_zone=spec.business.time_zone,
        profession=spec.profession,
        greeting=told(greeting),
        disclosure=spec.recording and (spec.recording.disclosure or _DISCLOSURES[language]),
        prompt=told(prompt),
        questions=own.questions or ([q.text for q in profession.questions] if profession else []),
        hours=own.hours,
        holidays=own.holidays,
        capacity=(own.calendar and own.calendar.capacity) or 1,
        caldav_url=own.calendar.caldav.url if own.calendar and own.calendar.caldav else None,
        facts=own.facts,
        locale=spec.business.locale,
        contacts=_allowed(own, spec)[0],
        appointments=own.appointments,
        forward_to=spec.telephony.fallback.forward_to if spec.telephony.fallback else None,
        transfer=spec.telephony.transfer,
        pipeline=pipeline,
        experiment=OtherWords(
            name=other.name,
            percent=other.percent,
            greeting=told(other.greeting or greeting),
            prompt=told(other.prompt or prompt),
        )
        if other
        else None,
    )


def _allowed(
    receptionist: ReceptionistSpec | None, spec: VoiceClientSpec
) -> tuple[list[Contact], list[Contact]]:
    """Contacts that callers may be connected with, and those that they may not.

    A Receptionist may belong to the business; whom its calls may reach is the agency's.
    """
    contacts = receptionist.contacts if receptionist else []
    limits = spec.telephony.limits
    if limits is None or limits.transfer_to is None:
        return contacts, []
    listed = limits.transfer_to
    called = [each for each in contacts if {each.phone, dialled(each.phone)[0]} & {*listed}]
    return called, [each for each in contacts if each not in called]


def number_request(claim: NumberClaim) -> NumberRequest | None:
    """What to buy, where the claim does not name the number itself."""
    return claim.request if claim.e164 is None else None
