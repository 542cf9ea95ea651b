"""The contract between the controller, which writes it, and the agent, which reads it.

A JSON file, `/config/agent.json` in the pod; replaced atomically when a Receptionist changes,
so the next call uses the new words. Secrets are not in it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from voicefleet_api.base import ApiModel
from voicefleet_api.callers import Callers
from voicefleet_api.calls import Variant
from voicefleet_api.pipeline import Pipeline
from voicefleet_api.receptionist import Bookable, Contact, Fact, OpeningHours


class OtherWords(ApiModel):
    """What some callers hear instead (`Receptionist.spec.experiment`)."""

    name: str = Field(description="The experiment's.")
    percent: int = Field(description="Share of the callers.")
    greeting: str = Field(description="First words on their calls, placeholders filled in.")
    prompt: str = Field(description="Instructions for their open questions.")


class AgentConfig(ApiModel):
    """Everything that one client's agent needs to know."""

    client_id: str = Field(description="Identity of the client.")
    agent_name: str = Field(description="Name to register under in LiveKit.")
    livekit_url: str = Field(description="ws:// or wss:// address of the agent gateway.")
    business_name: str = Field(description="As the agent says it.")
    time_zone: str = Field(default="UTC", description="IANA time zone.")
    locale: str = Field(default="en-US", description="Language and region that callers speak.")
    profession: str | None = Field(default=None, description="Key of a shipped profession.")
    greeting: str = Field(description="First words on a call, placeholders filled in.")
    disclosure: str | None = Field(
        default=None, description="Said before; only where it is set is a call's sound kept."
    )
    prompt: str = Field(default="", description="Instructions for open questions.")
    questions: list[str] = Field(default_factory=list, description="Qualification questions.")
    hours: list[OpeningHours] = Field(default_factory=list, description="Opening hours.")
    holidays: list[str] = Field(default_factory=list, description="Days closed, YYYY-MM-DD.")
    capacity: int = Field(default=1, description="Appointments at the same time.")
    caldav_url: str | None = Field(default=None, description="Collection to sync with.")
    facts: list[Fact] = Field(default_factory=list, description="What callers may be told.")
    contacts: list[Contact] = Field(default_factory=list, description="Whom to connect to.")
    appointments: list[Bookable] = Field(
        default_factory=list, description="What can be booked, instead of the profession's."
    )
    forward_to: str | None = Field(default=None, description="Whom to connect in need (E.164).")
    transfer: Literal["Refer", "Warm"] = Field(
        default="Refer", description="Who calls a person that has no extension: the carrier, or we."
    )
    outbound_trunk: str | None = Field(
        default=None, description="LiveKit trunk to call a person over; None: the carrier connects."
    )
    pipeline: Pipeline = Field(
        default_factory=Pipeline, description="Who transcribes, thinks and speaks."
    )
    experiment: OtherWords | None = Field(default=None, description="Words that are compared.")
    overflow: bool = Field(
        default=False, description="Of the platform's overflow agent: only messages are taken."
    )

    def variant(self, caller: str) -> Variant | None:
        """Which words that caller hears, always the same; None where none are compared."""
        other = self.experiment
        if other is None:
            return None
        heard = Callers(first=0, end=other.percent, salt=other.name).include(caller)
        return "B" if heard else "A"

    def heard_by(self, caller: str) -> AgentConfig:
        """With the words for that caller."""
        other = self.experiment
        if other is None or self.variant(caller) == "A":
            return self
        return self.model_copy(update={"greeting": other.greeting, "prompt": other.prompt})

    @property
    def opening(self) -> list[str]:
        """The first words of a call, in order."""
        return [*filter(None, [self.disclosure]), self.greeting]
