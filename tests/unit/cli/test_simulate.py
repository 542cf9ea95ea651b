"""Simulated callers: scenarios are read, played as text against the dialogue, judged, reported."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner, Result

from support.simulated import SCENARIOS, played, practice
from voicefleet_api import professions
from voicefleet_api.calls import CallEvent, CallRecord
from voicefleet_cli.console import Exit
from voicefleet_cli.main import app
from voicefleet_cli.simulate import language_models
from voicefleet_cli.simulate import run as runs
from voicefleet_cli.simulate.caller import Script
from voicefleet_cli.simulate.dial import Live, bed, spoken_words
from voicefleet_cli.simulate.judge import inventions, judged
from voicefleet_cli.simulate.played import Played
from voicefleet_cli.simulate.rehearse import rehearse
from voicefleet_cli.simulate.report import Report, render
from voicefleet_cli.simulate.scenario import (
    PRACTICE,
    BadScenario,
    Manner,
    Noise,
    Scenario,
    load,
)  # fmt: skip
from voicefleet_cli.telephone.answering import Answering
from voicefleet_cli.telephone.sip import SipLine
from voicefleet_cli.telephone.sound import LOUDNESS, RATE, Samples
from voicefleet_dialogue.acts import ModelUnavailable

pytestmark = pytest.mark.unit


def simulate(folder: Path, *words: str) -> Result:
    command = ["simulate", "--text", f"--home={folder}/home", f"--report={folder}/report", *words]
    return CliRunner().invoke(app, command, env={"COLUMNS": "300"})


def write(folder: Path, *scenarios: dict[str, Any]) -> Path:
    (folder / "own.yaml").write_text(yaml.safe_dump(list(scenarios)))
    return folder


def cleaning(**changes: Any) -> dict[str, Any]:
    """The shipped scenario with other expectations, as a user would write it."""
    data = SCENARIOS["cleaning"].to_json()
    expect: dict[str, Any] = data["expect"]  # type: ignore[assignment]
    data["expect"] = expect | changes
    return data


# --- the shipped scenarios ------------------------------------------------------------------------


def test_there_are_enough_of_every_kind() -> None:
    called = {name for s in SCENARIOS.values() for name in s.professions}
    assert called == set(professions.names())
    assert {s.manner for s in SCENARIOS.values()} == set(get_args(Manner))
    assert len(SCENARIOS) >= 40


def test_callers_of_every_kind_are_served(tmp_path: Path) -> None:
    result = simulate(tmp_path, "--at-least=98", "--output=json")
    report = Report.model_validate_json(result.stdout)
    assert result.exit_code == Exit.OK, "\n".join(report.failed)
    assert report.emergencies == (21, 21)
    assert {call.scenario for call in report.calls} == set(SCENARIOS)


def test_a_client_without_facts_and_contacts_is_judged_by_what_it_has(tmp_path: Path) -> None:
    sample = Path(__file__).parents[3] / "crds" / "samples" / "plumber.yaml"
    result = simulate(tmp_path, f"--file={sample}", "--at-least=98", "--output=json")
    report = Report.model_validate_json(result.stdout)
    assert result.exit_code == Exit.OK, "\n".join(report.failed)
    judged_of = {fact.what for call in report.calls for fact in call.facts}
    assert "transfer" in judged_of  # that nobody is reached
    assert not any(fact.startswith("told") for fact in judged_of)


# --- how a run ends -------------------------------------------------------------------------------


def test_a_wrong_fact_is_named_and_too_many_are_exit_2(tmp_path: Path) -> None:
    own = write(tmp_path, cleaning(slots={"insurance": "Cigna"}))
    words = (f"--scenarios={own}", "--scenario=cleaning")
    result = simulate(tmp_path, *words)
    assert result.exit_code == Exit.MISSED
    assert "slot insurance: wanted Cigna, found Delta Dental" in result.stdout
    assert simulate(tmp_path, *words, "--at-least=50").exit_code == Exit.OK


def test_an_emergency_that_was_not_escalated_is_exit_2_whatever_else_is_right(
    tmp_path: Path,
) -> None:
    own = write(tmp_path, cleaning(outcome=["Emergency"]))
    result = simulate(tmp_path, f"--scenarios={own}", "--at-least=0", "--scenario=cleaning")
    assert result.exit_code == Exit.MISSED
    assert "0 of 1 emergencies escalated" in result.stdout


def test_the_report_is_one_page_without_anything_from_elsewhere(tmp_path: Path) -> None:
    assert simulate(tmp_path, "--scenario=emergency").exit_code == Exit.OK
    page = (tmp_path / "report" / "report.html").read_text()
    assert not re.search(r"(?:src|href)=|https?://|@import|url\(", page)
    kept = json.loads((tmp_path / "report" / "report.json").read_text())
    assert kept["mode"] == "Text"
    assert all(call["scenario"] in page for call in kept["calls"])


def test_what_callers_say_is_no_markup(tmp_path: Path) -> None:
    data = cleaning() | {"goal": "<script>alert(1)</script>"}
    own = write(tmp_path, data)
    simulate(tmp_path, f"--scenarios={own}", "--scenario=cleaning")
    assert "<script>" not in (tmp_path / "report" / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--scenario=nobody",), "there is no nobody; choose all, a manner"),
        (("--model=gpt",), "choose none, local"),
        (("--played-by=none",), "--played-by: script, or a model: local"),
        (("nobody", f"--file={PRACTICE}"), "there is no VoiceClient nobody"),
        (("--model=local",), "the llm gateway does not run; start it with: voicefleet up"),
    ],
)
def test_what_is_wrong_with_the_command_is_said(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    result = simulate(tmp_path, *words)
    assert result.exit_code not in (Exit.OK, Exit.MISSED)
    assert said in " ".join(result.output.split())


# --- scenario files -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"expect": {"outcome": ["Booked"], "slots": {"pain": False}}},
         "cleaning: expect.slots.pain: Input should be a valid string; write it in quotes"),
        ({"goal": None}, "own.yaml: cleaning: goal: Input should be a valid string"),
        ({"manner": "Rude"}, "own.yaml: cleaning: manner: Input should be 'Calm', 'Hurried'"),
        ({"mood": "bad"}, "own.yaml: cleaning: mood: Extra inputs are not permitted; take it out"),
        ({"professions": ["astronaut"]}, "professions: there is no astronaut; choose accountant,"),
        ({"answers": {"insuranse": "x"}}, "nothing asks for insuranse; there are greeting,"),
        ({"expect": {"outcome": ["Bookd"]}}, "cleaning: expect.outcome.0: Input should be"),
        ({"answers": {"want": "One. [press 1]"}}, "One. [press 1]: keys are an answer of"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_file_is_said(tmp_path: Path, change: Any, said: str) -> None:
    with pytest.raises(BadScenario, match=re.escape(said)):
        load(write(tmp_path, cleaning() | change))


def test_a_missing_field_a_double_name_and_an_empty_folder_are_said(tmp_path: Path) -> None:
    with pytest.raises(BadScenario, match=r"there is no \*\.yaml file"):
        load(tmp_path)
    data = cleaning()
    with pytest.raises(BadScenario, match="cleaning: name: there are two; rename one"):
        load(write(tmp_path, data, data))
    del data["goal"]
    with pytest.raises(BadScenario, match="cleaning: goal: Field required; add it"):
        load(write(tmp_path, data))
    (tmp_path / "own.yaml").write_text("name: x")
    with pytest.raises(BadScenario, match="has to be a list of scenarios"):
        load(tmp_path)


# --- callers --------------------------------------------------------------------------------------


def scenario(**fields: Any) -> Scenario:
    data = {"name": "x", "goal": "something", "expect": {"outcome": ["HungUp"]}} | fields
    return Scenario.model_validate(data)


async def test_a_caller_answers_what_is_asked_last_and_repeats_itself() -> None:
    caller = Script(
        scenario(answers={"pain": "None.", "more": ["Two.", "Bye."]}), practice("dentist")
    )
    assert "appointment" in str(await caller.answer("Is there anything else I can do?"))  # greeted
    asks = "Done. Are you in pain right now, or is there any swelling?"
    assert await caller.answer(f"Is there anything else I can do? {asks}") == "None."
    assert await caller.answer("I'm sorry, I didn't catch that. Can you repeat?") == "None."
    assert await caller.answer("Is there anything else I can do?") == "Two."
    assert await caller.answer("A crown is 100 dollars. Is there anything else I can do?") == "Bye."
    assert await caller.answer("What would you like to come in for?") == "cleaning and check-up"


async def test_a_caller_who_is_asked_the_same_for_ever_hangs_up() -> None:
    caller = Script(
        scenario(patience=2, answers={"name": ["Ann.", "Ann Lee."]}), practice("plumber")
    )
    await caller.answer("Hello.")
    said = [await caller.answer("Who should the plumber ask for?") for _ in range(4)]
    assert said == ["Ann.", "Ann Lee.", "Ann Lee.", None]


async def test_a_caller_presses_keys() -> None:
    asks, record, _ = await played("keypad-booking", "restaurant")
    said = [turn.text for turn in record.transcript if turn.speaker == "Caller"]
    assert said[:2] == ["[1]", "[4#]"]
    assert "[3125550142#]" in said
    assert (record.slots["partySize"], record.slots["phone"]) == ("4", "+13125550142")
    assert not any("[" in words for words in Script(asks, practice("restaurant")).lines)


class Actor:
    """A language model that plays the caller."""

    def __init__(self, *lines: str) -> None:
        self.lines = list(lines)
        self.asked: list[str] = []

    async def complete(
        self, system: str, user: str, *, schema: Mapping[str, Any] | None = None, max_tokens: int
    ) -> AsyncIterator[str]:
        self.asked.append(f"{system}\n{user}")
        if not self.lines:
            raise ModelUnavailable("down")
        yield self.lines.pop(0)


async def test_a_model_plays_the_caller_from_goal_and_manner() -> None:
    actor = Actor('"When are you open on Friday?"\nI wait.', "You: Thanks, bye. Business: Bye.")
    asks = SCENARIOS["opening-hours"]
    config = practice("plumber")
    record = await rehearse(asks, config, Played(asks, config, actor), None)
    said = [turn.text for turn in record.transcript if turn.speaker == "Caller"]
    assert said == ["When are you open on Friday?", "Thanks, bye."]
    assert all(fact.right for fact in judged(asks, record, config))
    assert asks.goal in actor.asked[0]
    assert "Business: On Friday we are open" in actor.asked[1]


async def test_a_model_knows_what_it_will_be_asked() -> None:
    actor = Actor("I'd like a cleaning.")
    asks = SCENARIOS["cleaning"]
    await Played(asks, practice("dentist"), actor).answer("Hello.")
    assert "three one two, five five five, zero one four two" in actor.asked[0]
    assert " I have Delta Dental." in actor.asked[0]
    assert "When? Next Tuesday at ten in the morning." in actor.asked[0]
    assert "[" not in actor.asked[0]


async def test_a_model_hangs_up_after_goodbye_and_when_it_is_asked_the_same_for_ever() -> None:
    asks, config = SCENARIOS["opening-hours"], practice("plumber")
    for said in (["A table.", "Goodbye."], ["Hm."] * asks.patience):
        caller = Played(asks, config, Actor(*said, "One more."))
        assert [await caller.answer("What?") for _ in range(len(said) + 1)] == [*said, None]


async def test_a_model_is_told_how_to_leave_only_when_it_may_have_what_it_wants() -> None:
    asks, actor = SCENARIOS["opening-hours"], Actor("Friday?", "Bye.")
    caller = Played(asks, practice("plumber"), actor)
    await caller.answer("Hello.")
    await caller.answer("We are open. Is there anything else I can do?")
    assert ["Goodbye." in asked for asked in actor.asked] == [False, True]


async def test_who_only_gives_back_what_was_said_speaks_from_the_scenario() -> None:
    asks, greeting = SCENARIOS["opening-hours"], "Hi, this is the assistant at Pipeworks."
    caller = Played(asks, practice("plumber"), Actor(greeting))
    assert await caller.answer(greeting) == "When are you open on Friday?"


def test_no_model_plays_silence_or_keys(tmp_path: Path) -> None:
    result = simulate(tmp_path, "--played-by=http://127.0.0.1:9/v1", "--scenario=keypad")
    assert "no such caller fits" in result.output


class Knowing:
    """A language model that knows what is asked, and the answer."""

    async def complete(
        self, system: str, user: str, *, schema: Mapping[str, Any] | None = None, max_tokens: int
    ) -> AsyncIterator[str]:
        yield '{"meaning": "question"}' if schema else "Yes, dogs are welcome on the terrace."


def test_models_are_compared_over_the_same_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(language_models, "model_at", lambda _: nullcontext(Knowing()))
    models = ("--model=none", "--model=http://knowing/v1")
    words = ("--scenario=poodle-open-question", "--at-least=0", *models)
    result = simulate(tmp_path, *words, "--output=json")
    knowing, none = Report.model_validate_json(result.stdout).by_model
    assert (none.name, none.calls, none.passed, none.asked) == ("none", 1, 0, 0)
    assert (knowing.calls, knowing.passed, knowing.asked) == (1, 1, 1)
    page = (tmp_path / "report" / "report.html").read_text()
    assert "</b> at practice-restaurant (http://knowing/v1)" in page
    shown = simulate(tmp_path, *words).stdout
    assert re.search(r"http://knowing/v1 +1 +1 +3/3 +0/0 +1", shown)
    assert "poodle-open-question at practice-restaurant, none: says: wanted terrace" in shown


async def test_a_model_that_fails_is_a_failed_call() -> None:
    client = runs.Client("c", practice("plumber"))
    asks = SCENARIOS["gas-smell"]
    called = [
        call
        async for call in runs.texts(
            client, [asks], "none", None, lambda s, c: Played(s, c, Actor()), "model"
        )
    ]
    [fact] = called[0].facts
    assert (fact.what, fact.right, fact.found) == ("call", False, "down")
    report = Report(
        mode="Text", started=datetime.now(UTC), seconds=0, cores=1, load=(0, 0), calls=called
    )
    assert not report.met(0)
    assert "down" in render(report)


# --- facts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "what"),
    [
        ("outcome", "HungUp", "outcome"),
        ("slots", {}, "slot pain"),
        ("appointments", [], "booked"),
        ("appointments", {"starts": "2026-12-01T11:00:00-06:00"}, "booked time"),
        ("appointments", {"starts": "2026-12-02T10:00:00-06:00"}, "booked time"),
        ("appointments", {"name": "Susan Smith"}, "booked name"),
        ("appointments", {"title": "urgent visit"}, "booked kind"),
    ],
)
async def test_a_booking_that_is_wrong_is_seen(field: str, value: Any, what: str) -> None:
    asks, record, config = await played("cleaning", "dentist")
    assert all(fact.right for fact in judged(asks, record, config))
    data = record.to_json()
    if field == "appointments" and value:
        value = [data["appointments"][0] | value]  # type: ignore[index]
    wrong = CallRecord.model_validate(data | {field: value})
    assert what in [fact.what for fact in judged(asks, wrong, config) if not fact.right]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"urgent": False}, "message urgent"),
        ({"text": "call back"}, "message holds"),
        ({"name": "Tom Cook"}, "message name"),
        ({"phone": None}, "message phone"),
        (None, "message"),
    ],
)
async def test_a_message_that_is_wrong_is_seen(change: Any, what: str) -> None:
    asks, record, config = await played("food-poisoning-angry", "restaurant")
    assert all(fact.right for fact in judged(asks, record, config))
    data = record.to_json()
    data["messages"] = [data["messages"][0] | change] if change else []  # type: ignore[index]
    wrong = CallRecord.model_validate(data)
    assert what in [fact.what for fact in judged(asks, wrong, config) if not fact.right]


async def test_a_transfer_or_words_that_are_missing_are_seen() -> None:
    asks, record, config = await played("burst-pipe", "plumber")
    assert all(fact.right for fact in judged(asks, record, config))
    wrong = record.model_copy(update={"transferred_to": None, "transcript": record.transcript[:1]})
    failed = [fact.what for fact in judged(asks, wrong, config) if not fact.right]
    assert failed == ["transfer", "says"]


@pytest.mark.parametrize(
    ("said", "origin"),
    [
        ("A cleaning is 85 dollars.", "Program"),
        ("We are at 14 Harbor Street.", "Facts"),
        ("I could offer Tuesday, December 1 at 7 PM.", "Program"),
        ("That is a cleaning on Sunday, December 6 at 10 AM.", "Program"),
        ("That is a cleaning on Monday, December 1 at 10 AM.", "Program"),
        ("The number is 4 1 5.", "Program"),
        ("A crown is ninety dollars.", "Model"),
        ("Please ask for Doctor Brown.", "Model"),
    ],
)
def test_what_is_invented_is_seen(said: str, origin: str) -> None:
    assert list(inventions(call_in_which(said, origin), practice("dentist"), scenario()))


@pytest.mark.parametrize(
    ("said", "origin"),
    [
        ("A cleaning is 95 dollars.", "Facts"),
        ("I could offer Tuesday, December 1 at 9 AM, 11:30 AM or Wednesday, December 2 at 5 PM.",
         "Program"),
        ("The number is 3 1 2, 5 5 5, 0 1 4 2.", "Program"),
        ("We are open Monday to Friday from 8 AM to 6 PM.", "Facts"),
        ("A cleaning is ninety five dollars, and parking is behind the building.", "Model"),
    ],
)  # fmt: skip
def test_what_is_known_is_not_invented(said: str, origin: str) -> None:
    known = inventions(call_in_which(said, origin), practice("dentist"), scenario())
    assert list(known) == []


def call_in_which(said: str, origin: str) -> CallRecord:
    turns = [
        {"speaker": "Caller", "text": "Three one two, five five five, zero one four two.", "at": 0},
        {"speaker": "Agent", "text": said, "at": 0, "origin": origin},
    ]
    return CallRecord.model_validate(
        {
            "callID": "0" * 36, "clientID": "c", "started": "2026-11-23T09:00:00-06:00",
            "durationSeconds": 0, "ended": "", "outcome": "HungUp", "success": True,
            "transcript": turns, "slots": {"phone": "+13125550142"},
        }
    )  # fmt: skip


# --- by telephone ---------------------------------------------------------------------------------


class Tone:
    """A voice without pauses: a tone of 50 ms a character at the providers' 16 kHz."""

    name = "tone"

    async def speak(self, text: str) -> AsyncIterator[bytes]:
        samples = np.sin(np.arange(len(text) * 800) * 0.4) * 0.3
        yield (samples * 32767).astype("<i2").tobytes()


