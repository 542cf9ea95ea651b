"""Kubernetes shapes used in our status: conditions, operations, references."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from voicefleet_api import rules
from voicefleet_api.base import ApiModel, StatusModel
from voicefleet_api.names import DNS_LABEL_PATTERN

ObjectName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=63,
        pattern=DNS_LABEL_PATTERN,
        json_schema_extra=rules.DNS_LABEL,
    ),
]
DateTime = Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"})]
"""RFC 3339; the API server checks it."""


class LocalRef(ApiModel):
    """The name of an object in the same namespace, or of a cluster-scoped one."""

    name: ObjectName = Field(description="Name of the object.")


class SecretRef(ApiModel):
    """A Secret, by namespace and name; its keys are named where it is used."""

    namespace: ObjectName = Field(description="Namespace of the Secret.")
    name: Annotated[str, Field(min_length=1, max_length=253)] = Field(
        description="Name of the Secret."
    )


RequestValue = Annotated[str, Field(max_length=2048, description="A parameter's value.")]


class ConditionType(StrEnum):
    """Condition types; the first two are the ones that people wait for."""

    READY = "Ready"
    ANSWERING = "Answering"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    PAUSED = "Paused"
    BILLING_READY = "BillingReady"
    TELEPHONY_READY = "TelephonyReady"
    RUNTIME_READY = "RuntimeReady"
    DNS_READY = "DNSReady"
    VOICE_READY = "VoiceReady"


class Condition(StatusModel):
    """One aspect of the state, as in metav1.Condition (Kubernetes API conventions)."""

    type: str = Field(max_length=64, description="Kind of condition, in CamelCase.")
    status: Literal["True", "False", "Unknown"] = Field(description="True, False or Unknown.")
    reason: str = Field(max_length=128, description="One CamelCase word for programs.")
    message: str = Field(default="", max_length=4096, description="One sentence for people.")
    last_transition_time: DateTime = Field(description="When status last changed.")
    observed_generation: int | None = Field(
        default=None, description="The metadata.generation this condition was computed from."
    )


class Operation(StatusModel):
    """An intent, written before a call that the vendor would not recognise as a repeat.

    The id is reused while the outcome is unknown and retired on a definitive answer
    (design, "The journal").
    """

    id: str = Field(max_length=64, description="Idempotency key of the operation.")
    action: str = Field(
        max_length=64, description="What is being done, for example PurchaseNumber."
    )
    target: str = Field(max_length=256, description="What it is done to.")
    request: dict[str, RequestValue] = Field(
        default_factory=dict,
        max_length=32,
        description="The request as it was frozen; a repeat sends exactly this.",
    )
    started_at: DateTime = Field(description="When the intent was recorded.")


class TimelineEntry(StatusModel):
    """One milestone of a client's life, for people who ask how long onboarding took."""

    milestone: str = Field(max_length=64, description="What happened, for example NumbersBound.")
    at: DateTime = Field(description="When it happened.")
    after_seconds: int | None = Field(
        default=None, description="How long it took, from the first milestone on, in seconds."
    )
