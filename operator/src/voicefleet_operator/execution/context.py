"""What an action needs to be carried out: one client, its world, and where results are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from voicefleet_api.meta import ConditionType
from voicefleet_api.voiceclient import VoiceClientSpec, VoiceClientStatus
from voicefleet_operator.execution.status import Journal, StatusWriter
from voicefleet_operator.kube import Kube, Object
from voicefleet_operator.planning.desired import Desired
from voicefleet_operator.planning.drift import fingerprint
from voicefleet_operator.planning.observed import CarrierTrunk, Mark
from voicefleet_operator.store import Store
from voicefleet_operator.workqueue import Key
from voicefleet_operator.world import Billing, Names, Routing, Runtime, Telephony, Voices, World

T = TypeVar("T")


class NotConfigured(Exception):
    """The fleet lacks something that the client (still) has things in."""


def number_friendly_name(mark: Mark, number: str) -> str:
    """How a number is marked at the carrier."""
    return f"voicefleet/{mark.fleet_id}/{mark.client_id}/{number}"


def trunk_friendly_name(mark: Mark) -> str:
    """How a trunk is marked at the carrier."""
    return f"voicefleet/{mark.fleet_id}/{mark.client_id}"


@dataclass
class ClientContext:
    """One client in one reconciliation."""

    kube: Kube
    store: Store
    world: World
    spec: VoiceClientSpec
    desired: Desired
    writer: StatusWriter[VoiceClientStatus]
    journal: Journal
    runtime: Callable[[str], Runtime]
    """By class name."""
    enqueue: Callable[[Key], None]
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    """The client's, for its agent."""
    recording: bytes = field(default=b"", repr=False)
    """Of the voice that the client is to have."""
    receptionist: Object | None = None
    """What `desired` was made of; None where nothing of it is wanted."""

    @property
    def mark(self) -> Mark:
        """Whose things these are."""
        return self.desired.mark

    @cached_property
    def fingerprint(self) -> str:
        """Of what is wanted, once `desired` is complete."""
        return fingerprint(self.desired)

    @property
    def is_recorded(self) -> bool:
        """Whether the client's identity is in the API server: before that nothing may bear it."""
        return (self.writer.obj.get("status") or {}).get("clientID") == self.mark.client_id

    @property
    def billing(self) -> Billing:
        """The client's billing account."""
        return self._need(self.world.billing.get(self.spec.accounts.billing), "billing account")

    @property
    def telephony(self) -> Telephony:
        """The client's telephony account."""
        return self._need(
            self.world.telephony.get(self.spec.accounts.telephony), "telephony account"
        )

    @property
    def voices(self) -> Voices:
        """The client's account for voices."""
        return self._need(self.world.voices.get(self.spec.accounts.voices), "voices account")

    @property
    def routing(self) -> Routing:
        """The fleet's LiveKit."""
        return self._need(self.world.routing, "livekit")

    @property
    def names(self) -> Names:
        """The fleet's zone."""
        return self._need(self.world.names, "dns")

    def _need(self, value: T | None, what: str) -> T:
        if value is None:
            raise NotConfigured(f"the Fleet has no such {what} (any more)")
        return value

    async def carrier_trunk(self) -> CarrierTrunk | None:
        """The client's trunk at the carrier, by its mark."""
        wanted = trunk_friendly_name(self.mark)
        return next(iter((await self.telephony.listing()).trunks.by(wanted)), None)

    def forget(self, power: ConditionType) -> None:
        """An outcome is unknown: what was listed of that power must be listed again."""
        if power == ConditionType.BILLING_READY:
            self.billing.forget()
        elif power == ConditionType.TELEPHONY_READY:
            self.telephony.forget()
            self.routing.forget()
        elif power == ConditionType.DNS_READY:
            self.names.forget()
        elif power == ConditionType.VOICE_READY:
            self.voices.forget()
