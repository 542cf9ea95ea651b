"""What the robot says when, what it writes on tape, and what it takes for right."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from bench import corpus
from bench.line import FRAME
from bench.right import answered_rightly
from bench.robot import Script, talk
from voicefleet_api.calls import BookedAppointment, CallRecord
from voicefleet_cli.telephone.hearing import Utterance
from voicefleet_cli.telephone.line import Tape
from voicefleet_cli.telephone.sound import RATE

pytestmark = pytest.mark.unit

CALL = next(call for call in corpus.calls() if call.id == "dentist-1")
CALLED = datetime(2026, 11, 19, 15, tzinfo=UTC)  # a Thursday


def turn(kind: str = "yesNo", **right: Any) -> corpus.Turn:
    return corpus.Turn("x/1", "x", kind, "x", right)


def record(**fields: Any) -> CallRecord:
    base: dict[str, Any] = {"call_id": "0" * 36, "client_id": "x", "started": CALLED}
    base |= {"duration_seconds": 1, "ended": "x", "outcome": "Answered", "success": True}
    return CallRecord(**(base | fields))


def booked(hours: float) -> CallRecord:
    starts = CALLED + timedelta(hours=hours)
    item = BookedAppointment(
        uid="x", action="Booked", title="x", starts=starts, ends=starts + timedelta(hours=1)
    )
    return record(appointments=[item], outcome="Booked")


# --- what is said ---------------------------------------------------------------------------------


def test_a_question_is_answered_with_the_turn_that_is_meant_for_it() -> None:
    script = Script(CALL)
    first = script.next("Thank you for calling. How may I help you?", None)
    assert first
    assert first.asked == "greeting"
    asked = script.next("Thanks, Susan. What is the best number to reach you at?", first)
    assert asked
    assert asked.asked == "phone"


def test_the_same_question_again_gets_the_same_answer_once_more_and_then_the_next_one() -> None:
    script = Script(CALL)
    ask = "Are you in pain right now, or is there any swelling?"
    first = script.next(ask, None)
    again = script.next(f"Sorry? {ask}", first)
    assert first
    assert again is first
    moved = script.next(ask, again)
    assert moved
    assert moved.asked == "newPatient"


def test_a_confirmation_is_known_whatever_is_being_confirmed() -> None:
    said = "That is cleaning and check-up on Tuesday at ten. Shall I book it?"
    assert Script(CALL).asked(said) == "confirm"
    assert Script(CALL).asked("The weather is fine.") is None


# --- a whole call, without a line -----------------------------------------------------------------


class Quick:
    """A line and its agent in one: each turn is answered after a known gap, in no time."""

    gone = False
    tells_fillers = True

    def __init__(self, *gaps: float, filler: bool = False, leads: bool = True) -> None:
        self.leads = leads
        self.asked: list[str] = []
        self._gaps = list(gaps)
        self._filler = filler
        self._said = [Utterance(0.0, answer=True, text="How may I help you?")]
        self._loud = [(0.0, 1.0)]
        self.now = 2.0

    @property
    def last_loud(self) -> float:
        return self._loud[-1][1]

    async def say(self, speech: np.ndarray) -> tuple[float, float]:
        start, end = self.now, self.now + len(speech) / RATE
        if self._filler:
            self._add(end + 0.2, answer=False)
        self._add(end + self._gaps.pop(0), answer=True)
        self.now = self._loud[-1][1] + 2
        return start, end

    def _add(self, at: float, *, answer: bool) -> None:
        self._loud.append((at, at + 0.5))
        self._said.append(Utterance(at, answer=answer, text="I see."))

    def recordings(self) -> tuple[np.ndarray, np.ndarray]:
        ear = np.zeros(round((self.now + 1) * RATE))
        for start, end in self._loud:
            ear[round(start * RATE) : round(end * RATE)] = 0.1
        return ear, ear

    async def hang_up(self) -> None: ...
    async def ask(self, question: str) -> None:
        self.asked.append(question)

    def speaking(self) -> bool:
        return False

    def said(self) -> list[Utterance]:
        return self._said

    def commits(self) -> int:
        return len(self._said)


async def test_the_first_turn_answers_the_greeting_whatever_that_is_like() -> None:
    line = Quick(0.3)
    line.said()[0] = Utterance(0.0, answer=True, text="What day and time would suit you?")
    (one,) = await talk(line, line, CALL, 1)
    assert one.turn.asked == "greeting"


async def test_a_call_is_measured_turn_by_turn() -> None:
    gaps = [0.31, 0.62, 1.2]
    line = Quick(*gaps)
    spoken = await talk(line, line, CALL, 3)
    assert [one.heard.answer for one in spoken] == pytest.approx(gaps, abs=0.01)
    assert [one.turn.id for one in spoken] == ["dentist-1/1", "dentist-1/2", "dentist-1/3"]
    assert not any(one.heard.cut_off for one in spoken)


async def test_an_agent_that_does_not_lead_is_told_what_to_ask_in_the_corpuss_order() -> None:
    line = Quick(0.3, 0.3, 0.3, leads=False)
    line.said()[0] = Utterance(0.0, answer=True, text="Is there anything else I can do?")
    spoken = await talk(line, line, CALL, 3)
    assert [one.turn.asked for one in spoken] == ["greeting", "pain", "newPatient"]
    assert line.asked == [Script(CALL).question(key) for key in ("pain", "newPatient")]


async def test_a_filler_is_told_from_the_answer_and_a_turn_taken_twice_is_a_cut_off() -> None:
    line = Quick(1.5, filler=True)
    (one,) = await talk(line, line, CALL, 1)
    assert one.heard.first_sound == pytest.approx(0.2, abs=0.01)
    assert one.heard.answer == pytest.approx(1.5, abs=0.01)
    assert one.heard.cut_off  # `commits` went up by two


# --- on tape --------------------------------------------------------------------------------------


def test_blocks_that_come_unsteadily_are_one_sound_and_a_gap_is_silence() -> None:
    tape, block = Tape(), np.full(FRAME, 0.1)
    for now in (1.01, 1.05, 1.05, 1.04, 1.05):
        tape.add(block, now)
    tape.add(block, 2.0)
    samples = tape.samples()
    assert np.flatnonzero(samples)[[0, -1]].tolist() == [RATE, 2 * RATE - 1]
    assert np.count_nonzero(samples) == 6 * FRAME
    assert samples[RATE : RATE + 5 * FRAME].all()
    assert tape.last_loud == 2.0


def test_a_line_that_opens_quickly_is_on_tape_when_it_was() -> None:
    tape, block = Tape(), np.full(FRAME, 0.1)
    for now in (0.05, 0.06):
        tape.add(block, now)
    assert np.flatnonzero(tape.samples())[[0, -1]].tolist() == [
        RATE * 4 // 100,
        RATE * 6 // 100 - 1,
    ]


# --- what is right --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "slots", "right"),
    [
        (turn(slot={"pain": "no"}), {"pain": "false"}, True),
        (turn(slot={"pain": "no"}), {"pain": "yes"}, False),
        (turn(slot={"pain": "no"}), {}, False),
        (turn("number", slot={"phone": "3125550142"}), {"phone": "+1 312-555-0142"}, True),
        (turn("number", slot={"phone": "3125550142"}), {"phone": "312 555 0143"}, False),
        (turn("number", slot={"partySize": "4"}), {"partySize": "four"}, True),
        (turn("name", slot={"name": "Susan Miller"}), {"name": "susan millar"}, True),
        (turn("name", slot={"name": "Susan Miller"}), {"name": "Suzy Hill"}, False),
        (turn("address", slot={"a": "77 Oak Road"}), {"a": "77 Oak Rd."}, True),
        (turn("address", slot={"a": "77 Oak Road"}), {"a": "17 Oak Road"}, False),
        (turn("date", slot={"d": "1982-03-04"}), {"d": "1982-03-05"}, False),
        (turn("open", slot={"allergies": "peanuts"}), {"allergies": "She has peanuts"}, True),
        (turn("open", slot={"insurance": "none"}), {}, True),
    ],
)
def test_slots(asked: corpus.Turn, slots: dict[str, str], right: bool) -> None:
    assert answered_rightly(asked, record(slots=slots), "", moved_on=True) is right


@pytest.mark.parametrize(
    ("wanted", "hours", "right"),
    [
        ({"day": "tomorrow", "time": "15:00"}, 24, True),
        ({"day": "Friday", "time": "15:00"}, 24, True),
        ({"day": "Friday"}, 24, True),
        ({"day": "Friday", "time": "15:00"}, 25, False),
        ({"day": "Thursday", "time": "15:00"}, 24, False),
        ({"day": "tomorrow"}, 48, False),
    ],
)
def test_appointments(wanted: dict[str, str], hours: float, right: bool) -> None:
    assert answered_rightly(turn(booked=wanted), booked(hours), "", moved_on=True) is right
    assert not answered_rightly(turn(booked=wanted), record(), "", moved_on=True)


def test_facts_outcomes_and_a_plain_yes() -> None:
    fact = turn("open", spoken=["95 dollars", "$95"])
    assert answered_rightly(fact, record(), "A cleaning is 95 dollars.", moved_on=True)
    assert not answered_rightly(fact, record(), "A cleaning is 90 dollars.", moved_on=True)
    emergency = turn("open", outcome="Emergency")
    assert answered_rightly(emergency, record(outcome="Emergency"), "", moved_on=True)
    assert not answered_rightly(emergency, record(), "", moved_on=True)
    assert answered_rightly(turn(agreed="yes"), record(), "", moved_on=True)
    assert not answered_rightly(turn(agreed="yes"), record(), "", moved_on=False)
