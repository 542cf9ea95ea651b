"""Rules that the API server checks at `kubectl apply`, written in CEL beside the models.

They go into the CRDs as `x-kubernetes-validations`. A message says what is wrong, why, and what to
do about it. pydantic keeps the patterns; in the CRD a rule with a message stands in their place,
because "should match '^\\+[1-9]…'" helps nobody. Every string, list and map has a maximum, or the
API server refuses rules over them (their cost is estimated from the maxima).
"""

from __future__ import annotations

from typing import Any

from voicefleet_api.names import (
    CLIENT_ID_PATTERN,
    DNS_LABEL_PATTERN,
    DNS_ZONE_PATTERN,
    E164_PATTERN,
    EXTENSION,
    KEY_PATTERN,
    OWN_VOICE,
    PHONE_PATTERN,
    TIME_ZONE_PATTERN,
)
from voicefleet_api.professions import names as profession_names

Rule = dict[str, str]
KEY = "x-kubernetes-validations"


def rule(expression: str, message: str, field: str | None = None) -> Rule:
    """One rule; `field` is the path, from the place it stands at, that the error points to."""
    made = {"rule": expression, "message": message}
    return made | {"fieldPath": field} if field else made


# A dict[str, Any], as pydantic's json_schema_extra is typed.
def checked(*rules: Rule) -> dict[str, Any]:
    """`json_schema_extra` that carries the rules."""
    return {KEY: list(rules)}


def text(pattern: str, message: str) -> dict[str, Any]:
    """`json_schema_extra` of a string with a pattern: the rule that stands in its place."""
    return checked(rule(f"self.matches(r'{pattern}')", message))


def named_map() -> dict[str, Any]:
    """`json_schema_extra` of a list whose items are told apart by their name."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}


def conditions() -> dict[str, Any]:
    """`json_schema_extra` of a list of conditions (Kubernetes API conventions)."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}


_REQUEST_PARTS = {"country": "US", "areaCode": ""}


def _same(field: str, default: str | None = None, parts: dict[str, str] | None = None) -> str:
    """CEL: the field is as it was. An unset field equals its default.

    `parts` (name -> default) compares an object part by part, each part with its default.
    """
    if parts:
        return " && ".join(
            _same_value(f"has({{0}}.{field}) && has({{0}}.{field}.{part})", f"{field}.{part}", d)
            for part, d in parts.items()
        )
    if default is not None:
        return _same_value(f"has({{0}}.{field})", field, default)
    return (
        f"has(self.{field}) == has(oldSelf.{field})"
        f" && (!has(self.{field}) || self.{field} == oldSelf.{field})"
    )


def _same_value(present: str, path: str, default: str) -> str:
    def value(of: str) -> str:
        return f"({present.format(of)} ? {of}.{path} : '{default}')"

    return f"{value('self')} == {value('oldSelf')}"


# Strings -----------------------------------------------------------------------------------------

