"""Whole calls as text (tests/golden/dialogues): what is understood, done and said."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.dialogues import NOW, at, begin, config, play
from voicefleet_agent.records import journal
from voicefleet_api import professions
from voicefleet_api.calls import Message
from voicefleet_dialogue import locale, speaking
from voicefleet_dialogue.acts import Act, Say, Transfer
from voicefleet_dialogue.calendar import Appointment
from voicefleet_dialogue.dialogue import Dialogue

pytestmark = pytest.mark.unit

FOLDER = Path(__file__).parents[2] / "golden" / "dialogues"


def dialogues() -> list[Any]:
    return [
        pytest.param(file.stem, case, id=f"{file.stem}-{case['name']}")
        for file in sorted(FOLDER.glob("*.yaml"))
        for case in yaml.safe_load(file.read_text())
    ]


def test_every_profession_has_dialogues() -> None:
    assert {param.values[0] for param in dialogues()} == set(professions.names())
    assert len(dialogues()) >= 40


@pytest.mark.parametrize(("profession", "case"), dialogues())
def test_dialogue(profession: str, case: dict[str, Any]) -> None:
    dialogue, calendar = begin(profession, case)
    acts: list[Act] = []
    heard: list[str] = []
    for line in case["talk"]:
        heard.append(line.get("caller", ""))
        spoken = list(play(dialogue, line))
        acts += spoken
        known = [*calendar.entries, *_known(dialogue)]
        nothing_invented(spoken, heard, dialogue, profession, known, case)
        if "says" in line:
            words = " ".join(act.text for act in spoken if isinstance(act, Say))
            assert line["says"] in words, words
        if "phase" in line:
            assert dialogue.state.phase == line["phase"]
        if "asks" in line:
            assert dialogue.state.asked == line["asks"]
    outcome = dialogue.outcome
    assert outcome.result == case["outcome"]
    for key, value in case.get("slots", {}).items():
        assert outcome.slots.get(key) == str(value), key
    stands = [
        f"{e.title}, {e.starts:%Y-%m-%d %H:%M}, {e.name}, {e.phone}" for e in calendar.entries
    ]
    assert stands == case.get("stands", [])
    assert [_plain(m) for m in outcome.messages] == case.get("messages", [])
    assert outcome.transferred_to == case.get("transferred")
    rang = "transferred" in case or case.get("rang", False)
    assert any(isinstance(act, Transfer) for act in acts) == rang


@pytest.mark.parametrize(("profession", "case"), dialogues())
def test_taken_over_before_every_turn(profession: str, case: dict[str, Any]) -> None:
    """Each time another process goes on, with what the journal has; the caller cannot tell."""
    one, calendar = begin(profession, case)
    other, others = begin(profession, case)
    other.restore(one.saved)
    for line in case["talk"]:
        entry = journal.Entry("id", "room", None, NOW, 0, False, other.saved)
        other = Dialogue(others.settings, others, clock=lambda: NOW, caller=case.get("caller"))
        other.restore(journal.load(journal.dump(entry)).talk)
        assert play(other, line) == play(one, line)
        assert other.state == one.state
    assert other.outcome == one.outcome
    assert others.entries == calendar.entries


def _known(dialogue: Dialogue) -> list[Appointment]:
    return list(dialogue.state.found)


def _plain(message: Message) -> str:
    urgent = "urgent: " if message.urgent else ""
    return f"{urgent}{message.text} ({message.name}, {message.phone})"


def nothing_invented(
    acts: list[Act],
    heard: list[str],
    dialogue: Dialogue,
    profession: str,
    entries: list[Appointment],
    case: dict[str, Any],
) -> None:
    """Every number in the agent's words is the client's, the calendar's or the caller's."""
    words = locale.load("en-US")
    settings = config(profession)
    moments = [*dialogue.state.offers, *(entry.starts for entry in entries)]
    moments += [at(b["starts"]) for b in case.get("calendar", [])]
    if dialogue.state.starts:
        moments.append(dialogue.state.starts)
    wish = dialogue.state.wish
    if wish.day and wish.at:
        moments.append(NOW.combine(wish.day, wish.at))
    if dialogue.state.slots:
        numbers = [v for v in dialogue.state.slots.values() if v.startswith("+")]
    else:
        numbers = []
    phones = [case.get("caller"), *numbers, *(entry.phone for entry in entries)]
    allowed = " ".join([
        *(fact.text for fact in settings.facts),
        *(f["text"] for f in case.get("receptionist", {}).get("facts", [])),
        *(q.text for q in professions.load(profession).questions),
        *(e.say for e in professions.load(profession).emergencies),
        settings.greeting,
        *(speaking.moment(moment, words) for moment in moments),
        *(speaking.phone(number) for number in phones if number),
        "from 8 AM to 6 PM from 8 AM to 10 PM",
        *(case.get("receptionist", {}).get("questions", [])),
    ])  # fmt: skip
    known = set(re.findall(r"\d+", allowed))
    for act in acts:
        if isinstance(act, Say) and act.text not in ("I can help",):
            said = set(re.findall(r"\d+", act.text))
            assert said <= known, (act.text, said - known)
