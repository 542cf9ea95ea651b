"""Which configuration `voicefleet tune` chooses, and what it refuses."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from voicefleet_api.endpointing import Endpointing
from voicefleet_cli.console import Exit
from voicefleet_cli.main import app
from voicefleet_cli.rehearsal import Heard, Switch, load_turns
from voicefleet_cli.tune import SHIPPED
from voicefleet_cli.tuning import Option, Target, Tuning, best, thread_counts
from voicefleet_models.settings import THREADS, Models, read

pytestmark = pytest.mark.unit
TARGET = Target(800, 95)


def option(name: str, *seconds: float, right: float = 0.9, cut_offs: float = 0.0) -> Option:
    return Option("answer", name, Models(), seconds, right=right, cut_offs=cut_offs)


def test_of_what_meets_the_target_the_one_that_understands_most() -> None:
    quick = option("quick", 0.3, 0.4, right=0.8)
    slow = option("slow", 0.3, 0.79, right=0.9)
    assert best([quick, slow], TARGET) is slow
    missing = option("missing", 0.3, 0.81, right=1.0)
    assert best([quick, missing, slow], TARGET) is slow


def test_then_the_one_that_interrupts_fewest_and_then_the_quickest() -> None:
    one = option("one", 0.3, cut_offs=0.04)
    two = option("two", 0.5, cut_offs=0.02)
    three = option("three", 0.4, cut_offs=0.02)
    assert best([one, two, three], TARGET) is three


def test_where_the_target_is_missed_the_quickest_that_understands_well_enough() -> None:
    deaf = option("deaf", 0.9, right=0.5)
    well = option("well", 1.2, right=0.87)
    best_heard = option("best", 1.5, right=0.9)
    assert best([best_heard, deaf, well], TARGET) is well


def test_what_interrupts_callers_is_not_chosen_however_quick() -> None:
    rude = option("rude", 0.2, cut_offs=0.06)
    polite = option("polite", 1.2, cut_offs=0.05)
    assert best([rude, polite], TARGET) is polite
    ruder = option("ruder", 0.1, cut_offs=0.2)
    assert best([ruder, rude], TARGET) is rude


def test_the_present_configuration_stays_where_another_is_no_better() -> None:
    options = [option("present", 0.5), option("other", 0.5)]
    assert best(options, TARGET) is options[0]


def test_a_model_that_is_always_wrong_does_not_replace_one_that_is_too_slow() -> None:
    options = [option("present", math.inf, right=0.0), option("other", 0.5, right=0.0)]
    assert best(options, TARGET) is options[0]


def test_a_turn_without_an_answer_counts_as_waited_for_for_ever() -> None:
    twenty = option("silent", *[0.4] * 18, math.inf, math.inf)
    assert twenty.at(50) == 400
    assert twenty.at(95) == math.inf
    assert best([twenty, option("answers", *[1.0] * 20)], TARGET).name == "answers"
    assert option("none").at(95) is None


def test_calls_keep_a_core() -> None:
    assert thread_counts(THREADS)[0] == THREADS
    assert max(thread_counts(1)) == THREADS
    assert thread_counts(THREADS + 1)[0] == THREADS + 1, "what the user has set is tried, too"


def test_the_shipped_callers_say_what_is_asked_of_them(tmp_path: Path) -> None:
    turns = load_turns(SHIPPED, tmp_path, Switch())
    assert len(turns) == 31
    for turn in turns:
        assert turn.answer is None or turn.answer.state.misses == 0, turn.say
        assert turn.answer is not None or turn.facts, turn.say
        speech = [now for now, _, probability in turn.windows if probability > 0.5]
        assert any(abs(now - turn.ends) < 0.3 for now in speech), turn.say


def tune(home: Path, *words: str | Path) -> Result:
    return CliRunner().invoke(
        app, ["tune", "--home", str(home), *map(str, words)], env={"COLUMNS": "200"}
    )


TUNED = Endpointing(complete_ms=350, brief_ms=450, unsure_ms=600)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Nothing is run: these are the figures. Returns the option with recordings: one turn."""
    folder = tmp_path_factory.mktemp("recordings")
    turn = {"sound": str(SHIPPED / "salon-1.flac"), "say": "Hello."}
    call = {"profession": "salon", "business": "B", "turns": [turn]}
    (folder / "calls.yaml").write_text(yaml.safe_dump([call]))

    async def run(self: Tuning, models: Models, others: object) -> Models:
        tuned = models.model_copy(update={"endpointing": TUNED})
        late = Option("answer", "late", models, [0.9, 0.9, math.inf], right=0.5, cut_offs=0.1)
        slow = Option("model", "slow", models, [2.0], right=1.0, rate=9.6)
        self.options = [slow, late, Option("answer", "other", models, [0.7], cut_offs=0.0)]
        self.options.append(Option("answer", "good", tuned, [0.5, 0.701], right=1.0, cut_offs=0.0))
        self.chosen = [slow, self.options[-1]]
        self.program = [Heard(0.5, 0.3, 0.1, understood=True, cut_off=False)] * 2
        self.model = [Heard(2.6, 0.3, 0.1, understood=True, cut_off=False)]
        return tuned

    monkeypatch.setattr(Tuning, "run", run)
    return f"--recordings={folder}"


