"""`Receptionist`: what the agent says and knows; hot-reloaded, owned by the portal or by Git."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import ConfigDict, Field, model_validator

from voicefleet_api import rules
from voicefleet_api.base import ApiModel
from voicefleet_api.meta import DateTime, LocalRef, ObjectName
from voicefleet_api.names import KEY_PATTERN
from voicefleet_api.phonenumber import PersonsPhone
from voicefleet_api.professions import AppointmentType

Text = Annotated[str, Field(max_length=1024)]
Greeting = Annotated[str, Field(min_length=1, max_length=500)]
Prompt = Annotated[str, Field(min_length=1, max_length=16384)]
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
DAYS: tuple[Day, ...] = get_args(Day)
"""As `datetime.weekday()` counts them."""


class OpeningHours(ApiModel):
    """One opening span of a week day, in the business's time zone."""

    model_config = ConfigDict(json_schema_extra=rules.OPENING_HOURS)

    day: Day = Field(description="Day of the week.")
    opens: Clock = Field(description="Opening time, HH:MM.")
    closes: Clock = Field(description="Closing time, HH:MM.")


DEFAULT_HOURS = tuple(OpeningHours(day=day, opens="09:00", closes="17:00") for day in DAYS[:5])
"""Of a business that names none."""


class CalDAV(ApiModel):
    """The business's own calendar, on a server that it has already."""

    url: Annotated[str, Field(min_length=1, max_length=512)] = Field(
        description="Address of the calendar's collection, as calendar programs show it.",
        json_schema_extra=rules.CALDAV_URL,
    )
    secret_ref: LocalRef = Field(
        description="Secret in the same namespace with keys `username` and `password`; the "
        "operator must be allowed to read it (ClusterRole voicefleet-client-secrets)."
    )


class CalendarSpec(ApiModel):
    """Where appointments stand, and how many at a time."""

    capacity: Annotated[int, Field(ge=1, le=100)] | None = Field(
        default=None, description="Appointments that may be held at the same time; 1 if unset."
    )
    caldav: CalDAV | None = Field(
        default=None,
        description="What stands there is not offered to callers; what they book appears there.",
    )


class Fact(ApiModel):
    """Something the agent may tell callers."""

    topic: Annotated[str, Field(min_length=1, max_length=128)] = Field(
        description="What it is about, for example 'price of a cleaning'."
    )
    text: Text = Field(description="What the agent may say about it.")


class Bookable(AppointmentType):
    """Something that can be booked with this client."""

    key: Annotated[
        str, Field(max_length=32, pattern=KEY_PATTERN, json_schema_extra=rules.APPOINTMENT_KEY)
    ] = Field(description="Name of this kind of appointment.")


class Contact(ApiModel):
    """A person whom callers are connected to."""

    name: Annotated[str, Field(min_length=1, max_length=64)] = Field(
        description="As the agent says it, for example 'the practice manager'."
    )
    phone: PersonsPhone = Field(
        description="Number that rings, for example +14155550100. Its extension, as in"
        " +14155550100;ext=204, is pressed 2 s after the answer: such a person is always called by"
        " us, as with the client's telephony.transfer: Warm, which the carrier bills."
    )
    when: Literal["Always", "OpeningHours"] = Field(
        default="Always", description="Whether it rings when the business is closed, too."
    )


class Consent(ApiModel):
    """Somebody's leave to have their voice cloned; who, when and a hash of the words are kept."""

    given_by: Annotated[str, Field(min_length=1, max_length=128)] = Field(
        description="The person whose voice it is."
    )
    given_at: DateTime = Field(description="When, for example 2026-01-31T12:00:00Z.")
    statement: Annotated[str, Field(min_length=1, max_length=2048)] = Field(
        description="What they agreed to, in the words that they signed or said."
    )


