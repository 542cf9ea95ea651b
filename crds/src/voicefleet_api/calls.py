"""The contract between the agent, which writes a call's record, and the portal, which keeps it.

`CallRecord` is the seed's `CallMetrics` with what the dialogue did and what each stage took. Times
are UTC, latencies milliseconds. `callID` is made by the agent and makes delivery idempotent.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from voicefleet_api.base import ApiModel

CallState = Literal[
    "Greeting",
    "Listening",
    "Processing",
    "Responding",
    "Transferring",
    "Voicemail",
    "Logging",
    "Ended",
]

Outcome = Literal[
    "Booked",
    "Rescheduled",
    "Cancelled",
    "Message",
    "Transferred",
    "Emergency",
    "Answered",
    "HungUp",
    "Failed",
]


Variant = Literal["A", "B"]


class StageLatencies(ApiModel):
    """What passed between the end of the caller's speech and the first sound of the answer."""

    end_of_turn: float | None = Field(default=None, description="Until the turn counted as ended.")
    stt: float | None = Field(default=None, description="Transcription, queue included.")
    llm: float | None = Field(default=None, description="Model's first sentence, if it was asked.")
    tts: float | None = Field(default=None, description="First sound of speech; 0 if made ahead.")
    total: float | None = Field(default=None, description="All, as the agent sees it.")


class TranscriptTurn(ApiModel):
    """Something that one side said."""

    speaker: Literal["Caller", "Agent"] = Field(description="Who.")
    text: str = Field(description="As transcribed, or as far as it was heard.")
    at: float = Field(
        ge=0, description="Seconds from the beginning of the call; of the agent's: first sound."
    )
    state: str | None = Field(default=None, description="The dialogue's state then.")
    origin: Literal["Program", "Facts", "Model"] | None = Field(
        default=None, description="Who made the agent's words."
    )
    filler: bool = Field(default=False, description="Said while an answer was on its way.")
    interrupted: bool = Field(default=False, description="Cut short by the caller.")
    unheard: str = Field(default="", description="What followed, and was cut off or unspeakable.")
    latency: StageLatencies | None = Field(default=None, description="Of the agent's turn.")


class StateChange(ApiModel):
    """The call went from one state to the next."""

    state: CallState = Field(description="The new one.")
    at: float = Field(ge=0, description="Seconds from the beginning of the call.")


class BookedAppointment(ApiModel):
    """What the call put into the client's calendar, moved or took out."""

    uid: str = Field(description="iCalendar UID.")
    action: Literal["Booked", "Rescheduled", "Cancelled"] = Field(description="What was done.")
    title: str = Field(description="Kind of appointment, as spoken.")
    starts: datetime = Field(description="Start, with the business's offset.")
    ends: datetime = Field(description="End.")
    name: str | None = Field(default=None, description="Whom it is for.")


class Message(ApiModel):
    """What the caller asked to be passed on."""

    text: str = Field(description="In the caller's words.")
    name: str | None = Field(default=None, description="Who called.")
    phone: str | None = Field(default=None, description="Number to call back.")
    urgent: bool = Field(default=False, description="Whether it cannot wait.")


class ProviderUse(ApiModel):
    """What one provider did in the call."""

    component: Literal["STT", "LLM", "TTS"] = Field(description="Its part.")
    provider: str = Field(description="For example Local or Deepgram.")
    requests: int = Field(ge=0, description="Answered.")
    failures: int = Field(ge=0, description="Not answered, or too late.")
    amount: float = Field(ge=0, description="Seconds of sound, tokens, or characters.")
    cost_minor: float = Field(default=0, ge=0, description="In cents; 0 on our own machine.")


class CallQuality(ApiModel):
    """The line, as the agent's end of it sees it: WebRTC statistics, of the whole call.

    Not of the telephone's own leg: LiveKit SIP tells nothing of it, and fills what is lost there.
    """

    lost_percent: float = Field(ge=0, description="Of the caller's packets, from LiveKit to us.")
    sent_lost_percent: float = Field(ge=0, description="Of our packets, on the way to LiveKit.")
    concealed_percent: float = Field(
        ge=0, description="Of the caller's sound: was not there when it was to be heard."
    )
    jitter_ms: float = Field(ge=0, description="Of the caller's packets.")
    round_trip_ms: float | None = Field(default=None, ge=0, description="To LiveKit and back.")
    mos: float = Field(
        ge=1, le=4.5, description="Mean opinion score, an estimate: E-model, ITU-T G.107."
    )


class CallRecord(ApiModel):
    """One call, complete."""

    call_id: str = Field(pattern=r"^[0-9a-f-]{36}$", description="UUID.")
    client_id: str = Field(description="The client that was called.")
    answered_by: Literal["Agent", "Overflow"] = Field(
        default="Agent", description="The client's own agent, or the platform's overflow agent."
    )
    caller: str | None = Field(default=None, description="The caller's number, if shown.")
    called: str | None = Field(default=None, description="The number that was called.")
    started: datetime = Field(description="When the agent took the call.")
    duration_seconds: float = Field(ge=0, description="Until it ended.")
    ended: str = Field(description="Why it ended, for example `caller left`.")
    outcome: Outcome = Field(description="What came of it.")
    success: bool = Field(description="Completed without a failure of ours.")
    sentiment: Literal["Positive", "Neutral", "Negative"] = Field(
        default="Neutral", description="How the caller seemed."
    )
    transcript: list[TranscriptTurn] = Field(default_factory=list, description="In order.")
    states: list[StateChange] = Field(default_factory=list, description="In order.")
    slots: dict[str, str] = Field(default_factory=dict, description="What was found out.")
    appointments: list[BookedAppointment] = Field(default_factory=list, description="In order.")
    messages: list[Message] = Field(default_factory=list, description="Taken for the business.")
    transferred_to: str | None = Field(default=None, description="Phone, if transferred.")
    interruptions: int = Field(default=0, ge=0, description="Times the caller cut in.")
    latency: StageLatencies = Field(default=StageLatencies(), description="Median of the turns.")
    quality: CallQuality | None = Field(default=None, description="Of the line, where known.")
    providers: list[ProviderUse] = Field(default_factory=list, description="Who did what.")
    experiment: str | None = Field(default=None, description="In which words were compared.")
    variant: Variant | None = Field(default=None, description="Which words the caller heard.")
    estimated_revenue_minor: int = Field(default=0, ge=0, description="Of what was booked, cents.")

    @property
    def booked_appointment(self) -> bool:
        """Whether something new stands in the calendar."""
        return any(item.action == "Booked" for item in self.appointments)


class CallEvent(ApiModel):
    """Something that happens in a call under way; lost without harm."""

    call_id: str = Field(pattern=r"^[0-9a-f-]{36}$", description="UUID.")
    sequence: int = Field(ge=0, description="Counts up within the call.")
    started: datetime = Field(description="When the agent took the call.")
    caller: str | None = Field(default=None, description="The caller's number, if shown.")
    change: StateChange | None = Field(default=None, description="A new state.")
    turn: TranscriptTurn | None = Field(default=None, description="Something said.")
