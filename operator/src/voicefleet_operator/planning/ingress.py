"""Where the carrier sends a number's calls (pure).

A number is on the client's trunk, or it holds instructions: then it is on none, for a trunk has
precedence. One request changes all of it, so that calls find a way at every moment.
https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from voicefleet_api.dial import Leg, dial, uri_at
from voicefleet_operator.planning.desired import Desired, WantedTelephony
from voicefleet_operator.planning.observed import CarrierNumber, CarrierTrunk

_ECHO = "https://twimlets.com/echo?Twiml="
_NOT_YET = "(new)"


@dataclass(frozen=True, slots=True)
class Ingress:
    """What a number holds."""

    trunk_sid: str | None = None
    voice_url: str | None = None
    voice_fallback_url: str | None = None

    def held_by(self, number: CarrierNumber) -> bool:
        """Whether the carrier has it so."""
        return self == Ingress(number.trunk_sid, number.voice_url, number.voice_fallback_url)


def ingress(
    desired: Desired, wanted: WantedTelephony, trunk: CarrierTrunk | None, e164: str
) -> Ingress:
    """How that number's calls are to come to the client, or to its phone while suspended."""
    fallback = forward_url(wanted.forward_to) if wanted.forward_to else None
    if desired.suspended:
        return Ingress(voice_url=fallback)
    if wanted.voice_webhook is None:
        return Ingress(trunk.sid if trunk else _NOT_YET)
    uris = tuple(uri_at(edge, e164) for edge in wanted.origination)
    leg = Leg(desired.mark.client_id, uris, wanted.forward_to)
    return Ingress(
        voice_url=hosted(dial(leg, wanted.voice_webhook)),
        # Also where the webhook does not answer.
        voice_fallback_url=fallback,
    )


def leads_to_us(number: CarrierNumber, trunk: CarrierTrunk | None) -> bool:
    """Whether the carrier sends its calls to us, in whichever way."""
    if number.trunk_sid is None:
        return is_hosted(number.voice_url)
    return trunk is not None and number.trunk_sid == trunk.sid


def hosted(twiml: str) -> str:
    """Instructions that the carrier hosts itself (Twilio's "echo" Twimlet)."""
    return _ECHO + quote(twiml, safe="")


def is_hosted(url: str | None) -> bool:
    """Whether instructions are such ones."""
    return (url or "").startswith(_ECHO)


def forward_url(e164: str) -> str:
    """Instructions hosted at the carrier that ring another phone (Twilio's "forward" Twimlet)."""
    return f"https://twimlets.com/forward?PhoneNumber={quote(e164)}"
