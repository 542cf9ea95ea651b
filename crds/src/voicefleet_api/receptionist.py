"""`Receptionist`: what the agent says and knows; hot-reloaded, owned by the portal or by Git."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from voicefleet_api import rules
from voicefleet_api.base import ApiModel, StatusModel
from voicefleet_api.meta import Condition

Text = Annotated[str, Field(max_length=1024)]
Clock = Annotated[
    str,
    Field(
        max_length=16,
        pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$",
        json_schema_extra=rules.CLOCK,
    ),
]
Date = Annotated[
    str,
    Field(
        max_length=16,
        pattern=r"^\d{4}-\d{2}-\d{2}$",
        json_schema_extra=rules.DATE,
        description="A day, YYYY-MM-DD.",
    ),
]
Ask = Annotated[
    str, Field(min_length=1, max_length=256, description="A question, as it is spoken.")
]
Day = Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


class OpeningHours(ApiModel):
    """One opening span of a week day, in the business's time zone."""

    model_config = ConfigDict(json_schema_extra=rules.OPENING_HOURS)

    day: Day = Field(description="Day of the week.")
    opens: Clock = Field(description="Opening time, HH:MM.")
    closes: Clock = Field(description="Closing time, HH:MM.")


class Fact(ApiModel):
    """Something the agent may tell callers."""

    topic: Annotated[str, Field(min_length=1, max_length=128)] = Field(
        description="What it is about, for example 'price of a cleaning'."
    )
    text: Text = Field(description="What the agent may say about it.")


class ReceptionistSpec(ApiModel):
    """The client's own words; whatever is unset comes from the profession."""

    greeting: Annotated[str, Field(min_length=1, max_length=500)] | None = Field(
        default=None,
        description="First words on a call. `{business}` stands for the business's name.",
    )
    hours: list[OpeningHours] = Field(
        default_factory=list, max_length=28, description="When the business is open."
    )
    holidays: list[Date] = Field(
        default_factory=list, max_length=128, description="Days it is closed, as YYYY-MM-DD."
    )
    facts: list[Fact] = Field(
        default_factory=list, max_length=128, description="Prices, services, address and so on."
    )
    questions: list[Ask] = Field(
        default_factory=list,
        max_length=16,
        description="Qualification questions, instead of the profession's.",
    )
    prompt: Annotated[str, Field(min_length=1, max_length=16384)] | None = Field(
        default=None, description="A prompt of one's own, instead of the profession's."
    )


class ReceptionistStatus(StatusModel):
    """What the controller made of it."""

    observed_generation: int = Field(default=-1, description="Generation last handled.")
    conditions: list[Condition] = Field(
        default_factory=list,
        max_length=16,
        description="State for programs and `kubectl wait`; Ready is always among them.",
        json_schema_extra=rules.conditions(),
    )


class Receptionist(ApiModel):
    """What a client's agent says and knows; changed while it runs."""

    model_config = ConfigDict(json_schema_extra=rules.NAMED_OBJECT)

    spec: ReceptionistSpec = Field(
        description="The client's own words; whatever is unset comes from the profession."
    )
    status: ReceptionistStatus | None = Field(
        default=None, description="What the controller made of it."
    )
