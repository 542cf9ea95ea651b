"""Manifests that break one rule each, with what the API server is to say, or none."""

from __future__ import annotations

from typing import Any

from support.manifests import Manifest, fleet, numbers, phone_number, receptionist, voice_client
from voicefleet_api.names import OWN_VOICE

CLAIM = {"namespace": "default", "name": "a", "clientID": "vc-aaaaaaaaaa", "number": "main"}
LIVE = {"namespace": "voicefleet-system", "name": "credentials"}


def one_number(**claim: Any) -> Manifest:
    """spec.telephony with a single number."""
    return {"telephony": {"numbers": [{"name": "main", **claim}]}}


def livekit(overflow: str) -> Manifest:
    """spec.livekit of a fleet with an overflow agent of that name."""
    address = {"url": "http://x", "agentURL": "ws://x", "secretRef": LIVE}
    return {**address, "overflowAgent": overflow}


def network(cidr: str) -> Manifest:
    """spec.telephony of a fleet whose carrier calls from there."""
    return {"telephony": {"carrierNetworks": [cidr]}}


def agents(**config: Any) -> Manifest:
    """spec.runtime of a fleet whose agents run in the cluster."""
    return {"runtime": {"className": "kubernetes", "kubernetes": config}}


def cloned(**clone: Any) -> Manifest:
    """A Receptionist with a voice of its own."""
    consent = {"givenBy": "Ada", "givenAt": "2026-01-31T12:00:00Z", "statement": "Yes."}
    sample = {"name": "ada", "key": "sample.mp3"}
    whole = {"sampleRef": sample, "consent": consent, **clone}
    return receptionist(voice={"clone": {k: v for k, v in whole.items() if v is not None}})


