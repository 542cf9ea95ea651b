"""The dialogue's memory: immutable, so an answer can be prepared and thrown away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from voicefleet_api.calls import BookedAppointment, Message
from voicefleet_api.calls import Outcome as Result
from voicefleet_api.professions import AppointmentType
from voicefleet_dialogue.acts import Act
from voicefleet_dialogue.calendar import Appointment
from voicefleet_dialogue.understanding.when import When

Phase = Literal[
    "Listening",  # for what the caller wants
    "Asking",  # a question of the list
    "When",  # a day and time
    "Offering",  # one of several times
    "Confirming",  # what is about to be done
    "Changing",  # which part of it is wrong
    "Finding",  # whose appointment it is
    "Choosing",  # which of the appointments found
    "Message",  # what to pass on
    "Emergency",  # told what to do
    "Ended",
]
Task = Literal["Book", "Reschedule", "Cancel", "Message"]


@dataclass(frozen=True, slots=True)
class State:
    """Where the talk is."""

    phase: Phase = "Listening"
    task: Task | None = None
    slots: Mapping[str, str] = field(default_factory=dict)
    """Key of the question: answer; days ISO 8601, phones E.164, yes or no."""
    asked: str | None = None
    """Key of the question that the caller is answering."""
    put: frozenset[str] = frozenset()
    """Questions that were asked: an optional one is not asked twice."""
    again: frozenset[str] = frozenset()
    """Questions that were asked again, after something else was said."""
    passed: frozenset[str] = frozenset()
    """Questions that are left open."""
    wish: When = field(default_factory=When)
    said: str = ""
    """The caller's words for the wanted kind of appointment."""
    offers: tuple[datetime, ...] = ()
    starts: datetime | None = None
    """Start that waits for the caller's yes."""
    found: tuple[Appointment, ...] = ()
    message: str = ""
    urgent: bool = False
    offered_message: bool = False
    """The last words were whether to take a message."""
    misses: int = 0
    silences: int = 0
    last: str = ""
    """The agent's last words, for a caller who did not hear them."""
    unheard: str = ""
    """Of the last words, what the caller cut off."""


@dataclass(frozen=True, slots=True)
class Book:
    """Put an appointment into the calendar."""

    kind: AppointmentType
    starts: datetime
    name: str
    phone: str | None
    notes: str


@dataclass(frozen=True, slots=True)
class Move:
    """Give an appointment another start."""

    uid: str
    starts: datetime


@dataclass(frozen=True, slots=True)
class Drop:
    """Take an appointment out."""

    uid: str


@dataclass(frozen=True, slots=True)
class TakeMessage:
    """Pass something on to the business."""

    text: str
    name: str | None
    phone: str | None
    urgent: bool


Effect = Book | Move | Drop | TakeMessage


@dataclass(frozen=True, slots=True)
class Turn:
    """An answer: what is said, what is done with it, and where the talk is then."""

    acts: Sequence[Act]
    state: State
    effects: Sequence[Effect] = ()
    result: Result | None = None
    """What came of the call so far."""


@dataclass(slots=True)
class Outcome:
    """What the call led to, for its record."""

    result: Result = "HungUp"
    slots: Mapping[str, str] = field(default_factory=dict)
    appointments: list[BookedAppointment] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    transferred_to: str | None = None


@dataclass(frozen=True, slots=True)
class Saved:
    """A talk as another process, or another call, takes it up."""

    id: str
    """UUID of the talk: what it books is recognised by it."""
    bookings: int
    """How many it has made so far."""
    state: State
    outcome: Outcome
    untransferred: Result = "HungUp"
    """What the outcome's result is where the transfer comes to nothing."""
