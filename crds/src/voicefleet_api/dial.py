"""Instructions (TwiML) by which the carrier keeps a caller whose way to us is lost.

With `ingress: ProgrammableVoice` a number holds `<Dial><Sip>` at the carrier: the caller's leg is
the carrier's, and a second leg comes to our SIP edge. Once that one has ended, the carrier asks the
voice webhook, Dial's `action`, what to do next. What the webhook must know stands in the action's
address: the controller writes the first one, the webhook each other, and the carrier signs it.
https://www.twilio.com/docs/voice/twiml/dial, https://www.twilio.com/docs/voice/twiml/sip
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

PATH = "/dial"
"""Of the voice webhook, below its base address."""
HANG_UP = "<Response><Hangup /></Response>"
_RING_SECONDS = 15
"""Our edge has answered after ten."""


@dataclass(frozen=True, slots=True)
class Leg:
    """A leg from the carrier to one of our SIP edges."""

    client_id: str
    uris: tuple[str, ...]
    """The number at each edge (sip:+14155550100@host:port), preferred first."""
    forward_to: str | None
    """Phone (E.164) that rings where none of ours takes the call."""
    place: int = 0
    """Which edge this leg goes to."""
    redials: int = 0
    """Legs that the caller has lost so far."""

    @classmethod
    def read(cls, query: Sequence[tuple[str, str]]) -> Self:
        """From the action's query; raises ValueError."""
        values = dict(query)
        uris = tuple(value for name, value in query if name == "uri")
        place = int(values["place"]) if "place" in values else 0
        if "client" not in values or not 0 <= place < len(uris):
            raise ValueError("no leg of ours")
        return cls(
            values["client"], uris, values.get("forward"), place, int(values.get("redials", "0"))
        )

    def action(self, webhook: str) -> str:
        """The address that is asked once this leg has ended; `webhook` is the base address."""
        query = [("client", self.client_id), *(("uri", uri) for uri in self.uris)]
        if self.forward_to:
            query.append(("forward", self.forward_to))
        query += [("place", str(self.place)), ("redials", str(self.redials))]
        return f"{webhook.rstrip('/')}{PATH}?{urlencode(query)}"

    def at_next_edge(self) -> Leg | None:
        """The leg to the next edge, if there is one."""
        place = self.place + 1
        return replace(self, place=place) if place < len(self.uris) else None

    def again(self) -> Leg:
        """The leg for a caller who has lost this one."""
        return replace(self, place=0, redials=self.redials + 1)


def uri_at(edge: str, number: str) -> str:
    """A number (E.164) at an edge (sip:host:port)."""
    scheme, _, host = edge.partition(":")
    return f"{scheme}:{number}@{host}"


def dial(leg: Leg, webhook: str) -> str:
    """Connect the caller with us; they hear it ring until we answer."""
    response = ET.Element("Response")
    verb = ET.SubElement(
        response, "Dial", action=leg.action(webhook), answerOnBridge="true",
        timeout=str(_RING_SECONDS),
    )  # fmt: skip
    ET.SubElement(verb, "Sip").text = leg.uris[leg.place]
    return ET.tostring(response, encoding="unicode")


def forward(number: str) -> str:
    """Connect the caller with a phone (E.164), and end the call when that one ends."""
    response = ET.Element("Response")
    ET.SubElement(response, "Dial").text = number
    return ET.tostring(response, encoding="unicode")
