"""`PhoneNumber` (pn): a number that the fleet owns, like a PersistentVolume (cluster-scoped)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from voicefleet_api import rules
from voicefleet_api.base import ApiModel, StatusModel
from voicefleet_api.meta import Condition, DateTime, LocalRef, ObjectName, Operation
from voicefleet_api.names import CLIENT_ID_PATTERN, E164_PATTERN, EXTENSION, PHONE_PATTERN

# The maxima of short codes are wider than their patterns, so that the rule's message is what shows.
E164 = Annotated[str, Field(max_length=32, pattern=E164_PATTERN, json_schema_extra=rules.E164)]
Destination = Annotated[
    str, Field(max_length=32, pattern=E164_PATTERN, json_schema_extra=rules.DESTINATION)
]
"""A number that the carrier rings by itself."""
PersonsPhone = Annotated[
    str, Field(max_length=48, pattern=PHONE_PATTERN, json_schema_extra=rules.PERSONS_PHONE)
]
"""A number that callers are connected to, and the extension that is pressed there, if any."""
Phase = Literal["Pending", "Available", "Bound", "Released", "Quarantined", "Failed"]
Source = Literal["Purchase", "Existing"]
ReclaimPolicy = Literal["Release", "Retain"]


def dialled(phone: str) -> tuple[str, str]:
    """Number (E.164) and extension of a `PersonsPhone`; the extension may be empty."""
    number, _, extension = phone.partition(EXTENSION)
    return number, extension


AreaCode = Annotated[
    str, Field(max_length=16, pattern=r"^[2-9][0-9]{2}$", json_schema_extra=rules.AREA_CODE)
]


class NumberRequest(ApiModel):
    """What kind of number to buy."""

    model_config = ConfigDict(json_schema_extra=rules.NUMBER_REQUEST)

    country: str = Field(
        default="US",
        max_length=16,
        pattern=r"^[A-Z]{2}$",
        json_schema_extra=rules.COUNTRY,
        description="ISO 3166 country code.",
    )
    area_code: AreaCode | None = Field(
        default=None, description="North American area code; unset is any."
    )


class ClaimRef(ApiModel):
    """The client that holds the number."""

    namespace: ObjectName = Field(description="Namespace of the VoiceClient.")
    name: ObjectName = Field(description="Name of the VoiceClient.")
    client_id: str = Field(
        max_length=32,
        pattern=CLIENT_ID_PATTERN,
        json_schema_extra=rules.CLIENT_ID,
        description="Identity of the client (status.clientID).",
    )
    number: ObjectName = Field(description="Key in the client's spec.telephony.numbers.")


class PhoneNumberSpec(ApiModel):
    """What number, and for whom."""

    model_config = ConfigDict(json_schema_extra=rules.PHONE_NUMBER_SPEC)

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
    quarantined_until: DateTime = Field(description="From then on anyone may have it.")


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
    conditions: list[Condition] = Field(
        default_factory=list,
        max_length=16,
        description="State for programs and `kubectl wait`; Ready is always among them.",
        json_schema_extra=rules.conditions(),
    )


class PhoneNumber(ApiModel):
    """A phone number that the fleet owns; made and bound by the controller."""

    spec: PhoneNumberSpec = Field(description="What number, and for whom.")
    status: PhoneNumberStatus | None = Field(default=None, description="What the carrier says.")