DNS_LABEL = text(
    DNS_LABEL_PATTERN,
    "must be a DNS label: lower-case letters, digits and '-', beginning and ending with a letter"
    " or digit, at most 63 characters, for example bright-smile",
)
E164 = text(
    E164_PATTERN,
    "must be an E.164 number: '+', country code and number, 7 to 15 digits, no spaces or dashes,"
    " for example +14155550100",
)
_NO_EMERGENCY = rule(
    r"!self.matches(r'^\+?[0-9]{0,3}(911|112|999|000|110|111|113|118|119)(;.*)?$')",
    "is an emergency number, which no call is connected to: the emergency services must see where a"
    " caller is, so the agent tells callers in danger to dial it themselves; name a person's phone",
)
DESTINATION = checked(
    *E164[KEY],
    _NO_EMERGENCY,
    rule(
        f"!self.contains('{EXTENSION}')",
        "has an extension, which nobody presses here: the carrier rings this phone by itself, also"
        " when everything of ours is down; name a phone that is reached directly",
    ),
)
PERSONS_PHONE = checked(
    rule(
        f"self.matches(r'{PHONE_PATTERN}')",
        "must be an E.164 number: '+', country code and number, 7 to 15 digits, no spaces or"
        " dashes; behind it may stand an extension of 1 to 8 digits, for example"
        " +14155550100;ext=204",
    ),
    _NO_EMERGENCY,
)
OVERFLOW_AGENT = checked(
    *DNS_LABEL[KEY],
    rule(
        "!self.matches('^voicefleet-(green-)?vc-')",
        "is a name for a client's own agent, which would be offered every client's calls; choose"
        " another, for example voicefleet-overflow",
    ),
)
EMAIL = text(r"^[^@\s]+@[^@\s]+$", "must be an e-mail address, for example owner@business.example")
TIME_ZONE = text(
    TIME_ZONE_PATTERN,
    "must be a time zone of the IANA database, Area/City, for example America/New_York (or UTC);"
    " abbreviations such as EST know no daylight saving time",
)
PLAN_NAME = text(
    r"^[A-Za-z][A-Za-z0-9-]*$",
    "must be a plan's name: a letter, then letters, digits and '-', for example Pro",
)
COUNTRY = text(r"^[A-Z]{2}$", "must be an ISO 3166 country code in capitals, for example US")
AREA_CODE = text(
    r"^[2-9][0-9]{2}$",
    "must be a North American area code: three digits, in quotes, the first from 2 to 9,"
    ' for example "415"',
)
CURRENCY = text(r"^[a-z]{3}$", "must be an ISO 4217 currency in lower case, for example usd")
CLIENT_ID = text(CLIENT_ID_PATTERN, "must be a client's identity (status.clientID): vc-…")
CUSTOMER = text(r"^cus_", "must be the id of a Stripe customer, which begins with cus_")
SUBSCRIPTION = text(r"^sub_", "must be the id of a Stripe subscription, which begins with sub_")
SIP_URI = text(r"^sips?:.+$", "must be a SIP address, for example sip:sip.fleet.example:5060")
SIP_ADDRESS = text(r"^[^:/@\s]+:[0-9]+$", "must be a host and a port, for example 192.0.2.1:5060")
HTTP_URL = text(r"^https?://", "must begin with http:// or https://")
WS_URL = text(r"^wss?://", "must begin with ws:// or wss://")
CALDAV_URL = text(
    r"^https?://[^/@\s]+/",
    "must begin with http:// or https:// and a host, and has a path; user name and password"
    " belong into the Secret",
)
HTTP_OR_WS_URL = text(r"^(http|ws)s?://", "must begin with http://, https://, ws:// or wss://")
CLOCK = text(
    r"^([01][0-9]|2[0-3]):[0-5][0-9]$",
    'must be a time of day as HH:MM, 24 hours, in quotes, for example "08:30"',
)
APPOINTMENT_KEY = text(
    KEY_PATTERN,
    "must begin with a lower-case letter, then letters and digits, at most 32, for example checkUp",
)
SECRET_KEY = text(
    r"^[-._a-zA-Z0-9]+$",
    "must be a key of the Secret: letters, digits, '-', '_' and '.', for example sample.mp3",
)
DATE = text(
    r"^\d{4}-\d{2}-\d{2}$", 'must be a date as YYYY-MM-DD, in quotes, for example "2026-12-25"'
)
ZONE = text(DNS_ZONE_PATTERN, "must be a DNS zone in lower case, for example fleet.example")
PROFESSION = checked(
    rule(
        f"self in {list(profession_names())!r}",
        f"is not a profession that we ship; choose one of {', '.join(profession_names())};"
        " or leave profession out and name a Receptionist with a prompt of your own in"
        " spec.receptionistRef",
    )
)
CARRIER_NETWORK = checked(
    rule(
        "isCIDR(self)",
        "must be a network in CIDR form, for example 54.172.60.0/30; a single address is /32",
    ),
    rule(
        "!isCIDR(self) || cidr(self).prefixLength() >= 8",
        "is wider than /8 and admits any caller on the internet, 0.0.0.0/0 and ::/0 included: calls"
        " would be answered, and paid for, that your carrier never sent; list the carrier's"
        " own networks",
    ),
)
IMAGE = checked(
    rule(
        r"self.matches(r'^\S+(:[\w.-]+|@sha256:[0-9a-f]{64})$') && !self.endsWith(':latest')",
        "must say which image it is, by a tag other than latest or by its digest: agents are rolled"
        " out where the name changes, for example registry.example/voicefleet-agent:1.4.0",
    )
)
CERTIFICATE_BUNDLE = text(
    r"^-----BEGIN CERTIFICATE-----",
    "must be certificates in PEM form, the first of them beginning with"
    " -----BEGIN CERTIFICATE-----, as `openssl x509` prints them",
)
EGRESS_NETWORK = checked(
    rule(
        "isCIDR(self)",
        "must be a network in CIDR form, for example 203.0.113.7/32 for a single address",
    ),
    rule(
        "!isCIDR(self) || self == '0.0.0.0/0' || cidr(self).prefixLength() >= 8",
        "is wider than /8: agents would reach other clients, nodes and the API server; name what is"
        " to be reached, or 0.0.0.0/0 for the internet without private networks",
    ),
)

