"""Scenarios: who calls, why, how the caller answers what is asked, and what has to come of it.

YAML files, each a list of scenarios; those we ship are in `scenarios/`, and docs/simulate.md tells
how to write more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from voicefleet_api import professions
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.base import ApiModel
from voicefleet_api.calls import Outcome
from voicefleet_api.phonenumber import E164
from voicefleet_api.professions import AppointmentType, SlotType
from voicefleet_api.receptionist import Clock, Day

SHIPPED = Path(str(files(__package__).joinpath("scenarios")))
PRACTICE = Path(str(files(__package__).joinpath("practice.yaml")))
"""Manifests of a client of each profession, to call where the user names none of their own."""

PAUSE = re.compile(r"\[(\d+)\] ?")
"""In a caller's words: so many milliseconds of silence."""
KEYS = re.compile(r"\[press ([0-9*#]+)\]")
"""Instead of words: keys of the phone."""
Manner = Literal[
    "Calm", "Hurried", "Mumbling", "Elderly", "Angry", "WrongNumber", "Spanish", "Emergency",
    "PriceShopper", "Reschedule", "NoisyStreet", "Keypad", "Silent", "Robocall",
]  # fmt: skip
Situation = Literal[
    "greeting", "want", "day", "time", "offer", "confirm", "readBack", "which", "change", "message",
    "offerMessage", "more", "silence", "menu", "emergency", "otherwise",
]  # fmt: skip
"""What every agent may ask or say, beside its profession's questions (docs/simulate.md)."""


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_several), Field(min_length=1)]
"""One answer, or one for each time that it is asked for."""


class _Part(ApiModel):
    model_config = ConfigDict(frozen=True)


class Noise(_Part):
    """What is heard beside the caller, for as long as the call lasts."""

    kind: Literal["line", "street", "babble"] = Field(description="Where the caller is.")
    below: float = Field(ge=0, le=60, description="Decibels that it is quieter than the speech.")


class Standing(_Part):
    """An appointment that the client's calendar has already; in calls as text only."""

    kind: str = Field(description="Key of the kind of appointment.")
    day: Day = Field(description="Of this week.")
    time: Clock = Field(description="Start, HH:MM.")
    name: str = Field(description="Whom it is for.")
    phone: E164 = Field(description="The number that was given.")


class Booked(_Part):
    """The one appointment that the call makes, moves or cancels."""

    day: Day | None = Field(default=None, description="Day of the week.")
    time: Clock | None = Field(default=None, description="Start, HH:MM.")
    name: str | None = Field(default=None, description="Whom it is for.")
    kind: str | None = Field(default=None, description="Kind of appointment, as spoken.")


class Noted(_Part):
    """What has to be passed on."""

    holds: tuple[str, ...] = Field(default=(), description="Words of it.")
    name: str | None = Field(default=None, description="Who called.")
    phone: E164 | None = Field(default=None, description="Number to call back.")
    urgent: bool = Field(default=False, description="Whether it cannot wait.")


class Expect(_Part):
    """The facts by which a call is judged; besides, nothing may be invented."""

    outcome: tuple[Outcome, ...] = Field(
        min_length=1, description="What may come of the call: one of these."
    )
    slots: dict[str, str] = Field(default_factory=dict, description="Question: answer.")
    booked: Booked | None = Field(
        default=None, description="The appointment made, moved or cancelled."
    )
    message: Noted | None = Field(default=None, description="The message taken.")
    transferred: bool | None = Field(default=None, description="Whether a person was reached.")
    told: tuple[str, ...] = Field(
        default=(), description="Topics of the client's facts that the caller was told."
    )
    says: tuple[str, ...] = Field(default=(), description="Words that the agent has to say.")


