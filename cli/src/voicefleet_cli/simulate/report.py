"""What a run of simulated calls came to: as JSON, and as one HTML page that needs nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
from jinja2 import Environment, PackageLoader
from pydantic import Field

from voicefleet_api.base import ApiModel
from voicefleet_api.calls import CallRecord
from voicefleet_cli.simulate.judge import Fact
from voicefleet_cli.simulate.scenario import Manner


class Called(ApiModel):
    """A simulated call."""

    scenario: str = Field(description="Its name.")
    manner: Manner = Field(description="The caller's.")
    goal: str = Field(description="What the caller wanted.")
    client: str = Field(description="Who was called.")
    models: str = Field(
        description="What heard, thought and spoke for the client; in text, what thought alone."
    )
    played_by: str = Field(description="`script`, or the model that played the caller.")
    emergency: bool = Field(description="Whether it has to be escalated.")
    facts: list[Fact] = Field(description="What had to be, and was or was not.")
    record: CallRecord | None = Field(default=None, description="None where the call failed.")
    audio: str | None = Field(default=None, description="Both sides; beside the report.")
    answers_ms: list[float] = Field(
        default_factory=list, description="From the caller's last sound to the answer's first."
    )
    cut_offs: int = Field(default=0, description="Times the agent spoke into the caller's words.")

    @property
    def escalated(self) -> bool:
        """Whether it was."""
        return self.record is not None and self.record.outcome == "Emergency"

    @property
    def asked(self) -> int:
        """Turns of the caller's that the agent's language model was asked about: it says "one
        moment" first."""
        turns = self.record.transcript if self.record else []
        return sum(
            turn.speaker == "Caller" and answer.filler for turn, answer in itertools.pairwise(turns)
        )

    @property
    def right(self) -> int:
        """Facts that were so."""
        return sum(fact.right for fact in self.facts)

    @property
    def passed(self) -> bool:
        """Whether all were."""
        return self.right == len(self.facts)


class Share(ApiModel):
    """Calls with something in common."""

    name: str = Field(description="What they have in common.")
    calls: int = Field(description="How many.")
    passed: int = Field(description="In how many every fact was right.")
    facts: int = Field(description="Of all of them.")
    right: int = Field(description="Of these.")
    emergencies: int = Field(description="Calls that have to be escalated.")
    escalated: int = Field(description="Of these.")
    asked: int = Field(description="Turns that the agent's language model was asked about.")


class Report(ApiModel):
    """A run."""

    mode: Literal["Text", "Calls"] = Field(description="Talk as text, or calls by telephone.")
    started: datetime = Field(description="When it began.")
    seconds: float = Field(description="How long it took.")
    cores: int = Field(description="Of this machine.")
    load: tuple[float, float] = Field(description="Load average before and after.")
    by_model: list[Share] = Field(default_factory=list, description="Of all calls.")
    calls: list[Called] = Field(description="In order.")

    @property
    def failed(self) -> list[str]:
        """A line for each fact that was wrong."""
        return [
            f"{call.scenario} at {call.client}, {call.models}: {fact.what}: wanted {fact.wanted},"
            f" found {fact.found}"
            for call in self.calls
            for fact in call.facts
            if not fact.right
        ]

    @property
    def total(self) -> Share:
        """All calls."""
        return _share("all", self.calls)

    @property
    def emergencies(self) -> tuple[int, int]:
        """How many had to be escalated, and how many were."""
        return self.total.emergencies, self.total.escalated

    @property
    def waits(self) -> list[float]:
        """All answers', in milliseconds."""
        return [ms for call in self.calls for ms in call.answers_ms]

    def met(self, percent: float) -> bool:
        """Whether so many of the facts are right, and every emergency was escalated."""
        wanted, escalated = self.emergencies
        total = self.total
        return escalated == wanted and 100 * total.right >= percent * total.facts

    def by(self, key: Callable[[Called], str]) -> list[Share]:
        """Shares by manner, by models and so on, by name."""
        names = sorted({key(call) for call in self.calls})
        return [_share(name, [c for c in self.calls if key(c) == name]) for name in names]


def _share(name: str, calls: Sequence[Called]) -> Share:
    facts = sum(len(call.facts) for call in calls)
    right = sum(call.right for call in calls)
    return Share(
        name=name,
        calls=len(calls),
        passed=sum(call.passed for call in calls),
        facts=facts,
        right=right,
        emergencies=sum(call.emergency for call in calls),
        escalated=sum(call.emergency and call.escalated for call in calls),
        asked=sum(call.asked for call in calls),
    )


def percentile(values: Iterable[float], percent: float) -> str:
    """In milliseconds; a dash where there is nothing."""
    known = list(values)
    return f"{np.percentile(known, percent):.0f}" if known else "-"


def write(report: Report, folder: Path) -> Path:
    """`report.json` and `report.html`; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(
        report.model_dump_json(by_alias=True, exclude_none=True, indent=1) + "\n"
    )
    page = folder / "report.html"
    page.write_text(render(report), encoding="utf-8")
    return page


def render(report: Report) -> str:
    """As HTML."""
    loader = PackageLoader(__package__, ".")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["percentile"] = percentile
    return environment.get_template("report.html").render(
        report=report,
        groups=[
            ("By the caller's manner", report.by(lambda call: str(call.manner))),
            ("By client", report.by(lambda call: call.client)),
            ("By who played the caller", report.by(lambda call: call.played_by)),
        ],
    )
