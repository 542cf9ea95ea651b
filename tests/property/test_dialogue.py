"""What holds in every dialogue, whatever callers say and in whatever order."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.dialogues import config, say, talk
from voicefleet_api import professions
from voicefleet_dialogue import speaking
from voicefleet_dialogue.acts import End, Say, Transfer
from voicefleet_dialogue.dialogue import Dialogue
from voicefleet_dialogue.expectation import Judgement

pytestmark = pytest.mark.property

LINES = [
    "hi", "I'd like to book an appointment", "yes", "no", "Anna Miller", "this is Bob Jones",
    "four one five five five five oh one four two", "tomorrow at ten", "friday", "at three pm",
    "next week", "the first one", "as soon as possible", "210 Market Street", "three",
    "actually thursday", "no I meant Carol Smith", "january first nineteen ninety", "what",
    "where are you", "how much is it", "can I leave a message", "cancel my appointment",
    "blah blah", "anna at example dot com", "the number", "sunday at midnight", "yesterday",
    "a year from now", "december 25th at noon", "none", "hold on", "twelve", "the second one",
    "I need to reschedule", "",
]  # fmt: skip
SCRIPTS = st.lists(st.sampled_from(LINES), min_size=4, max_size=24)
PROFESSIONS = st.sampled_from(professions.names())


ANSWERS = {
    "Name": ["Anna Miller", "it's Bob Jones", "Carol Smith"],
    "Phone": ["four one five five five five oh one four two", "312 555 0177"],
    "Email": ["anna at example dot com"],
    "Address": ["210 Market Street"],
    "Date": ["january first nineteen ninety"],
    "Time": ["at three", "ten thirty"],
    "Number": ["four"],
    "YesNo": ["yes", "no"],
    "Choice": ["the first one", "the second one"],
    "Text": ["some words"],
}
WISHES = ["tomorrow at ten", "friday at three pm", "sunday at noon", "next week", "at midnight",
          "december 25th at noon", "as soon as possible",
          "tuesday at 7 in the evening"]  # fmt: skip


def fitting(data: st.DataObject, dialogue: Dialogue) -> str:
    """What a willing caller says now; sometimes something else."""
    state = dialogue.state
    if data.draw(st.integers(0, 9)) == 0:
        return data.draw(st.sampled_from(LINES))
    if state.phase == "Asking" and state.asked:
        slot = dialogue.expects.frame.question(state.asked).slot
        return data.draw(st.sampled_from(ANSWERS[slot]))
    by_phase = {"When": WISHES, "Offering": ["the first one", *WISHES],
                "Confirming": ["yes", "yes", "no", "no thursday"],
                "Changing": ["the name is Eve Stone", "the time"],
                "Ended": ["bye"]}  # fmt: skip
    return data.draw(st.sampled_from(by_phase.get(state.phase, ["I'd like an appointment"])))


@settings(max_examples=15, deadline=None)
@given(st.data(), PROFESSIONS)
def test_nothing_is_booked_without_read_back(data: st.DataObject, profession: str) -> None:
    dialogue, calendar = talk(profession, holidays=["2026-12-25"])
    for _ in range(20):
        read_back = dialogue.state.last
        say(dialogue, fitting(data, dialogue))
        if calendar.entries:
            made = calendar.entries.pop()
            assert made.name
            assert made.name in read_back
            assert made.phone
            assert speaking.phone(made.phone) in read_back
            assert speaking.moment(made.starts, dialogue.expects.frame.locale) in read_back


@settings(max_examples=40, deadline=None)
@given(PROFESSIONS, SCRIPTS)
def test_what_is_answered_is_not_asked(profession: str, script: list[str]) -> None:
    dialogue, _ = talk(profession)
    questions = {question.text: question.key for question in professions.load(profession).questions}
    for line in ["I'd like to book an appointment", *script]:
        before = dict(dialogue.state.slots)
        phase = dialogue.state.phase
        acts = say(dialogue, line)
        if phase in ("Confirming", "Changing"):
            continue  # "the number" that is wrong is asked again
        for act in acts:
            if isinstance(act, Say) and act.text in questions:
                assert questions[act.text] not in before


@settings(max_examples=50, deadline=None)
@given(st.data(), PROFESSIONS, SCRIPTS)
def test_an_emergency_escalates_in_that_very_turn(
    data: st.DataObject, profession: str, script: list[str]
) -> None:
    emergency = data.draw(st.sampled_from(professions.load(profession).emergencies))
    phrase = data.draw(st.sampled_from(emergency.phrases))
    filled = data.draw(st.sampled_from(["{}", "oh god {}", "um wait {} please", "listen, {}!"]))
    reachable = data.draw(st.booleans())
    dialogue, _ = talk(profession, **({} if reachable else {"contacts": []}))
    for line in script:
        say(dialogue, line)
    acts = say(dialogue, filled.format(phrase))
    said = " ".join(act.text for act in acts if isinstance(act, Say))
    assert dialogue.outcome.result == "Emergency"
    if any(phrase in e.phrases and e is not emergency
           for e in professions.load(profession).emergencies):  # fmt: skip
        return
    first = emergency.say.split(". ")[0]
    if emergency.action == "Transfer":
        assert any(isinstance(act, Transfer) for act in acts) is reachable
    elif emergency.action == "CallEmergencyServices":
        assert first in said
        assert dialogue.outcome.messages[-1].urgent
    else:
        assert dialogue.state.urgent
        assert first in said


@settings(max_examples=50, deadline=None)
@given(PROFESSIONS, st.lists(st.text(max_size=40) | st.sampled_from(LINES), max_size=12))
def test_any_words_get_an_answer(profession: str, script: list[str]) -> None:
    dialogue, _ = talk(profession)
    for line in script:
        assert dialogue.expects.judge(line) in get_args(Judgement)
        acts = say(dialogue, line)
        assert any(isinstance(act, Say | Transfer | End) for act in acts)


@settings(max_examples=40, deadline=None)
@given(PROFESSIONS, SCRIPTS, st.sampled_from(LINES))
def test_considering_changes_nothing(profession: str, script: list[str], line: str) -> None:
    dialogue, calendar = talk(profession)
    for heard in script:
        say(dialogue, heard)
    state, entries = dialogue.state, list(calendar.entries)
    messages = list(dialogue.outcome.messages)
    assert dialogue.consider(line) == dialogue.consider(line)
    assert dialogue.state is state
    assert calendar.entries == entries
    assert dialogue.outcome.messages == messages


@pytest.mark.parametrize("profession", professions.names())
def test_a_profession_greets_asks_and_books_in_its_own_way(profession: str) -> None:
    """Seed, property 11: its greeting, its questions in its order and one at a time, its kinds of
    appointment with their lengths, its words of confirmation."""
    shipped = professions.load(profession)
    dialogue, calendar = talk(profession)
    assert dialogue.open().acts[0] == Say(
        shipped.greeting.replace("{business}", "Sunrise"), "Facts"
    )
    texts = [question.text for question in shipped.questions]
    asked: list[str] = []
    read_back = ""
    lines = {"When": "friday at three pm", "Offering": "the first one", "Confirming": "yes"}
    for _ in range(30):
        state = dialogue.state
        line = lines.get(state.phase, "I'd like an appointment")
        if state.phase == "Asking" and state.asked:
            line = ANSWERS[dialogue.expects.frame.question(state.asked).slot][0]
        said = " ".join(act.text for act in say(dialogue, line) if isinstance(act, Say))
        if calendar.entries:
            break
        read_back = said
        put = [text for text in texts if text in said]
        assert len(put) <= 1
        asked += put
    [made] = calendar.entries
    assert asked == sorted(set(asked), key=texts.index)
    required = {q.text for q in shipped.questions if q.required and q.slot not in ("Date", "Time")}
    assert required <= set(asked)
    minutes = {kind.title: kind.minutes for kind in shipped.booking.appointments}
    assert (made.ends - made.starts).total_seconds() == 60 * minutes[made.title]
    confirmed = shipped.booking.confirmation.split("{")[0]
    assert confirmed in said or confirmed in read_back


@given(PROFESSIONS)
def test_a_receptionists_own_words_come_first(profession: str) -> None:
    """Seed, property 11: a profession is where a client starts, not where it ends."""
    own = ["May I have your name?", "What is your shoe size?"]
    dialogue, _ = talk(profession, questions=own, greeting="Ahoy.")
    assert next(iter(dialogue.prepared())) == "Ahoy."
    shipped = {question.text for question in professions.load(profession).questions}
    asked = {q.text for q in dialogue.expects.frame.questions.items}
    assert set(own) <= asked
    assert not asked & (shipped - set(own))
    assert config(profession).greeting != "Ahoy."