# Objects -----------------------------------------------------------------------------------------

_REQUEST_OR_E164 = rule(
    "has(self.request) != has(self.e164)",
    "set exactly one of request (any number of that kind) and e164 (this very number)",
)
_EXISTING_NEEDS_E164 = rule(
    "!has(self.source) || self.source != 'Existing' || has(self.e164)",
    "source Existing takes over a number that the account already has: say which one in e164,"
    " or buy one with source Purchase",
)

NUMBER_REQUEST = checked(
    rule(
        "!has(self.areaCode) || !has(self.country) || self.country in ['US', 'CA']",
        "areaCode is for numbers of country US or CA; remove it, or change country",
        ".areaCode",
    )
)
NUMBER_CLAIM = checked(
    _REQUEST_OR_E164,
    _EXISTING_NEEDS_E164,
    rule(
        " && ".join(
            (
                _same("source", "Purchase"),
                _same("e164"),
                _same("request", parts=_REQUEST_PARTS),
            )
        ),
        "source, request and e164 of a number do not change, because the number is bought by now;"
        " for another number, delete this entry and add one under another name",
    ),
)
BILLING = checked(
    rule(
        "!(has(self.mode) && self.mode == 'None')"
        " || (!has(self.existing) && !(has(self.trialDays) && self.trialDays > 0))",
        "with mode None this client is not billed, so existing and trialDays have no meaning;"
        " remove them, or set mode to Managed",
    ),
    rule(
        "!(has(self.collection) && self.collection == 'Card')"
        " || (has(self.existing) && has(self.existing.customerID))",
        "collection Card charges a card that Stripe already has: name its customer in"
        " existing.customerID, or use Checkout, which asks the client for a card",
        ".collection",
    ),
)
EXISTING_BILLING = checked(
    rule(
        "!has(self.subscriptionID) || has(self.customerID)",
        "a subscription is taken over together with its customer: set customerID too",
        ".customerID",
    )
)
TELEPHONY = checked(
    rule(
        "!(has(self.ingress) && self.ingress == 'ProgrammableVoice')"
        " || (has(self.transfer) && self.transfer == 'Warm')",
        "with ingress ProgrammableVoice the carrier takes no SIP REFER from us: set transfer to"
        " Warm, or ingress to Trunk",
        ".transfer",
    )
)
_TELEPHONY_OFF = "has(self.telephony) && has(self.telephony.mode) && self.telephony.mode == 'None'"
VOICE_CLIENT_SPEC = checked(
    rule(
        _same("fleetRef", parts={"name": "default"}),
        "a client stays in its fleet, because its number, subscription and trunk live in that"
        " fleet's accounts; to move it, make a new VoiceClient and delete this one",
        ".fleetRef",
    ),
    rule(
        _same("accounts", parts={"telephony": "main", "billing": "main", "voices": "main"}),
        "a client stays in its accounts, because what it owns cannot leave them; to move it, make"
        " a new VoiceClient with other accounts and delete this one",
        ".accounts",
    ),
    rule(
        "has(self.profession) || has(self.receptionistRef)",
        "set profession, so that the agent knows its trade, or name a Receptionist with a prompt of"
        f" your own in receptionistRef; professions: {', '.join(profession_names())}",
    ),
    rule(
        f"({_TELEPHONY_OFF}) || (has(self.telephony) && has(self.telephony.numbers)"
        " && size(self.telephony.numbers) > 0)",
        "a client with telephony needs at least one entry in telephony.numbers, or nobody can call"
        " it; add one, or set telephony.mode to None",
    ),
    rule(
        f"!(has(self.suspend) && self.suspend) || ({_TELEPHONY_OFF})"
        " || (has(self.telephony) && has(self.telephony.fallback))",
        "a suspended client's calls go to telephony.fallback.forwardTo, which is not set; set it"
        " (for example to the owner's mobile) before you suspend the client",
        ".suspend",
    ),
    rule(
        "has(self.business.email)"
        " || (has(self.billing) && has(self.billing.mode) && self.billing.mode == 'None')"
        " || (has(self.billing) && has(self.billing.collection)"
        " && self.billing.collection != 'Invoice')"
        " || (has(self.billing) && has(self.billing.existing)"
        " && has(self.billing.existing.customerID))",
        "billing.collection Invoice (the default) sends invoices by e-mail: set business.email, or"
        " choose another collection",
        ".business",
    ),
)
NAMED_OBJECT = checked(
    rule(
        f"self.metadata.name.matches(r'{DNS_LABEL_PATTERN}')",
        "metadata.name must be a DNS label: lower-case letters, digits and '-', at most 63"
        " characters, no dots; it stands in names at the vendors",
    )
)

