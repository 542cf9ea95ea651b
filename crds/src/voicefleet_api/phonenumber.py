"""`PhoneNumber`: a number that the fleet owns, as a PersistentVolume is storage (cluster-scoped)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from voicefleet_api.base import ApiModel, StatusModel
from voicefleet_api.meta import Condition, LocalRef, ObjectName, Operation
from voicefleet_api.names import E164_PATTERN

E164 = Annotated[str, Field(max_length=16, pattern=E164_PATTERN)]
Phase = Literal["Pending", "Available", "Bound", "Released", "Quarantined", "Failed"]
Source = Literal["Purchase", "Existing"]
ReclaimPolicy = Literal["Release", "Retain"]


class NumberRequest(ApiModel):
    """What kind of number to buy."""

    country: str = Field(default="US", pattern=r"^[A-Z]{2}$", description="ISO 3166 country code.")
    area_code: str | None = Field(
        default=None, pattern=r"^[2-9][0-9]{2}$", description="North American area code."
    )


class ClaimRef(ApiModel):
    """The client that holds the number."""

    namespace: ObjectName = Field(description="Namespace of the VoiceClient.")
    name: ObjectName = Field(description="Name of the VoiceClient.")
    client_id: str = Field(max_length=32, description="Identity of the client (status.clientID).")
    number: ObjectName = Field(description="Key in the client's spec.telephony.numbers.")


class PhoneNumberSpec(ApiModel):
    """What number, and for whom."""

    fleet_ref: LocalRef = Field(description="The Fleet that owns the number.")
    account: ObjectName = Field(description="Telephony account of the fleet that holds it.")
    source: Source = Field(
        default="Purchase",
        description="Purchase buys it; Existing takes a number that the account already has.",
    )
    request: NumberRequest | None = Field(default=None, description="Buy any such number.")
    e164: E164 | None = Field(default=None, description="Exactly this number.")
    claim_ref: ClaimRef | None = Field(default=None, description="Who holds it; unset is free.")
    reclaim_policy: ReclaimPolicy = Field(
        default="Release", description="Release gives it back to the carrier; Retain keeps it."
    )


class PreviousClaim(StatusModel):
    """Who held the number last, and until when nobody else may."""

    namespace: str = Field(max_length=63, description="Namespace of the client.")
    name: str = Field(max_length=63, description="Name of the client.")
    quarantined_until: str = Field(
        json_schema_extra={"format": "date-time"}, description="From then on anyone may have it."
    )


class PhoneNumberStatus(StatusModel):
    """What the carrier says."""

    observed_generation: int = Field(default=-1, description="Generation last handled.")
    phase: Phase = Field(default="Pending", description="Where in its life the number is.")
    e164: str | None = Field(default=None, max_length=16, description="The number.")
    sid: str | None = Field(default=None, max_length=64, description="The carrier's identifier.")
    monthly_cost_minor: int | None = Field(default=None, description="Cost a month, in cents.")
    previous_claim: PreviousClaim | None = Field(default=None, description="Last holder.")
    operations: list[Operation] = Field(
        default_factory=list, max_length=8, description="Operations whose outcome is unknown."
    )
    conditions: list[Condition] = Field(default_factory=list, max_length=16)


class PhoneNumber(ApiModel):
    """A phone number that the fleet owns; made and bound by the controller."""

    spec: PhoneNumberSpec
    status: PhoneNumberStatus | None = None
