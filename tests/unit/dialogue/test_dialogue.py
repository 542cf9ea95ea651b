"""The dialogue's edges: silence, interruption, reloading, a model that answers, lies or fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from support.dialogues import FACTS, NOW, MemoryCalendar, config, say, talk
from voicefleet_dialogue.acts import Act, End, ModelUnavailable, Say
from voicefleet_dialogue.dialogue import Dialogue

pytestmark = pytest.mark.unit


class Model:
    """Says what it is told to, or breaks."""

    def __init__(self, meaning: str = "question", words: str = "", delay: float = 0) -> None:
        self.meaning, self.words, self.delay = meaning, words, delay
        self.fails = False

    async def complete(
        self, system: str, user: str, *, schema: Mapping[str, Any] | None = None, max_tokens: int
    ) -> AsyncIterator[str]:
        if self.fails:
            raise ModelUnavailable("down")
        if schema is not None:
            yield f'{{"meaning": "{self.meaning}"}}'
            return
        await asyncio.sleep(self.delay)
        for word in self.words.split(" "):
            yield word + " "


def with_model(model: Model, profession: str = "dentist") -> Dialogue:
    settings = config(profession)
    dialogue = Dialogue(
        settings,
        MemoryCalendar(settings),
        clock=lambda: NOW,
        language_model=model,
        filler_seconds=0.02,
        model_seconds=0.2,
    )
    dialogue.commit(dialogue.open())
    return dialogue


async def asked(dialogue: Dialogue, heard: str) -> list[str]:
    assert dialogue.consider(heard) is None
    return [act.text async for act in dialogue.ask(heard) if isinstance(act, Say)]


OPEN = "do you think it takes long to heal afterwards"


async def test_an_open_question_is_answered_behind_an_acknowledgement() -> None:
    said = await asked(with_model(Model(words="It is on the third floor. Take the stairs.")), OPEN)
    assert said == [
        "One moment, please.",
        "It is on the third floor.",
        "Take the stairs.",
        "Is there anything else I can do?",
    ]


@pytest.mark.parametrize(
    "lie",
    [
        "A crown costs 400 dollars.", "It costs four hundred dollars.", "We are open on Sunday.",
        "We are at 12 Elm Street.", "We are on Elm Street.", "Write to info@sunrise.com.",
        "I have booked you in.", "There is an opening at noon.", "Parking is free of charge.",
        "Your appointment is confirmed.",
    ],
)  # fmt: skip
async def test_what_is_not_in_the_facts_is_not_said(lie: str) -> None:
    said = await asked(with_model(Model(words=lie)), OPEN)
    assert not any(lie in sentence for sentence in said)
    assert "I don't have that information" in said[-1]


async def test_a_model_that_fails_asks_to_repeat() -> None:
    model = Model()
    model.fails = True
    said = await asked(with_model(model), OPEN)
    assert said[-1] == "I'm sorry, I didn't catch that. Can you repeat?"


async def test_a_slow_model_is_covered_and_then_given_up() -> None:
    said = await asked(with_model(Model(words="Yes.", delay=0.05)), OPEN)
    assert said[1] == "Just a second, I'm looking that up."
    assert said[2] == "Yes."
    said = await asked(with_model(Model(words="Yes.", delay=1)), OPEN)
    assert said[-1] == "I'm sorry, I didn't catch that. Can you repeat?"


async def test_the_model_chooses_among_what_we_know() -> None:
    dialogue = with_model(Model(meaning="tooth pain"))
    say(dialogue, "I want to book an appointment")
    said = await asked(dialogue, "my molar is killing my mood")
    assert dialogue.state.slots["reason"] == "tooth pain"
    assert said[-1] == "Are you in pain right now, or is there any swelling?"


async def test_a_yes_is_asked_for_again_before_the_model_is() -> None:
    dialogue = with_model(Model(meaning="yes"))
    say(dialogue, "I need a cleaning")
    assert "Sorry" in _words(say(dialogue, "purple monkeys"))
    await asked(dialogue, "purple monkeys")
    assert dialogue.state.slots["pain"] == "yes"


def _words(acts: Sequence[Act]) -> str:
    return " ".join(act.text for act in acts if isinstance(act, Say))


async def test_a_name_or_a_number_is_never_guessed_by_the_model() -> None:
    dialogue = with_model(Model(meaning="question", words="You are Ann Lee."))
    for line in ("I need a cleaning", "no", "yes"):
        say(dialogue, line)
    assert dialogue.state.asked == "name"
    assert "Sorry" in _words(say(dialogue, "the 4 of us"))
    assert "having trouble" in _words(say(dialogue, "the 4 of us"))
    assert "name" not in dialogue.state.slots


def test_what_nothing_hangs_on_is_passed_over() -> None:
    """Whether there is pain is asked twice, and the name until it is there."""
    dialogue, _ = talk()
    say(dialogue, "I need a cleaning")
    say(dialogue, "purple monkeys")
    assert dialogue.state.asked == "pain"
    assert "leave that" in _words(say(dialogue, "purple monkeys"))
    assert (dialogue.state.asked, "pain" in dialogue.state.slots) == ("newPatient", False)


def test_an_answer_to_another_question_is_kept() -> None:
    """Asked for the pain, the caller gives number, name and time: none is asked for again."""
    dialogue, calendar = talk()
    for line in ("I need a cleaning", "415 555 0142.", "Tomorrow at ten."):
        say(dialogue, line)
    assert dialogue.state.asked == "newPatient"  # the pain was asked for twice
    for line in ("yes", "Ann Lee", "May 1st 1980", "none", "yes"):
        say(dialogue, line)
    [booked] = calendar.entries
    assert (booked.name, booked.phone, f"{booked.starts:%A %H:%M}") == (
        "Ann Lee", "+14155550142", "Tuesday 10:00",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "key", "value"),
    [
        (["I need a cleaning", "no", "yes", "Robert, Robert Johnson"], "name", "Robert Johnson"),
        (
            ["I need a cleaning", "no", "yes", "first name Angela, last name Scott"],
            "name", "Angela Scott",
        ),
        (
            ["I need a cleaning", "no", "yes", "Ann Lee", "May 1st 1980",
             "five five five oh one oh nine area code three one two"], "phone", "+13125550109",
        ),
        (
            ["I need a cleaning", "no", "yes", "Ann Lee", "May 1st 1980",
             "five five five, sorry, three one two five five five oh one two three"],
            "phone", "+13125550123",
        ),
        (
            ["I need a cleaning", "no", "yes", "Ann Lee", "May 1st 1980",
             "six by zero, by by five, you one for owe"], "phone", "+16505550140",
        ),
    ],
)  # fmt: skip
def test_a_name_or_number_is_made_out(lines: list[str], key: str, value: str) -> None:
    dialogue, _ = talk()
    for line in lines:
        say(dialogue, line)
    assert dialogue.state.slots[key] == value


def test_silence_is_prompted_twice_then_the_call_ends_with_a_message() -> None:
    dialogue, _ = talk()
    say(dialogue, "I need a cleaning, my name is Anna Miller")
    first, second = (dialogue.commit(dialogue.silent()) for _ in range(2))
    assert first != second
    acts = dialogue.commit(dialogue.silent())
    assert isinstance(acts[-1], End)
    assert dialogue.outcome.messages[0].name == "Anna Miller"


def test_speech_ends_the_count_of_silences() -> None:
    dialogue, _ = talk()
    for _ in range(4):
        dialogue.commit(dialogue.silent())
        acts: Any = say(dialogue, "do you have parking")
        assert not any(isinstance(act, End) for act in acts)
        dialogue.commit(dialogue.silent())
        say(dialogue, "do you have parking")


@pytest.mark.parametrize("heard", ["Thank you.", "Bye.", "that's all", "No.", "I don't"])
def test_words_that_may_be_misheard_end_no_call_that_has_only_begun(heard: str) -> None:
    dialogue, _ = talk("restaurant")
    assert _said(say(dialogue, heard)).startswith("Before you go")
    [*_, last] = say(dialogue, heard)
    assert isinstance(last, End)


@pytest.mark.parametrize(
    "heard", ["I'd like to reserve. Bye.", "Thank you, a table for four, that's all."]
)
def test_a_wish_counts_more_than_a_goodbye_beside_it(heard: str) -> None:
    dialogue, _ = talk("restaurant")
    say(dialogue, heard)
    assert (dialogue.state.task, dialogue.state.phase) == ("Book", "Asking")


def test_who_says_why_they_leave_or_has_been_told_something_is_let_go() -> None:
    for lines in (
        ["Sorry, wrong number, bye."], ["Never mind."], ["when are you open", "thank you"],
        ["do you teach the piano", "No. Bye."],
    ):  # fmt: skip
        dialogue, _ = talk("restaurant")
        for line in lines:
            acts = say(dialogue, line)
        assert isinstance(acts[-1], End), lines


def test_a_yes_after_something_was_told_books_nothing() -> None:
    dialogue, _ = talk("restaurant")
    say(dialogue, "when are you open")
    assert _said(say(dialogue, "yes")) == "How can I help you?"


def test_a_number_that_sounds_like_a_goodbye_is_a_number() -> None:
    dialogue, _ = talk("restaurant")
    for line in ("a table for two tomorrow at seven in the evening", "inside", "none", "Ann Lee"):
        say(dialogue, line)
    say(dialogue, "four one five five five five oh one four bye")
    assert dialogue.state.slots["phone"] == "+14155550145"


def _to_confirmation(dialogue: Dialogue) -> str:
    for line in (
        "I need a cleaning tomorrow at ten", "no", "yes", "Anna Miller", "May 1st 1980",
        "415 555 0142", "none",
    ):  # fmt: skip
        acts = say(dialogue, line)
    assert dialogue.state.phase == "Confirming"
    return " ".join(act.text for act in acts if isinstance(act, Say))


def test_a_yes_to_what_was_not_heard_books_nothing() -> None:
    dialogue, calendar = talk()
    words = _to_confirmation(dialogue)
    dialogue.unheard(words[words.index("That is") :])
    say(dialogue, "yes")
    assert calendar.entries == []
    say(dialogue, "yes")
    assert len(calendar.entries) == 1


def test_a_yes_that_cuts_off_only_the_question_books() -> None:
    dialogue, calendar = talk()
    _to_confirmation(dialogue)
    dialogue.unheard("Shall I book it?")
    say(dialogue, "yes")
    assert len(calendar.entries) == 1


def test_a_time_taken_meanwhile_leads_to_other_offers() -> None:
    dialogue, calendar = talk()
    _to_confirmation(dialogue)
    turn = dialogue.consider("yes")
    assert turn is not None
    kind = dialogue.expects.frame.kinds[0]
    start = dialogue.state.starts
    assert start is not None
    calendar.book(kind, start, name="Quick", phone=None, notes="")
    acts = dialogue.commit(turn)
    assert "somebody else has just taken" in " ".join(a.text for a in acts if isinstance(a, Say))
    assert dialogue.state.phase == "Offering"
    assert [entry.name for entry in calendar.entries] == ["Quick"]


def test_a_yes_to_several_offers_is_asked_which() -> None:
    dialogue, calendar = talk()
    _to_confirmation(dialogue)
    assert dialogue.state.starts is not None
    kind = dialogue.expects.frame.kinds[0]
    calendar.book(kind, dialogue.state.starts, name="Quick", phone=None, notes="")
    say(dialogue, "yes")
    offers = dialogue.state.offers
    assert (dialogue.state.phase, len(offers) > 1) == ("Offering", True)
    [again] = say(dialogue, "yes please")
    assert isinstance(again, Say)
    assert "Which would you like?" in again.text
    assert (dialogue.state.phase, dialogue.state.offers) == ("Offering", offers)


def test_changed_words_count_from_the_next_turn() -> None:
    dialogue, _ = talk()
    fact = {"topic": "price of a cleaning", "text": "A cleaning is 95 dollars."}
    changed = config().to_json() | {"facts": [*FACTS, fact]}
    assert "don't have a price" in _said(say(dialogue, "how much is a cleaning"))
    dialogue.reload(config().model_validate(changed))
    assert "A cleaning is 95 dollars." in _said(say(dialogue, "how much is a cleaning"))


def test_a_reload_in_the_middle_of_a_question_that_is_gone() -> None:
    dialogue, _ = talk()
    say(dialogue, "I need a cleaning")
    dialogue.reload(config().model_validate(config().to_json() | {"questions": ["Your name?"]}))
    say(dialogue, "I want to book an appointment")
    assert dialogue.state.phase == "Asking"


def _said(acts: Any) -> str:
    return " ".join(act.text for act in acts if isinstance(act, Say))


@pytest.mark.parametrize(
    ("lines", "heard", "expected"),
    [
        ([], "I'd like to book and", "Incomplete"), ([], "um", "Incomplete"),
        ([], "my name is", "Incomplete"), ([], "I'd like to book an appointment", "Unsure"),
        ([], "I need a cleaning next week", "Enough"), ([], "Thank you.", "Unsure"),
        (["I need a cleaning"], "yes", "Enough"), (["I need a cleaning"], "no, none", "Complete"),
        (["I need a cleaning"], "not at all,", "Enough"),
        (["I need a cleaning"], "well it", "Unsure"),
        (["I need a cleaning", "no", "yes"], "Anna Miller", "Complete"),
        (["I need a cleaning", "no", "yes"], "Anna", "Unsure"),
        (["I need a cleaning", "no", "yes"], "it's um", "Incomplete"),
        (["I need a cleaning", "no", "yes", "Anna Miller", "May 1st 1980"], "four one five",
         "Incomplete"),
        (["I need a cleaning", "no", "yes", "Anna Miller", "May 1st 1980"],
         "four one five five five five zero one four two", "Complete"),
        (["I need a cleaning", "no", "yes", "Anna Miller"], "may first nineteen eighty",
        "Complete"),
        (["I need a cleaning", "no", "yes", "Anna Miller"], "may", "Incomplete"),
        (["I need a cleaning", "no", "yes", "Anna Miller"], "the first of may", "Incomplete"),
    ],
)  # fmt: skip
def test_whether_an_answer_is_complete(lines: list[str], heard: str, expected: str) -> None:
    dialogue, _ = talk()
    for line in lines:
        say(dialogue, line)
    assert dialogue.expects.judge(heard) == expected


def test_a_full_time_completes_a_wish() -> None:
    dialogue, _ = talk()
    for line in (
        "I need a cleaning",
        "no",
        "yes",
        "Anna Miller",
        "May 1st 1980",
        "4155550142",
        "none",
    ):
        say(dialogue, line)
    assert dialogue.state.phase == "When"
    assert dialogue.expects.judge("next tuesday at ten") == "Complete"
    assert dialogue.expects.judge("next tuesday") == "Unsure"
    assert dialogue.expects.judge("next tuesday at") == "Incomplete"


def test_prepared_sentences_are_those_that_are_spoken() -> None:
    dialogue, _ = talk()
    prepared = set(dialogue.prepared())
    spoken: list[Act] = []
    for line in ("do you have parking", "I need a cleaning", "blah", "no", "yes"):
        spoken += say(dialogue, line)
    texts = [act.text for act in spoken if isinstance(act, Say)]
    assert len([text for text in texts if text in prepared]) >= len(texts) - 1


def test_a_turn_takes_milliseconds() -> None:
    dialogue, _ = talk()
    say(dialogue, "hello")
    lines = (
        "I need a cleaning",
        "where are you",
        "no",
        "yes",
        "Anna Miller",
        "I don't know",
        "what",
    )
    begun = time.process_time()
    for line in lines * 3:
        dialogue.consider(line)
    assert (time.process_time() - begun) / len(lines * 3) < 0.02


def test_a_person_is_told_who_calls_and_why() -> None:
    dialogue, _ = talk("plumber", caller="+14155550123")
    assert dialogue.handover("a person please") == (
        "This is the assistant of Sunrise, with 4 1 5, 5 5 5, 0 1 2 3 on the line."
    )
    say(dialogue, "I need someone for a blocked drain, my name is Tom Reed")
    say(dialogue, "can I speak to a person")
    told = dialogue.handover("can I speak to a person")
    assert told.startswith(
        "This is the assistant of Sunrise, with Tom Reed on the line. It is about"
    )
    say(dialogue, "a pipe has burst and there is water everywhere")
    assert dialogue.handover("a pipe has burst").endswith(
        "with Tom Reed on the line. It is urgent. They said: a pipe has burst."
    )
    nobody, _ = talk("plumber")
    assert "a caller" in nobody.handover("x")