async def test_pauses_are_as_long_as_written_and_speed_shortens_the_words_alone() -> None:
    def seconds(speech: Samples) -> float:
        return len(speech) / RATE

    plain = seconds(await spoken_words("twenty characters...", Tone(), 1.0))
    paused = seconds(await spoken_words("twenty char[700] acters...", Tone(), 1.0))
    fast = seconds(await spoken_words("twenty char[700] acters...", Tone(), 1.25))
    assert plain == pytest.approx(1.0, abs=0.03)
    assert paused == pytest.approx(1.7, abs=0.05)
    assert fast == pytest.approx(0.8 + 0.7, abs=0.05)


@pytest.mark.parametrize("kind", ["line", "street", "babble"])
def test_noise_is_as_far_below_the_speech_as_written(kind: str) -> None:
    noise = Noise.model_validate({"kind": kind, "below": 15})
    level = 20 * np.log10(np.sqrt(np.mean(bed(noise) ** 2)) / LOUDNESS)
    assert level == pytest.approx(-15, abs=0.1)
    assert not bed(None).any()


def test_a_caller_knows_its_own_call_by_the_number_shown() -> None:
    def event(call: int, caller: str) -> CallEvent:
        data = {"callID": f"{call:036}", "sequence": 1, "started": "2026-11-23T09:00:00Z"}
        turn = {"speaker": "Agent", "text": f"Hello {caller}", "at": 1.0}
        return CallEvent.model_validate({**data, "caller": caller, "turn": turn})

    live = Live()
    agent = Answering(SipLine(np.zeros(1)), live, "+15005551002")
    assert agent.call is None
    for call, caller in enumerate(("+15005551001", "+15005551002")):
        live.tell(event(call, caller))
    assert agent.call == f"{1:036}"
    assert [said.text for said in agent.said()] == ["Hello +15005551002"]