ANY = {"request": {"areaCode": "415"}}
TLS = "sip:192.0.2.1:5061;transport=tls"
# (manifest, field that the error names, words that the message has)
REFUSED: dict[str, tuple[Manifest, str, str]] = {
    # VoiceClient
    "name with dots": (voice_client("bright.smile"), "", "metadata.name must be a DNS label"),
    "name too long": (voice_client("x" * 64), "", "at most 63 characters"),
    "neither profession nor words": (
        voice_client(profession=None),
        "spec",
        "set profession, so that the agent knows its trade, or name a Receptionist",
    ),
    "the name of the fleet's own Secret": (
        voice_client(
            agent={"pipeline": {"tts": [{"provider": "Local", "secretRef": {"name": OWN_VOICE}}]}}
        ),
        "spec.agent.pipeline.tts[0].secretRef.name",
        "is not to be sent elsewhere; give the Secret another name",
    ),
    "unknown profession": (
        voice_client(profession="astrologer"),
        "spec.profession",
        "not a profession that we ship; choose one of accountant, auto-repair, dentist, doctor,"
        " electrician, hvac, lawyer, plumber, realtor, restaurant, salon, veterinarian",
    ),
    "profession with capitals": (
        voice_client(profession="Dentist"),
        "spec.profession",
        "choose one of accountant",
    ),
    "time zone abbreviation": (
        voice_client(business={"timeZone": "EST"}),
        "spec.business.timeZone",
        "Area/City, for example America/New_York",
    ),
    "time zone with a space": (
        voice_client(business={"timeZone": "America/New York"}),
        "spec.business.timeZone",
        "IANA database",
    ),
    "e-mail": (
        voice_client(business={"email": "owner"}),
        "spec.business.email",
        "must be an e-mail address",
    ),
    "invoice without e-mail": (
        voice_client(business={"email": None}),
        "spec.business",
        "set business.email, or choose another collection",
    ),
    "business phone": (
        voice_client(business={"phone": "415-555-0100"}),
        "spec.business.phone",
        "must be an E.164 number: '+', country code and number",
    ),
    "plan's name": (voice_client(plan="Pro plan"), "spec.plan", "must be a plan's name"),
    "subdomain": (
        voice_client(dns={"subdomain": "Bright_Smile"}),
        "spec.dns.subdomain",
        "must be a DNS label: lower-case letters",
    ),
    "subdomain of two labels": (
        voice_client(dns={"subdomain": "bright.smile"}),
        "spec.dns.subdomain",
        "must be a DNS label",
    ),
    "no number": (
        voice_client(telephony={"numbers": []}),
        "spec",
        "needs at least one entry in telephony.numbers",
    ),
    "no telephony": (
        voice_client(telephony=None),
        "spec",
        "add one, or set telephony.mode to None",
    ),
    "suspended without fallback": (
        voice_client(suspend=True),
        "spec.suspend",
        "telephony.fallback.forwardTo, which is not set",
    ),
    "fallback": (
        voice_client(telephony={"fallback": {"forwardTo": "4155550100"}}),
        "spec.telephony.fallback.forwardTo",
        "must be an E.164 number",
    ),
    "number without request and e164": (
        voice_client(**one_number()),
        "spec.telephony.numbers[0]",
        "set exactly one of request",
    ),
    "number with request and e164": (
        voice_client(**one_number(**ANY, e164="+14155550100")),
        "spec.telephony.numbers[0]",
        "set exactly one of request",
    ),
    "existing number not named": (
        voice_client(**one_number(**ANY, source="Existing")),
        "spec.telephony.numbers[0]",
        "say which one in e164",
    ),
    "e164 without plus": (
        voice_client(**one_number(e164="14155550100")),
        "spec.telephony.numbers[0].e164",
        "for example +14155550100",
    ),
    "e164 too short": (
        voice_client(**one_number(e164="+141555")),
        "spec.telephony.numbers[0].e164",
        "7 to 15 digits",
    ),
    "e164 too long": (
        voice_client(**one_number(e164="+1415555010012345")),
        "spec.telephony.numbers[0].e164",
        "7 to 15 digits",
    ),
    "fallback is an emergency number": (
        voice_client(telephony={"fallback": {"forwardTo": "911"}}),
        "spec.telephony.fallback.forwardTo",
        "is an emergency number, which no call is connected to",
    ),
    "emergency number abroad": (
        voice_client(telephony={"limits": {"transferTo": ["+49112"]}}),
        "spec.telephony.limits.transferTo[0]",
        "name a person's phone",
    ),
    "the carrier keeps the caller, who is to be referred": (
        voice_client(telephony={"ingress": "ProgrammableVoice"}),
        "spec.telephony.transfer",
        "set transfer to Warm, or ingress to Trunk",
    ),
    "contact is an emergency number": (
        receptionist(contacts=[{"name": "help", "phone": "112"}]),
        "spec.contacts[0].phone",
        "so the agent tells callers in danger to dial it themselves",
    ),
    "an emergency number's extension": (
        receptionist(contacts=[{"name": "help", "phone": "911;ext=1"}]),
        "spec.contacts[0].phone",
        "is an emergency number, which no call is connected to",
    ),
    "encrypted calls to an address without TLS": (
        fleet(telephony={"secure": True, "originationURIs": [TLS, "sip:192.0.2.1:5060"]}),
        "spec.telephony.originationURIs",
        "end each URI with ;transport=tls",
    ),
    "a sandbox's edge as an URL": (
        fleet(sandbox={"sipAddress": "sip:192.0.2.2:5060"}),
        "spec.sandbox.sipAddress",
        "must be a host and a port",
    ),
    "an extension with letters": (
        receptionist(contacts=[{"name": "billing", "phone": "+14155550100;ext=2o4"}]),
        "spec.contacts[0].phone",
        "an extension of 1 to 8 digits, for example +14155550100;ext=204",
    ),
    "an extension as people write it": (
        voice_client(telephony={"limits": {"transferTo": ["+14155550100 x204"]}}),
        "spec.telephony.limits.transferTo[0]",
        "behind it may stand an extension of 1 to 8 digits",
    ),
    "the last resort has an extension": (
        voice_client(telephony={"fallback": {"forwardTo": "+14155550100;ext=204"}}),
        "spec.telephony.fallback.forwardTo",
        "nobody presses here: the carrier rings this phone by itself",
    ),
    "area code": (
        voice_client(**one_number(request={"areaCode": "115"})),
        "spec.telephony.numbers[0].request.areaCode",
        "three digits, in quotes, the first from 2 to 9",
    ),
    "area code of another country": (
        voice_client(**one_number(request={"country": "DE", "areaCode": "415"})),
        "spec.telephony.numbers[0].request.areaCode",
        "areaCode is for numbers of country US or CA",
    ),
    "country": (
        voice_client(**one_number(request={"country": "us"})),
        "spec.telephony.numbers[0].request.country",
        "ISO 3166 country code in capitals",
    ),
    "number's name": (
        voice_client(telephony={"numbers": [{"name": "Main Line", **ANY}]}),
        "spec.telephony.numbers[0].name",
        "must be a DNS label",
    ),
    "number's name twice": (
        voice_client(telephony={"numbers": numbers(1) + numbers(1)}),
        "spec.telephony.numbers[1]",
        "Duplicate value",
    ),
    "not billed but on trial": (
        voice_client(billing={"mode": "None", "trialDays": 14}),
        "spec.billing",
        "existing and trialDays have no meaning",
    ),
    "not billed but taken over": (
        voice_client(billing={"mode": "None", "existing": {"customerID": "cus_1"}}),
        "spec.billing",
        "remove them, or set mode to Managed",
    ),
    "card without customer": (
        voice_client(billing={"collection": "Card"}),
        "spec.billing.collection",
        "name its customer in existing.customerID",
    ),
    "subscription without customer": (
        voice_client(billing={"existing": {"subscriptionID": "sub_1"}}),
        "spec.billing.existing.customerID",
        "set customerID too",
    ),
    "customer": (
        voice_client(billing={"existing": {"customerID": "1"}}),
        "spec.billing.existing.customerID",
        "begins with cus_",
    ),
    "subscription": (
        voice_client(billing={"existing": {"customerID": "cus_1", "subscriptionID": "1"}}),
        "spec.billing.existing.subscriptionID",
        "begins with sub_",
    ),
    "mode": (
        voice_client(billing={"mode": "Free"}),
        "spec.billing.mode",
        'supported values: "Managed", "None"',
    ),
    "misspelt field": (voice_client(professoin="dentist"), "spec.professoin", "unknown field"),
    # Receptionist
    "clock": (
        receptionist(hours=[{"day": "Monday", "opens": "8:00", "closes": "17:00"}]),
        "spec.hours[0].opens",
        "must be a time of day as HH:MM",
    ),
    "closes before it opens": (
        receptionist(hours=[{"day": "Friday", "opens": "18:00", "closes": "02:00"}]),
        "spec.hours[0].closes",
        "hours past midnight are two entries",
    ),
    "holiday": (
        receptionist(holidays=["25.12.2026"]),
        "spec.holidays[0]",
        "must be a date as YYYY-MM-DD",
    ),
    "an appointment's key with a space": (
        receptionist(appointments=[{"key": "check up", "title": "check-up", "minutes": 30}]),
        "spec.appointments[0].key",
        "must begin with a lower-case letter",
    ),
    "a voice without consent": (
        cloned(consent=None),
        "spec.voice.clone.consent",
        "a voice belongs to a person, and is not cloned without their consent: say in consent who"
        " gave it (givenBy), when (givenAt) and in which words (statement); or remove voice",
    ),
    "an experiment without other words": (
        receptionist(experiment={"name": "nothing"}),
        "spec.experiment.greeting",
        "two ways of saying the same cannot be told apart: set greeting, prompt or both",
    ),
    "consent without words": (
        cloned(consent={"givenBy": "Ada", "givenAt": "2026-01-31T12:00:00Z"}),
        "spec.voice.clone.consent.statement",
        "Required value",
    ),
    "consent at no time": (
        cloned(consent={"givenBy": "Ada", "givenAt": "yesterday", "statement": "Yes."}),
        "spec.voice.clone.consent.givenAt",
        "must be of type date-time",
    ),
    "a recording's key with a path": (
        cloned(sampleRef={"name": "ada", "key": "voices/ada.mp3"}),
        "spec.voice.clone.sampleRef.key",
        "must be a key of the Secret",
    ),
    "receptionist's name": (receptionist("a.b"), "", "metadata.name must be a DNS label"),
    # PhoneNumber
    "PhoneNumber of nothing": (
        phone_number(request=None),
        "spec",
        "set exactly one of request",
    ),
    "PhoneNumber of both": (
        phone_number(e164="+14155550100"),
        "spec",
        "set exactly one of request",
    ),
    "PhoneNumber existing": (phone_number(source="Existing"), "spec", "say which one in e164"),
    "claim without identity": (
        phone_number(claimRef={**CLAIM, "clientID": "bright-smile"}),
        "spec.claimRef.clientID",
        "must be a client's identity",
    ),
    # Fleet
    "plan twice": (
        fleet(plans=[{"name": "Solo", "monthlyPriceMinor": 1}] * 2),
        "spec.plans[1]",
        "Duplicate value",
    ),
    "no plans": (fleet(plans=[]), "spec.plans", "should have at least 1 items"),
    "two currencies": (
        fleet(
            plans=[
                {"name": "Solo", "monthlyPriceMinor": 1},
                {"name": "Duo", "monthlyPriceMinor": 1, "currency": "eur"},
            ]
        ),
        "spec.plans",
        "all plans of a fleet have one currency",
    ),
    "currency": (
        fleet(plans=[{"name": "Solo", "monthlyPriceMinor": 1, "currency": "USD"}]),
        "spec.plans[0].currency",
        "ISO 4217 currency in lower case",
    ),
    "sandbox missing for voices": (
        fleet(
            sandbox=None,
            telephony=None,
            billing=None,
            voices={"accounts": [{"name": "main", "mode": "Sandbox", "secretRef": LIVE}]},
        ),
        "spec",
        "the fleet has no sandbox: set sandbox.url",
    ),
    "sandbox missing": (fleet(sandbox=None), "spec", "the fleet has no sandbox: set sandbox.url"),
    "sandbox missing for billing": (
        fleet(sandbox=None, telephony=None),
        "spec",
        "or set the account's mode to Live",
    ),
    "sandbox missing for telephony": (
        fleet(sandbox=None, billing=None),
        "spec",
        "or set the account's mode to Live",
    ),
    "network without length": (
        fleet(**network("192.0.2.1")),
        "spec.telephony.carrierNetworks[0]",
        "must be a network in CIDR form",
    ),
    "the whole of IPv4": (
        fleet(**network("0.0.0.0/0")),
        "spec.telephony.carrierNetworks[0]",
        "admits any caller",
    ),
    "half of IPv4": (
        fleet(**network("128.0.0.0/7")),
        "spec.telephony.carrierNetworks[0]",
        "admits any caller",
    ),
    "the whole of IPv6": (
        fleet(**network("::/0")),
        "spec.telephony.carrierNetworks[0]",
        "list the carrier's own networks",
    ),
    "image without tag": (
        fleet(**agents(image="registry.example:5000/agent")),
        "spec.runtime.kubernetes.image",
        "must say which image it is",
    ),
    "image latest": (
        fleet(**agents(image="registry.example/agent:latest")),
        "spec.runtime.kubernetes.image",
        "a tag other than latest",
    ),
    "certificates that are a file's name": (
        fleet(**agents(caBundle="/etc/ssl/ca.pem")),
        "spec.runtime.kubernetes.caBundle",
        "must be certificates in PEM form",
    ),
    "egress to everything": (
        fleet(**agents(egress=[{"name": "all", "cidr": "::/0", "ports": [{"port": 443}]}])),
        "spec.runtime.kubernetes.egress[0].cidr",
        "is wider than /8",
    ),
    "egress to no network": (
        fleet(**agents(egress=[{"name": "livekit", "cidr": "192.0.2.1", "ports": [{"port": 1}]}])),
        "spec.runtime.kubernetes.egress[0].cidr",
        "must be a network in CIDR form, for example 203",
    ),
    "egress to nowhere": (
        fleet(**agents(egress=[{"name": "livekit", "ports": [{"port": 1}]}])),
        "spec.runtime.kubernetes.egress[0]",
        "set exactly one of cidr",
    ),
    "egress ports that end before they begin": (
        fleet(
            **agents(
                egress=[
                    {
                        "name": "livekit",
                        "cidr": "192.0.2.1/32",
                        "ports": [{"port": 60000, "endPort": 50000}],
                    }
                ]
            )
        ),
        "spec.runtime.kubernetes.egress[0].ports[0].endPort",
        "endPort is the last of the ports",
    ),
    "no carrier network": (
        fleet(telephony={"carrierNetworks": []}),
        "spec.telephony.carrierNetworks",
        "at least 1 items",
    ),
    "SIP address": (
        fleet(telephony={"originationURIs": ["192.0.2.1:5060"]}),
        "spec.telephony.originationURIs[0]",
        "must be a SIP address",
    ),
    "calendar's address": (
        receptionist(
            calendar={"caldav": {"url": "https://me:pw@dav/x/", "secretRef": {"name": "cal"}}}
        ),
        "spec.calendar.caldav.url",
        "user name and password belong into the Secret",
    ),
    "sandbox's address": (fleet(sandbox={"url": "localhost"}), "spec.sandbox.url", "http://"),
    "LiveKit's address": (
        fleet(livekit={"url": "ftp://x", "agentURL": "ws://x", "secretRef": LIVE}),
        "spec.livekit.url",
        "must begin with http://, https://, ws:// or wss://",
    ),
    "LiveKit's address for agents": (
        fleet(livekit={"url": "http://x", "agentURL": "http://x", "secretRef": LIVE}),
        "spec.livekit.agentURL",
        "must begin with ws:// or wss://",
    ),
    "an overflow agent with a client's name": (
        fleet(livekit=livekit("voicefleet-green-vc-0000000001")),
        "spec.livekit.overflowAgent",
        "is a name for a client's own agent",
    ),
    "an overflow agent's name": (
        fleet(livekit=livekit("Overflow agent")),
        "spec.livekit.overflowAgent",
        "must be a DNS label",
    ),
    "zone": (
        fleet(
            dns={
                "zone": "Fleet Example",
                "server": "192.0.2.3",
                "tsigSecretRef": LIVE,
                "target": "192.0.2.4",
            }
        ),
        "spec.dns.zone",
        "must be a DNS zone in lower case",
    ),
}