def test_what_was_found_is_shown_and_written_beside_what_was_there(
    measured: str, tmp_path: Path
) -> None:
    file = tmp_path / "models.yaml"
    file.write_text("# mine\nthreads: {tts: 1}\n")
    dry = tune(tmp_path, measured, "--dry-run")
    assert file.read_text().startswith("# mine")
    assert "would be written to" in dry.stdout
    done = tune(tmp_path, measured)
    assert done.exit_code == dry.exit_code == Exit.OK
    rows = {line.split()[1]: line.split() for line in done.stdout.splitlines() if "answer " in line}
    assert rows["late"][2:] == ["900", "no", "answer", "50%", "10%", "-"]
    assert rows["good"][2:] == ["701", "701", "100%", "0%", "-", "chosen"]
    assert "other" not in rows, "of the many, the present and the chosen one"
    assert "(2 turns): 701 ms at percentile 95" in done.stdout
    assert "the target of 800 ms is met" in done.stdout
    assert "(1 open questions, no part of the target): 2600 ms" in done.stdout
    assert "voicefleet up" in done.stdout
    assert read(file).endpointing == TUNED
    assert read(file).threads.model_fields_set == {"tts"}
    assert (tmp_path / "models.yaml~").read_text().startswith("# mine")
    again = tune(tmp_path, measured)
    assert "nothing was written" in again.stdout


def test_a_missed_target_is_written_all_the_same_and_said(measured: str, tmp_path: Path) -> None:
    result = tune(tmp_path, measured, "--target-ms", "700", "--output", "json")
    assert result.exit_code == Exit.MISSED
    report = json.loads(result.stdout)
    assert report["target"] == {"ms": 700, "percentile": 95, "met": False}
    assert report["options"][1]["p95Ms"] is None
    assert [option["chosen"] for option in report["options"]] == [True, False, False, True]
    assert report["models"] == {"endpointing": TUNED.to_json()} == read_yaml(tmp_path)
    assert report["written"] is True


def read_yaml(home: Path) -> object:
    return yaml.safe_load((home / "models.yaml").read_text())


@pytest.mark.parametrize(
    ("calls", "words"),
    [
        (None, "calls.yaml"),
        ("[]", "there is no turn in it"),
        ("- {profession: dentist, business: B, turns: [{sound: none.wav}]}", "say"),
        ("- {profession: pirate, business: B, turns: [{sound: a.wav, say: Hi}]}", "pirate"),
        ("- {profession: dentist, business: B, turns: [{sound: none.wav, say: Hi}]}", "none.wav"),
        ("- {profession: dentist, business: B, turns: [{sound: a.wav, say: Hi}]}", "a.wav"),
    ],
)
def test_a_mistake_in_the_recordings_is_named(
    calls: str | None, words: str, tmp_path: Path
) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    (folder / "a.wav").write_text("no sound")
    if calls is not None:
        (folder / "calls.yaml").write_text(calls)
    result = tune(tmp_path / "home", "--recordings", folder)
    assert result.exit_code == Exit.FAILED
    assert words in result.stderr
    assert not (tmp_path / "home" / "models.yaml").exists()


def test_a_mistake_in_models_yaml_or_a_candidate_is_named(tmp_path: Path) -> None:
    candidate = tmp_path / "candidate.yaml"
    candidate.write_text("languageModel: {path: a, url: b}")
    result = tune(tmp_path, "--candidate", candidate)
    assert (result.exit_code, "candidate.yaml" in result.stderr) == (Exit.FAILED, True)
    (tmp_path / "models.yaml").write_text("threads: {stt: 0}")
    result = tune(tmp_path)
    assert (result.exit_code, "models.yaml" in result.stderr) == (Exit.FAILED, True)
