"""What a transcriber is told to listen for, and whether what it heard is an answer."""

from __future__ import annotations

from datetime import datetime

import pytest

from support.dialogues import MemoryCalendar
from voicefleet_api import professions
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.receptionist import Fact
from voicefleet_dialogue.dialogue import Dialogue

pytestmark = pytest.mark.unit

NOW = datetime.fromisoformat("2026-11-23T09:00:00-06:00")


@pytest.fixture
def dialogue() -> Dialogue:
    profession = professions.load("dentist")
    config = AgentConfig(
        client_id="vc-1",
        agent_name="agent",
        livekit_url="ws://127.0.0.1:1",
        business_name="Bright Smile",
        time_zone="America/Chicago",
        profession="dentist",
        greeting="Hello.",
        prompt="",
        questions=[question.text for question in profession.questions],
        facts=[Fact(topic="zirconia crowns", text="A zirconia crown is 900 dollars.")],
    )
    dialogue = Dialogue(config, MemoryCalendar(config, NOW), clock=lambda: NOW)
    dialogue.commit(dialogue.open())
    return dialogue


def say(dialogue: Dialogue, *lines: str) -> None:
    for line in lines:
        turn = dialogue.consider(line)
        assert turn is not None
        dialogue.commit(turn)


def test_at_first_anything_may_come_and_the_businesss_own_words(dialogue: Dialogue) -> None:
    assert {"appointment", "cleaning", "zirconia", "toothache"} <= set(dialogue.likely)


def test_each_question_has_its_words(dialogue: Dialogue) -> None:
    say(dialogue, "I'd like to book a cleaning.")
    assert {"yes", "no", "swelling"} <= set(dialogue.likely)
    say(dialogue, "No.", "Yes.")
    assert {"my name is", "Miller", "Susan"} <= set(dialogue.likely)
    say(dialogue, "Susan Miller.")
    assert {"October", "nineteen"} <= set(dialogue.likely)
    say(dialogue, "March fourth, nineteen eighty two.")
    assert {"zero", "double", "area code"} <= set(dialogue.likely)
    assert {"tooth", "breathe", "abscess"} <= set(dialogue.likely), "whatever was asked"
    assert "Cigna" not in dialogue.likely, "that is asked later"
    assert "can't breathe" not in dialogue.likely, "half of it is not to be heard as the whole"
    say(dialogue, "Three one two, five five five, zero one four two.")
    assert {"Cigna", "Delta Dental"} <= set(dialogue.likely), "the profession's usual answers"
    say(dialogue, "Cigna.")
    assert {"Thursday", "noon", "o'clock"} <= set(dialogue.likely)
    assert "Miller" not in dialogue.likely


def test_a_transcriber_is_not_told_more_than_it_takes(dialogue: Dialogue) -> None:
    """A topic may have 128 characters, and there may be many."""
    facts = [Fact(topic=f"{n} {'long ' * 24}", text=f"word{n} " * 20) for n in range(60)]
    config = dialogue._frame.config.model_copy(update={"facts": facts})
    dialogue.reload(config)
    assert max(map(len, dialogue.likely)) <= 80
    assert sum(map(len, dialogue.likely)) <= 10_000
    assert "abscess" in dialogue.likely


@pytest.mark.parametrize(
    ("before", "heard", "fit"),
    [
        (0, "I'd like to book a cleaning.", "Surely"),
        (0, "Purple monkeys dance.", "No"),
        (1, "No, not at all.", "Surely"),
        (1, "Snow.", "No"),
        (3, "It's Susan Miller.", "Surely"),
        (3, "It's Zusan Millo.", "Perhaps"),
        (4, "March fourth, nineteen eighty two.", "Surely"),
        (5, "Four one five, five five five, zero one nine eight.", "Surely"),
        (5, "My number is 415-555-0198.", "Surely"),
        (5, "Four one five five five five three or one nine eight.", "Perhaps"),
        (5, "Four one five, five five.", "No"),
        (7, "Tuesday at nine.", "Surely"),
        (7, "Tuesday at night.", "Perhaps"),
    ],
)
def test_fit(dialogue: Dialogue, before: int, heard: str, fit: str) -> None:
    lines = (
        "I'd like to book a cleaning.",
        "No.",
        "Yes.",
        "Susan Miller.",
        "March fourth, nineteen eighty two.",
        "Three one two, five five five, zero one four two.",
        "Cigna.",
    )
    say(dialogue, *lines[:before])
    assert dialogue.fit(heard) == fit
