"""What the carrier is told to dial, and what it tells us again when that has ended."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from defusedxml import ElementTree

from voicefleet_api.dial import Leg, dial, uri_at

pytestmark = pytest.mark.unit

WEBHOOK = "https://voice.agency.example/"
NUMBER = "+14155550100"
EDGES = tuple(uri_at(f"sip:192.0.2.{n}:5060", NUMBER) for n in (1, 2))
LEG = Leg("vc-aaaaaaaaaa", EDGES, "+14155550199")


@pytest.mark.parametrize("forward_to", ["+14155550199", None])
def test_a_leg_is_read_again_from_the_address_that_it_names(forward_to: str | None) -> None:
    leg = Leg("vc-aaaaaaaaaa", EDGES, forward_to, place=1, redials=2)
    url = urlsplit(leg.action(WEBHOOK))
    assert (url.netloc, url.path) == ("voice.agency.example", "/dial")
    assert Leg.read(parse_qsl(url.query)) == leg


def test_instructions_dial_the_legs_edge_and_let_the_caller_hear_it_ring() -> None:
    leg = LEG.at_next_edge()
    assert leg is not None
    [verb] = ElementTree.fromstring(dial(leg, WEBHOOK))
    assert (verb.tag, verb.get("answerOnBridge")) == ("Dial", "true")
    assert verb.get("action") == leg.action(WEBHOOK)
    [noun] = verb
    assert (noun.tag, noun.text) == ("Sip", "sip:+14155550100@192.0.2.2:5060")


def test_a_lost_leg_begins_at_the_first_edge_again_and_is_counted() -> None:
    second = LEG.at_next_edge()
    assert second is not None
    assert second.at_next_edge() is None
    assert second.again() == Leg("vc-aaaaaaaaaa", EDGES, "+14155550199", place=0, redials=1)


@pytest.mark.parametrize(
    "query", ["", "client=vc-a", "client=vc-a&uri=sip:x&place=1", "client=a&uri=sip:x&place=-1",
              "uri=sip:x", "client=a&uri=sip:x&place=one"],
)  # fmt: skip
def test_what_is_no_leg_is_refused(query: str) -> None:
    with pytest.raises(ValueError, match=r"leg|int"):
        Leg.read(parse_qsl(query))
