"""What one failure alone does not show: several providers in a row, and a message read back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.line import Line, Provider, call
from voicefleet_agent import phrases

pytestmark = pytest.mark.unit

_, _, _, AGAIN, *_ = phrases.essential("en-US")


def test_as_many_fillers_as_the_wait_is_long(tmp_path: Path) -> None:
    async def script(line: Line) -> None:
        await line.listens()
        await line.says("When are you open?")
        await line.listens()

    def slow(line: Line) -> None:
        deaf = [Provider(line, f"ear {n}", "hangs") for n in range(3)]
        line.stt = [*deaf, Provider(line, "another ear")]

    assert call(tmp_path, script, prepare=slow).silence() <= 1.5


def models(*does: str) -> Callable[[Line], None]:
    """What each of them does, in the order in which they are asked."""

    def prepare(line: Line) -> None:
        line.llm = [Provider(line, f"model {n}", each) for n, each in enumerate(does)]

    return prepare


async def open_question(line: Line) -> None:
    await line.listens()
    await line.says("do you think it takes long to heal afterwards")
    await line.listens()


def test_another_model_answers_where_the_first_hangs(tmp_path: Path) -> None:
    line = call(tmp_path, open_question, prepare=models("hangs", "works"))
    assert "It is on the third floor." in line.texts()
    assert line.silence() <= 1.5


def test_all_models_together_have_four_seconds(tmp_path: Path) -> None:
    line = call(tmp_path, open_question, prepare=models("hangs", "hangs", "hangs"))
    asked = line.said[-1][1]
    assert line.texts()[-1] == AGAIN
    assert line.heard()[-1][0] - asked <= 5.5


def test_a_message_that_was_not_read_back_is_not_taken(tmp_path: Path) -> None:
    async def script(line: Line) -> None:
        await line.listens()
        for words in ("I want to leave a message, please tell the dentist that I am late",
                      "Anna Miller"):  # fmt: skip
            await line.says(words)
            await line.listens()
        line.tts[0].does = ["refuses", "works"]
        for words in ("415 555 0142", "yes"):
            await line.says(words)
            await line.listens()
        assert line.dialogue.outcome.messages == []

    assert AGAIN in call(tmp_path, script).texts()