ACCEPTED: dict[str, Manifest] = {
    "agents in the cluster": fleet(
        **agents(
            image="registry.example:5000/voicefleet-agent:1.4.0",
            storageClassName="local-path",
            nodeSelector={"voicefleet.dev/agents": "true"},
            egress=[
                {
                    "name": "livekit",
                    "cidr": "192.0.2.1/32",
                    "ports": [
                        {"port": 7880},
                        {"protocol": "UDP", "port": 50000, "endPort": 60000},
                    ],
                },
                {"name": "portal", "namespace": "voicefleet-system", "ports": [{"port": 8443}]},
                {"name": "vendors", "cidr": "0.0.0.0/0", "ports": [{"port": 443}]},
            ],
        )
    ),
    "an image by its digest": fleet(**agents(image=f"localhost/agent@sha256:{'0' * 64}")),
    "encrypted calls": fleet(telephony={"secure": True, "originationURIs": [TLS]}),
    "a sandbox with a SIP edge": fleet(sandbox={"sipAddress": "192.0.2.2:5060"}),
    "a contact with an extension": receptionist(
        contacts=[{"name": "billing", "phone": "+14155550100;ext=204"}]
    ),
    "an extension that callers may be connected to": voice_client(
        telephony={"limits": {"transferTo": ["+14155550100;ext=204"]}}
    ),
    "least": voice_client(),
    "words of one's own": voice_client(profession=None, receptionistRef={"name": "words"}),
    "the carrier keeps the caller": voice_client(
        telephony={"ingress": "ProgrammableVoice", "transfer": "Warm"}
    ),
    "no telephony": voice_client(telephony={"mode": "None", "numbers": None}),
    "suspended without telephony": voice_client(
        suspend=True, telephony={"mode": "None", "numbers": None}
    ),
    "suspended with fallback": voice_client(
        suspend=True, telephony={"fallback": {"forwardTo": "+14155550100"}}
    ),
    "not billed": voice_client(business={"email": None}, billing={"mode": "None"}),
    "link to pay, no e-mail": voice_client(
        business={"email": None}, billing={"collection": "Checkout"}
    ),
    "customer taken over": voice_client(
        business={"email": None},
        billing={"existing": {"customerID": "cus_1", "subscriptionID": "sub_1"}},
    ),
    "card": voice_client(billing={"collection": "Card", "existing": {"customerID": "cus_1"}}),
    "any US number": voice_client(**one_number(request={"country": "US"})),
    "any number at all": voice_client(**one_number(request={})),
    "a German number": voice_client(**one_number(request={"country": "DE"})),
    "an existing number": voice_client(**one_number(source="Existing", e164="+14155550100")),
    "shortest E.164": voice_client(**one_number(e164="+1415555")),
    "longest E.164": voice_client(**one_number(e164="+141555501001234")),
    "zones of all shapes": voice_client(business={"timeZone": "America/Argentina/Buenos_Aires"}),
    "UTC": voice_client(business={"timeZone": "UTC"}),
    "Etc": voice_client(business={"timeZone": "Etc/GMT+5"}),
    "longest name": voice_client("x" * 63),
    "a free number": phone_number(),
    "a claimed number": phone_number(claimRef=CLAIM),
    "a fleet": fleet(),
    "a fleet with an overflow agent": fleet(livekit=livekit("voicefleet-overflow")),
    "a live fleet": fleet(
        sandbox=None,
        telephony=None,
        billing={"accounts": [{"name": "main", "mode": "Live", "secretRef": LIVE}]},
    ),
    "plans only": fleet(sandbox=None, telephony=None, billing=None),
    "widest network": fleet(**network("10.0.0.0/8")),
    "IPv6 network": fleet(**network("2001:db8::/32")),
    "hours": receptionist(hours=[{"day": "Friday", "opens": "18:00", "closes": "23:59"}]),
    "empty receptionist": receptionist(),
    "a voice with consent": cloned(),
    "an experiment": receptionist(experiment={"name": "shorter", "greeting": "{business}, hello!"}),
}