_PHONE_NUMBER_FIXED = " && ".join(
    (
        _same("fleetRef"),
        _same("account"),
        _same("source", "Purchase"),
        _same("request", parts=_REQUEST_PARTS),
        _same("e164"),
    )
)
PHONE_NUMBER_SPEC = checked(
    _REQUEST_OR_E164,
    _EXISTING_NEEDS_E164,
    rule(
        _PHONE_NUMBER_FIXED,
        "fleetRef, account, source, request and e164 say which number this is and do not change;"
        " make another PhoneNumber for another number",
    ),
    rule(
        "!has(oldSelf.claimRef) || !has(self.claimRef) || self.claimRef == oldSelf.claimRef",
        "a number does not go from one client straight to another, whose callers it would surprise:"
        " remove claimRef first; the number can be claimed again when its quarantine has ended",
        ".claimRef",
    ),
)

_NO_SANDBOX = (
    "(!has(self.{0}) || !has(self.{0}.accounts) || self.{0}.accounts.all(a, a.mode != 'Sandbox'))"
)
TELEPHONY_CONFIG = checked(
    rule(
        "!has(self.secure) || !self.secure"
        " || self.originationURIs.all(u, u.endsWith(';transport=tls'))",
        "with secure the carrier sends calls by TLS alone: end each URI with ;transport=tls, for"
        " example sip:sip.fleet.example:5061;transport=tls",
        ".originationURIs",
    )
)
EGRESS = checked(
    rule(
        "has(self.cidr) != has(self.namespace)",
        "set exactly one of cidr (outside the cluster, or in a node's network) and namespace (in"
        " the cluster)",
    )
)
EGRESS_PORT = checked(
    rule(
        "!has(self.endPort) || self.endPort >= self.port",
        "endPort is the last of the ports, and port the first: make it port or more, or remove it",
        ".endPort",
    )
)
FLEET_SPEC = checked(
    rule(
        f"has(self.sandbox) || ({_NO_SANDBOX.format('billing')}"
        f" && {_NO_SANDBOX.format('telephony')} && {_NO_SANDBOX.format('voices')})",
        "an account has mode Sandbox, but the fleet has no sandbox: set sandbox.url, or set the"
        " account's mode to Live",
    ),
    rule(
        "self.plans.all(p, (has(p.currency) ? p.currency : 'usd') =="
        " (has(self.plans[0].currency) ? self.plans[0].currency : 'usd'))",
        "all plans of a fleet have one currency, because a Stripe customer cannot change to a plan"
        " in another; make a second Fleet for a second currency",
        ".plans",
    ),
)
CONSENT_MISSING = (
    "a voice belongs to a person, and is not cloned without their consent: say in consent who gave"
    " it (givenBy), when (givenAt) and in which words (statement); or remove voice, and the agent"
    " speaks with the machine's"
)
SECRET_RESERVED = (
    f"{OWN_VOICE} is what the agent calls the fleet's key for the client's own voice, which is not"
    " to be sent elsewhere; give the Secret another name"
)
PROVIDER_SECRET = checked(rule(f"self.name != '{OWN_VOICE}'", SECRET_RESERVED, ".name"))
EXPERIMENT_EMPTY = (
    "two ways of saying the same cannot be told apart: set greeting, prompt or both, as the other"
    " callers are to hear them"
)
EXPERIMENT = checked(rule("has(self.greeting) || has(self.prompt)", EXPERIMENT_EMPTY, ".greeting"))
VOICE_CLONE = checked(rule("has(self.consent)", CONSENT_MISSING, ".consent"))
OPENING_HOURS = checked(
    rule(
        "self.opens < self.closes",
        "closes must be later than opens; hours past midnight are two entries, one of which"
        ' closes at "23:59" and one opens at "00:00" on the next day',
        ".closes",
    )
)