class Scenario(_Part):
    """One caller."""

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", description="Unique.")
    professions: tuple[str, ...] = Field(default=(), description="Who is called; all if unset.")
    locale: str = Field(default="en-US", description="Of the clients that are called.")
    manner: Manner = Field(default="Calm", description="How the caller is.")
    goal: str = Field(min_length=8, description="What the caller wants, in words.")
    caller: E164 | None = Field(default=None, description="The number shown; hidden if unset.")
    voice: str = Field(default="kokoro/jf_nezumi", description="Of the machine's speech gateway.")
    speed: float = Field(default=1.0, ge=0.5, le=1.6, description="Of the caller's speech.")
    noise: Noise | None = Field(default=None, description="A quiet place if unset.")
    standing: tuple[Standing, ...] = Field(default=(), description="Appointments beforehand.")
    answers: dict[str, Words] = Field(
        default_factory=dict,
        description="What the caller says: by key of a question, kind of answer, or situation.",
    )
    patience: int = Field(
        default=3, ge=1, le=10, description="How often the last of several answers is given."
    )
    expect: Expect = Field(description="What has to come of it.")

    @model_validator(mode="after")
    def _known(self) -> Self:
        for profession in self.professions:
            if profession not in professions.names():
                names = ", ".join(professions.names())
                raise ValueError(f"professions: there is no {profession}; choose {names}")
        of = self.professions or professions.names()
        questions = {q.key for name in of for q in professions.load(name).questions}
        known = {*get_args(Situation), *get_args(SlotType), *questions}
        if unknown := sorted(set(self.answers) - known):
            raise ValueError(
                f"answers: nothing asks for {', '.join(unknown)}; there are"
                f" {', '.join(get_args(Situation))}, the kinds {', '.join(get_args(SlotType))},"
                f" and the questions {', '.join(sorted(questions))}"
            )
        said = (words for answers in self.answers.values() for words in answers)
        if mixed := [words for words in said if "[press" in words and not KEYS.fullmatch(words)]:
            raise ValueError(
                f"answers: {mixed[0]}: keys are an answer of their own, such as [press 1] or"
                " [press 4155550142#]"
            )
        return self

    @property
    def emergency(self) -> bool:
        """Whether it has to be escalated."""
        return self.expect.outcome == ("Emergency",)

    @property
    def wordless(self) -> bool:
        """Whether it is silence or keys that make the caller: no model plays that."""
        return self.manner in ("Silent", "Keypad")

    def fits(self, config: AgentConfig) -> bool:
        """Whether that client can be called so."""
        kinds = {kind.key for kind in appointment_types(config)}
        return (
            (not self.professions or config.profession in self.professions)
            and self.locale.partition("-")[0] == config.locale.partition("-")[0]
            and all(standing.kind in kinds for standing in self.standing)
        )


def appointment_types(config: AgentConfig) -> Sequence[AppointmentType]:
    """What can be booked with that client, as far as it or its profession says."""
    shipped = professions.load(config.profession).booking.appointments if config.profession else ()
    return config.appointments or shipped


class BadScenario(ValueError):
    """The text names file, scenario, field and remedy."""


_FILE = TypeAdapter(list[Scenario])


def load(folder: Path) -> list[Scenario]:
    """All scenarios of the folder's YAML files; raises `BadScenario`."""
    found = sorted(folder.glob("*.yaml"))
    if not found:
        raise BadScenario(f"{folder}: there is no *.yaml file in it")
    made: dict[str, Scenario] = {}
    for file in found:
        for scenario in _read(file):
            if scenario.name in made:
                raise BadScenario(f"{file}: {scenario.name}: name: there are two; rename one")
            made[scenario.name] = scenario
    return list(made.values())


def _read(file: Path) -> list[Scenario]:
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise BadScenario(f"{file}: {error}") from None
    try:
        return _FILE.validate_python(data)
    except ValidationError as error:
        raise BadScenario("\n".join(_problem(file, data, e) for e in error.errors())) from None


def _problem(file: Path, data: Any, error: ErrorDetails) -> str:
    if not isinstance(data, list):
        return f"{file}: it has to be a list of scenarios: begin each with '- name:'"
    index, *field = error["loc"]
    item = data[int(index)]
    name = item.get("name", f"number {int(index) + 1}") if isinstance(item, dict) else index
    remedy = {
        "string_type": "; write it in quotes",
        "missing": "; add it",
        "extra_forbidden": "; take it out, or see docs/simulate.md for the fields",
    }.get(error["type"], "")
    where = f"{'.'.join(map(str, field))}: " if field else ""
    return f"{file}: {name}: {where}{error['msg'].removeprefix('Value error, ')}{remedy}"


def chosen(scenarios: Sequence[Scenario], name: str) -> list[Scenario]:
    """Those of that name or manner, or all; raises `BadScenario`."""
    named = [s for s in scenarios if name.lower() in ("all", s.name, s.manner.lower())]
    if not named:
        raise BadScenario(
            f"--scenario: there is no {name}; choose all, a manner ({', '.join(get_args(Manner))})"
            f" or one of {', '.join(_names(scenarios))}"
        )
    return named


def _names(scenarios: Iterable[Scenario]) -> list[str]:
    return sorted(scenario.name for scenario in scenarios)
