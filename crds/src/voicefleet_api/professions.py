"""Professions: what an agent of that trade says, asks, books and treats as an emergency.

Data, one YAML file a profession in `data/professions/`; the file's name is what a client writes in
`spec.profession` (seed, requirement 1.5 and property 11). Adding a file adds a profession; then
`python -m voicefleet_api.crdgen`, because the CRD's message names them all.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Annotated, Literal, Self

import yaml
from pydantic import ConfigDict, Field, model_validator

from voicefleet_api.base import ApiModel
from voicefleet_api.names import KEY_PATTERN

_FOLDER = files("voicefleet_api") / "data" / "professions"

BUSINESS = "{business}"
"""Placeholder for the business's name in greeting and prompt."""

Key = Annotated[str, Field(max_length=32, pattern=KEY_PATTERN)]
Sentence = Annotated[str, Field(min_length=8, max_length=300)]

SlotType = Literal[
    "Name", "Phone", "Email", "Address", "Date", "Time", "Number", "YesNo", "Choice", "Text"
]


class _Data(ApiModel):
    """Shipped data is shared by all who load it, so nobody may change it."""

    model_config = ConfigDict(frozen=True)


class Question(_Data):
    """Something to find out, in the order of the list, before an appointment is offered."""

    key: Key = Field(description="Name of the slot that the answer fills.")
    text: Sentence = Field(description="The question as it is spoken.")
    slot: SlotType = Field(description="What kind of answer fits.")
    choices: tuple[str, ...] = Field(
        default=(), max_length=8, description="The answers of a Choice, as spoken."
    )
    examples: tuple[Annotated[str, Field(min_length=2, max_length=40)], ...] = Field(
        default=(), max_length=60, description="Usual answers, which the transcriber listens for."
    )
    required: bool = Field(default=True, description="Whether booking waits for the answer.")

    @model_validator(mode="after")
    def _choices_belong_to_choice(self) -> Self:
        if (self.slot == "Choice") != (len(self.choices) >= 2):
            raise ValueError(f"{self.key}: a Choice has two or more choices, nothing else has any")
        return self


class AppointmentType(_Data):
    """Something that can be booked."""

    key: Key = Field(description="Name of this kind of appointment.")
    title: str = Field(min_length=3, max_length=60, description="As it is spoken.")
    minutes: int = Field(ge=10, le=480, description="How long it takes.")
    words: tuple[
        Annotated[str, Field(min_length=2, max_length=40, description="In lower case.")], ...
    ] = Field(
        default=(), max_length=12, description="What callers say who mean it, besides the title."
    )


class BookingRules(_Data):
    """When an appointment may be offered. Times are the business's local time."""

    appointments: tuple[AppointmentType, ...] = Field(
        min_length=1, max_length=12, description="What can be booked; the first is the default."
    )
    buffer_minutes: int = Field(ge=0, le=120, description="Kept free between two appointments.")
    lead_time_hours: int = Field(ge=0, le=168, description="Soonest start, from now.")
    horizon_days: int = Field(ge=1, le=365, description="Latest start, from now.")
    same_day: bool = Field(description="Whether today may be offered.")
    confirmation: Sentence = Field(
        description="Said before an appointment is settled; {appointment} and {time} are filled in."
    )

    @model_validator(mode="after")
    def _today_fits_lead_time(self) -> Self:
        if self.same_day and self.lead_time_hours >= 24:
            raise ValueError("sameDay contradicts a leadTimeHours of a day or more")
        return self


class Emergency(_Data):
    """Words that end the ordinary talk, and what is said and done then."""

    phrases: tuple[str, ...] = Field(
        min_length=2, max_length=16, description="What callers say, in lower case."
    )
    action: Literal["CallEmergencyServices", "Transfer", "UrgentMessage"] = Field(
        description="CallEmergencyServices: send the caller there; Transfer: to a person, now; "
        "UrgentMessage: take name and number and pass them on at once."
    )
    say: Sentence = Field(description="What the agent says then.")


class Profession(_Data):
    """Everything an agent of one trade starts with; a Receptionist overrides parts of it."""

    name: str = Field(pattern=r"^[a-z][a-z-]{1,31}$", description="As in spec.profession.")
    title: str = Field(min_length=3, max_length=60, description="The kind of business, in words.")
    greeting: Sentence = Field(description="First words on a call.")
    prompt: str = Field(
        min_length=200, max_length=8000, description="Instructions for what code does not decide."
    )
    questions: tuple[Question, ...] = Field(
        min_length=3, max_length=10, description="What to find out, in order."
    )
    booking: BookingRules = Field(description="What may be booked, and when.")
    emergencies: tuple[Emergency, ...] = Field(
        min_length=1, max_length=6, description="What cannot wait; the first that matches counts."
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if BUSINESS not in self.greeting or BUSINESS not in self.prompt:
            raise ValueError(f"greeting and prompt name the business: {BUSINESS}")
        if not any(word in self.greeting for word in ("automated", "AI ", "virtual")):
            raise ValueError("the greeting says that a machine is speaking")
        if self.title.lower() not in self.prompt.lower():
            raise ValueError(f"the prompt says what the business is: {self.title}")
        for what, keys in (
            ("questions", [question.key for question in self.questions]),
            ("appointments", [kind.key for kind in self.booking.appointments]),
        ):
            if len(set(keys)) != len(keys):
                raise ValueError(f"{what}: a key occurs twice")
        return self


@cache
def names() -> tuple[str, ...]:
    """The professions we ship, in alphabetical order."""
    return tuple(
        sorted(file.name.removesuffix(".yaml") for file in _FOLDER.iterdir() if file.is_file())
    )


@cache
def load(name: str) -> Profession:
    """A shipped profession; raises `KeyError` where we have none of that name."""
    if name not in names():
        raise KeyError(f"no profession {name!r}; there are {', '.join(names())}")
    data = yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return Profession.model_validate({"name": name, **data})