CHANGEABLE = voice_client(
    "changing",
    telephony={
        "numbers": [
            {"name": "any", **ANY},
            {"name": "exact", "e164": "+14155550100"},
        ]
    },
)
FIXED: dict[str, tuple[Manifest, str, str]] = {
    "fleet": ({"fleetRef": {"name": "other"}}, "spec.fleetRef", "a client stays in its fleet"),
    "telephony account": (
        {"accounts": {"telephony": "other"}},
        "spec.accounts",
        "a client stays in its accounts",
    ),
    "billing account": (
        {"accounts": {"billing": "other"}},
        "spec.accounts",
        "make a new VoiceClient with other accounts",
    ),
    "voices account": ({"accounts": {"voices": "other"}}, "spec.accounts", "stays in its accounts"),
    "area code": (
        {"telephony": {"numbers": [{"name": "any", "request": {"areaCode": "212"}}]}},
        "spec.telephony.numbers[0]",
        "delete this entry and add one under another name",
    ),
    "country": (
        {
            "telephony": {
                "numbers": [{"name": "any", "request": {"country": "CA", "areaCode": "415"}}]
            }
        },
        "spec.telephony.numbers[0]",
        "delete this entry",
    ),
    "from any to exact": (
        {"telephony": {"numbers": [{"name": "any", "e164": "+14155550101"}]}},
        "spec.telephony.numbers[0]",
        "delete this entry",
    ),
    "exact number": (
        {"telephony": {"numbers": [{"name": "exact", "e164": "+14155550101"}]}},
        "spec.telephony.numbers[0]",
        "because the number is bought by now",
    ),
    "source": (
        {
            "telephony": {
                "numbers": [{"name": "exact", "e164": "+14155550100", "source": "Existing"}]
            }
        },
        "spec.telephony.numbers[0]",
        "delete this entry",
    ),
}
FIXED_NUMBER: dict[str, tuple[Manifest, str]] = {
    "account": ({"account": "other"}, "say which number this is and do not change"),
    "fleet": ({"fleetRef": {"name": "other"}}, "do not change"),
    "source": ({"source": "Existing", "request": None, "e164": "+14155550100"}, "do not change"),
    "request": ({"request": {"areaCode": "212"}}, "make another PhoneNumber"),
    "to an exact number": ({"request": None, "e164": "+14155550100"}, "do not change"),
    "claim": (
        {"claimRef": {**CLAIM, "name": "b", "clientID": "vc-bbbbbbbbbb"}},
        "does not go from one client straight to another",
    ),
}
