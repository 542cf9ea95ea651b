"""Things at the vendors that bear this fleet's mark and belong to nobody who lives (pure).

They cost money and answer to nobody: what is left where objects were deleted by force, or a cluster
was lost. Another fleet's things are never among them. What a client that is being deleted still has
is no orphan.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from voicefleet_operator.planning.observed import (
    BillingInventory,
    ClonedVoice,
    DNSName,
    Mark,
    RoutingInventory,
    TelephonyInventory,
)


@dataclass(frozen=True, slots=True)
class Orphan:
    """One thing without an owner."""

    kind: str
    id: str
    """The vendor's; of a DNS name its label."""
    account: str
    """The fleet's account it is in, or livekit or dns."""
    owner: str
    """Whose it was, as far as its mark says."""
    mark: Mark
    cost_minor: int = 0
    """What the vendor bills for it a month, in cents."""
    charge_minor: int = 0
    """What a customer goes on paying for it a month, in cents."""


@dataclass(frozen=True, slots=True)
class Living:
    """Who may own something. Listed after the vendors: owners are there before what they own."""

    fleet_id: str
    client_ids: frozenset[str]
    number_names: frozenset[str]
    """PhoneNumber objects."""
    number_sids: frozenset[str]
    """What they hold."""

    def lacks(self, mark: Mark | None) -> bool:
        """Whether the mark is this fleet's, and its client is gone."""
        return (
            mark is not None
            and mark.fleet_id == self.fleet_id
            and mark.client_id not in self.client_ids
        )


def in_billing(living: Living, account: str, listed: BillingInventory) -> Iterator[Orphan]:
    """Subscriptions that go on, and links that may still be paid; a customer costs nothing."""
    for sub in listed.subscriptions.values():
        if sub.mark and living.lacks(sub.mark) and sub.live and not sub.cancel_at_period_end:
            name, charge = _name(sub.mark), sub.price_minor
            yield Orphan("Subscription", sub.id, account, name, sub.mark, charge_minor=charge)
    for link in listed.checkouts.values():
        if link.mark and living.lacks(link.mark):
            yield Orphan("Checkout", link.id, account, _name(link.mark), link.mark)


def in_telephony(
    living: Living, account: str, listed: TelephonyInventory, number_cost_minor: int
) -> Iterator[Orphan]:
    """Numbers that no PhoneNumber holds or is about to, and trunks."""
    prefix = f"voicefleet/{living.fleet_id}/"
    for number in listed.numbers.values():
        if not number.friendly_name.startswith(prefix) or number.sid in living.number_sids:
            continue
        owner = number.friendly_name.removeprefix(prefix)
        client_id, _, key = owner.partition("/")
        # Nobody's but kept by the fleet: voicefleet/<fleet>/-/<PhoneNumber>.
        held = key in living.number_names if client_id == "-" else client_id in living.client_ids
        if not held:
            mark, name = Mark(living.fleet_id, client_id, "", ""), f"{owner} ({number.e164})"
            yield Orphan("Number", number.sid, account, name, mark, number_cost_minor)
    for trunk in listed.trunks.values():
        # Only this fleet's are listed: voicefleet/<fleet>/<client>.
        mark = Mark(living.fleet_id, trunk.friendly_name.rpartition("/")[2], "", "")
        if living.lacks(mark):
            yield Orphan("CarrierTrunk", trunk.sid, account, mark.client_id, mark)


def in_routing(living: Living, listed: RoutingInventory) -> Iterator[Orphan]:
    """LiveKit's rules, then the trunks that they name."""
    things: Iterable[tuple[str, str, Mark | None]] = [
        *(("DispatchRule", rule.id, rule.mark) for rule in listed.rules.values()),
        *(("InboundTrunk", trunk.id, trunk.mark) for trunk in listed.trunks.values()),
        *(("OutboundTrunk", trunk.id, trunk.mark) for trunk in listed.outbound.values()),
    ]
    for kind, id_, mark in things:
        if mark and living.lacks(mark):
            yield Orphan(kind, id_, "livekit", _name(mark), mark)


def in_voices(living: Living, account: str, listed: Mapping[str, ClonedVoice]) -> Iterator[Orphan]:
    """Voices: they fill the account's places, and are of people."""
    for voice in listed.values():
        if voice.mark and living.lacks(voice.mark):
            yield Orphan("Voice", voice.id, account, _name(voice.mark), voice.mark)


def in_names(living: Living, listed: Mapping[str, DNSName]) -> Iterator[Orphan]:
    """Names in the zone."""
    for name in listed.values():
        if name.mark and living.lacks(name.mark):
            yield Orphan("DNSName", name.label, "dns", _name(name.mark), name.mark)


def _name(mark: Mark) -> str:
    return f"{mark.namespace}/{mark.name} ({mark.client_id})"