class SampleRef(ApiModel):
    """A recording in a Secret: a voice is personal, and a Secret has room for a minute of it."""

    name: ObjectName = Field(
        description="Secret in the same namespace; the operator must be allowed to read it"
        " (ClusterRole voicefleet-client-secrets)."
    )
    key: Annotated[
        str,
        Field(
            min_length=1,
            max_length=253,
            pattern=r"^[-._a-zA-Z0-9]+$",
            json_schema_extra=rules.SECRET_KEY,
        ),
    ] = Field(
        description="Its key with the recording: WAV, MP3, FLAC, Ogg or M4A, half a minute to a"
        " minute of one person; a Secret holds at most 1 MiB."
    )


class VoiceClone(ApiModel):
    """A person's voice, made again by the vendor of the fleet's voices."""

    model_config = ConfigDict(json_schema_extra=rules.VOICE_CLONE)

    sample_ref: SampleRef = Field(description="How the voice sounds.")
    consent: Consent | None = Field(
        default=None, description="The person's consent; without it nothing is cloned."
    )

    @model_validator(mode="after")
    def _consented(self) -> Self:
        if self.consent is None:
            raise ValueError(rules.CONSENT_MISSING)
        return self


class Voice(ApiModel):
    """What the agent sounds like."""

    clone: VoiceClone = Field(
        description="A voice of the client's own; the pipeline's is heard until it is there, and"
        " where it fails."
    )


class Experiment(ApiModel):
    """Other words for some callers, to find out which make more of them book.

    `voicefleet ab` compares; the words beside this are variant A, these are B.
    """

    model_config = ConfigDict(json_schema_extra=rules.EXPERIMENT)

    name: ObjectName = Field(description="Calls of another name are not counted together.")
    percent: int = Field(
        default=50, ge=1, le=99, description="Share of the callers, by their numbers, who hear B."
    )
    greeting: Greeting | None = Field(
        default=None, description="B's greeting; A's if unset. `{business}` as there."
    )
    prompt: Prompt | None = Field(default=None, description="B's prompt; A's if unset.")

    @model_validator(mode="after")
    def _differs(self) -> Self:
        if self.greeting is None and self.prompt is None:
            raise ValueError(rules.EXPERIMENT_EMPTY)
        return self


class ReceptionistSpec(ApiModel):
    """The client's own words; whatever is unset comes from the profession."""

    greeting: Greeting | None = Field(
        default=None,
        description="First words on a call. `{business}` stands for the business's name.",
    )
    hours: list[OpeningHours] = Field(
        default_factory=list,
        max_length=28,
        description="When the business is open; Monday to Friday, 09:00 to 17:00, if unset.",
    )
    holidays: list[Date] = Field(
        default_factory=list, max_length=128, description="Days it is closed, as YYYY-MM-DD."
    )
    calendar: CalendarSpec | None = Field(
        default=None, description="Where appointments stand, and how many at a time."
    )
    facts: list[Fact] = Field(
        default_factory=list, max_length=128, description="Prices, services, address and so on."
    )
    questions: list[Ask] = Field(
        default_factory=list,
        max_length=16,
        description="Qualification questions, instead of the profession's.",
    )
    contacts: list[Contact] = Field(
        default_factory=list,
        max_length=8,
        description="Whom callers are connected to who need a person; the first that is there.",
    )
    appointments: list[Bookable] = Field(
        default_factory=list,
        max_length=12,
        description="What can be booked, instead of the profession's; the first is the default.",
    )
    voice: Voice | None = Field(
        default=None, description="What the agent sounds like; as the pipeline says if unset."
    )
    prompt: Prompt | None = Field(
        default=None, description="A prompt of one's own, instead of the profession's."
    )
    experiment: Experiment | None = Field(
        default=None, description="Other words for some callers, to find out which serve better."
    )


class Receptionist(ApiModel):
    """What a client's agent says and knows; changed while it runs."""

    model_config = ConfigDict(json_schema_extra=rules.NAMED_OBJECT)

    spec: ReceptionistSpec = Field(
        description="The client's own words; whatever is unset comes from the profession."
    )
