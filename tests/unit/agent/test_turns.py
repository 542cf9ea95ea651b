"""Who speaks when: each rule with its number, on a clock that is a variable."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from voicefleet_agent.turns import (
    Action,
    Agent,
    Answer,
    AskAgain,
    Drop,
    Judgement,
    Pause,
    Prompt,
    Resume,
    Stop,
    Timing,
    Transcribe,
    Turns,
    is_backchannel,
)
from voicefleet_api.endpointing import Endpointing

pytestmark = pytest.mark.unit

WINDOW = 0.032


class Line:
    """Drives the machine as a call does; transcripts come after `stt` seconds."""

    def __init__(self, *, stt: float = 0.1, timing: Timing | None = None) -> None:
        self.turns = Turns(timing)
        self.now = 100.0
        self.stt = stt
        self.log: list[tuple[float, Action]] = []
        self.heard: tuple[str, Judgement, float | None] = ("hello", "Unsure", None)
        self._due: list[tuple[float, int, tuple[str, Judgement, float | None]]] = []
        self.turns.finished(self.now)

    def _note(self, actions: Iterable[Action]) -> None:
        for action in actions:
            self.log.append((round(self.now, 3), action))
            if isinstance(action, Transcribe):
                self._due.append((self.now + self.stt, action.attempt, self.heard))

    def run(self, seconds: float, probability: float) -> None:
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.now += WINDOW
            for item in [item for item in self._due if item[0] <= self.now]:
                self._due.remove(item)
                self._note(self.turns.transcribed(self.now, item[1], *item[2]))
            self._note(self.turns.window(self.now, WINDOW, probability))

    def speech(
        self,
        seconds: float,
        text: str = "hello",
        judged: Judgement = "Unsure",
        ended: float | None = None,
    ) -> float:
        """Returns when it ended."""
        self.heard = (text, judged, ended)
        self.run(seconds, 0.95)
        return self.now

    def silence(self, seconds: float) -> None:
        self.run(seconds, 0.02)

    def agent_speaks(self) -> None:
        """An answer begins to sound and goes on."""
        self.turns.sounding(self.now)

    def of(self, kind: type[Any]) -> list[tuple[float, Any]]:
        return [(at, action) for at, action in self.log if isinstance(action, kind)]

    def kinds(self) -> list[str]:
        return [type(action).__name__ for _, action in self.log]


def first(line: Line, kind: type[Any]) -> float:
    found = line.of(kind)
    assert found, f"no {kind.__name__} in {line.kinds()}"
    return float(found[0][0])


def test_a_pause_of_60_ms_is_transcribed_from_the_turns_beginning() -> None:
    line = Line()
    line.silence(0.5)
    begun = line.now
    ended = line.speech(1.0)
    line.silence(0.3)
    assert 0.06 <= first(line, Transcribe) - ended <= 0.06 + WINDOW
    assert line.of(Transcribe)[0][1].since == pytest.approx(begun)


@pytest.mark.parametrize(
    ("text", "judged", "end_of_turn", "wait"),
    [
        ("three thirty", "Complete", None, 0.2),
        ("three thirty", "Complete", 0.0, 0.2),
        ("Three.", "Enough", 1.0, 0.4),
        ("three thirty", "Incomplete", 1.0, 1.2),
        ("three thirty", "Unsure", None, 0.55),
        ("three thirty", "Unsure", 0.9, 0.4),
        ("three thirty", "Unsure", 0.0, 0.67),
    ],
)
def test_the_silence_that_ends_a_turn_depends_on_what_was_asked(
    text: str, judged: Judgement, end_of_turn: float | None, wait: float
) -> None:
    line = Line(stt=0.05)
    ended = line.speech(1.0, text, judged, end_of_turn)
    line.silence(1.5)
    assert wait - 0.001 <= first(line, Answer) - ended <= wait + WINDOW + 0.001
    assert line.of(Answer)[0][1].text == text
    assert len(line.of(Answer)) == 1


@pytest.mark.parametrize(
    ("text", "judged", "wait"),
    [("three thirty", "Complete", 0.5), ("Three.", "Enough", 0.7), ("um", "Unsure", 0.9)],
)
def test_a_machine_that_was_tuned_waits_as_long_as_it_was_told(
    text: str, judged: Judgement, wait: float
) -> None:
    tuned = Timing().tuned(Endpointing(complete_ms=500, brief_ms=700, unsure_ms=900))
    line = Line(stt=0.05, timing=tuned)
    ended = line.speech(1.0, text, judged)
    line.silence(1.5)
    assert wait - 0.001 <= first(line, Answer) - ended <= wait + WINDOW + 0.001


def test_a_slow_transcript_is_waited_for() -> None:
    line = Line(stt=2.0)
    ended = line.speech(1.0, "yes", "Complete")
    line.silence(3)
    assert first(line, Answer) - ended == pytest.approx(2.06, abs=0.08)


def test_speech_that_goes_on_before_the_answer_makes_the_attempt_void() -> None:
    line = Line(stt=0.05)
    begun = line.now
    line.speech(0.6, "at three", "Unsure")
    line.silence(0.4)
    line.speech(0.6, "at three thirty", "Complete")
    line.silence(1)
    assert line.kinds() == ["Transcribe", "Drop", "Transcribe", "Answer"]
    assert all(action.since == pytest.approx(begun) for _, action in line.of(Transcribe))
    assert line.of(Answer)[0][1].text == "at three thirty"


def test_no_answer_begins_in_the_first_window_of_new_speech() -> None:
    line = Line(stt=0.05)
    line.speech(0.6, "at three", "Complete")
    line.silence(6 * WINDOW)
    line.speech(0.6, "at three thirty", "Complete")
    line.silence(0.5)
    assert line.kinds() == ["Transcribe", "Drop", "Transcribe", "Answer"]


@pytest.mark.parametrize("sounding", [False, True])
def test_speech_that_goes_on_after_the_answer_began_is_merged(sounding: bool) -> None:
    line = Line(stt=0.05)
    begun = line.now
    line.speech(0.6, "at three", "Complete")
    line.silence(0.4)
    if sounding:
        line.agent_speaks()
        line.silence(0.2)
    resumed = line.now
    line.speech(0.6, "at three thirty", "Complete")
    line.silence(0.5)
    assert line.of(Stop)[0][1] == Stop(merged=True)
    assert first(line, Stop) - resumed <= 0.12
    assert line.of(Transcribe)[1][1].since == pytest.approx(begun)
    assert [action.text for _, action in line.of(Answer)] == ["at three", "at three thirty"]
    assert not line.of(Pause)


def speaking() -> Line:
    """The agent has been speaking for two seconds."""
    line = Line(stt=0.12)
    line.speech(0.5, "hello", "Complete")
    line.silence(0.5)
    line.agent_speaks()
    line.silence(2)
    line.log.clear()
    return line


def test_a_barge_in_pauses_within_200_ms_and_its_words_stop_the_agent() -> None:
    line = speaking()
    begun = line.now
    ended = line.speech(0.9, "no wait", "Unsure")
    line.silence(1.0)
    assert first(line, Pause) - begun <= 0.2
    assert line.of(Stop)[0][1] == Stop(merged=False)
    assert first(line, Answer) - ended == pytest.approx(0.6, abs=0.04)
    assert not line.of(Resume)


@pytest.mark.parametrize("text", ["", "mhm", "Uh-huh.", "yeah", "Okay."])
def test_a_cough_or_an_assent_is_taken_back_by_500_ms(text: str) -> None:
    line = speaking()
    begun = line.now
    line.speech(0.25, text, "Unsure")
    line.silence(2)
    assert line.kinds() == ["Pause", "Transcribe", "Resume"]
    assert first(line, Resume) - begun <= 0.5 + WINDOW
    assert line.turns.agent is Agent.SPEAKING


def test_a_cough_is_taken_back_by_500_ms_even_if_nobody_transcribes_it() -> None:
    line = speaking()
    line.stt = 5
    begun = line.now
    line.speech(0.2, "", "Unsure")
    line.silence(2)
    assert first(line, Resume) - begun <= 0.5 + WINDOW


def test_a_yes_that_answers_the_question_is_no_backchannel() -> None:
    line = speaking()
    line.speech(0.3, "yes", "Complete")
    line.silence(1)
    assert "Stop" in line.kinds()
    assert line.of(Answer)[0][1].text == "yes"


def test_a_short_word_understood_late_still_interrupts() -> None:
    line = speaking()
    line.stt = 0.8
    line.speech(0.2, "no", "Unsure")
    line.silence(2.5)
    assert line.kinds() == ["Pause", "Transcribe", "Resume", "Stop", "Answer"]


def test_long_noise_over_the_agent_ends_with_the_rest_of_the_sentence() -> None:
    line = speaking()
    line.speech(3, "", "Unsure")
    line.silence(1)
    assert line.kinds() == ["Pause", "Transcribe", "Resume"]


def test_a_cough_at_the_first_word_of_the_greeting_does_not_lose_it() -> None:
    line = Line()
    line.turns = Turns()
    line.turns.agent = Agent.THINKING
    line.agent_speaks()
    line.speech(0.2, "")
    line.silence(1)
    assert line.kinds() == ["Pause", "Transcribe", "Resume"]


def test_an_echo_that_is_left_over_does_not_interrupt() -> None:
    line = speaking()
    line.run(2, 0.6)
    for _ in range(10):
        line.run(2 * WINDOW, 0.9)
        line.silence(0.2)
    assert line.log == []


def test_noise_is_no_turn_and_six_seconds_of_silence_are_asked_about() -> None:
    line = Line()
    begun = line.now
    line.silence(2)
    line.speech(0.3, "...")
    line.silence(4)
    assert line.kinds() == ["Transcribe", "Prompt"]
    assert first(line, Prompt) - begun == pytest.approx(6, abs=0.05)
    line.agent_speaks()
    line.silence(2)
    line.turns.finished(line.now)
    line.silence(6.1)
    assert len(line.of(Prompt)) == 2


def test_a_click_is_no_speech() -> None:
    line = Line()
    line.speech(WINDOW)
    line.silence(1)
    assert line.log == []


def test_a_turn_that_nobody_transcribes_is_asked_for_again() -> None:
    line = Line(stt=99)
    line.speech(0.5)
    line.silence(0.3)
    attempt = line.of(Transcribe)[0][1].attempt
    assert line.turns.failed(line.now, attempt) == [AskAgain()]
    assert line.turns.failed(line.now, attempt) == []
    assert line.turns.transcribed(line.now, attempt, "late", "Complete", None) == []


@pytest.mark.parametrize(("seconds", "asked"), [(0.3, []), (1.0, [Stop(merged=False), AskAgain()])])
def test_a_long_interruption_that_nobody_transcribes_is_asked_for_again(
    seconds: float, asked: list[Action]
) -> None:
    line = speaking()
    line.stt = 99
    line.speech(seconds)
    line.silence(0.2 if asked else 0.5)
    attempt = line.of(Transcribe)[0][1].attempt
    assert line.turns.failed(line.now, attempt) == asked
    assert bool(line.of(Resume)) != bool(asked)


def test_a_dropped_attempt_has_no_say() -> None:
    line = Line(stt=99)
    line.speech(0.5)
    line.silence(0.2)
    line.speech(0.5)
    assert line.of(Drop)
    assert line.turns.transcribed(line.now, 1, "stale", "Complete", None) == []
    line.silence(2)
    assert not line.of(Answer)


@pytest.mark.parametrize(
    ("text", "judged", "expected"),
    [
        ("Mm-hmm.", "Unsure", True),
        ("uh", "Complete", True),
        ("okay", "Unsure", True),
        ("okay", "Complete", False),
        ("no", "Unsure", False),
        ("yes on Tuesday", "Unsure", False),
    ],
)
def test_backchannels(text: str, judged: Judgement, expected: bool) -> None:
    assert is_backchannel(text, judged) is expected
