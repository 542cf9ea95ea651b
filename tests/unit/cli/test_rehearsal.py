"""A recorded turn under one timing or another: how long the answer takes, who is cut off."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import pytest

from support.dialogues import talk
from voicefleet_agent.providers.base import Asked, ProviderFailed, Transcript
from voicefleet_agent.turns import Timing
from voicefleet_cli.rehearsal import LINE, ORIGIN, Heard, Hearing, Spoken, Thought

pytestmark = pytest.mark.unit
WINDOW = 0.032
SAY = "I would like to book a cleaning"


class Says:
    """A `Transcriber` that says these words after so many seconds."""

    name = "Says"

    def __init__(self, text: str | None, seconds: float = 0.0) -> None:
        self.text, self.seconds, self.asked = text, seconds, 0

    async def transcribe(self, pcm: bytes, asked: Asked | None = None) -> Transcript:
        self.asked += 1
        await asyncio.sleep(self.seconds)
        if self.text is None:
            raise ProviderFailed("no")
        return Transcript(self.text)


def spoken(*pauses: float, say: str = SAY) -> Spoken:
    """Half a second of speech before and behind each of the pauses, then three of silence."""
    dialogue, _ = talk()
    windows: list[tuple[float, float, float]] = []
    now = ends = ORIGIN
    for seconds, probability in (
        (0.5, 0.02),
        (0.5, 0.95),
        *(part for pause in pauses for part in ((pause, 0.02), (0.5, 0.95))),
        (3.0, 0.02),
    ):
        end = now + seconds
        while now < end:
            now += WINDOW
            windows.append((now, WINDOW, probability))
        ends = now if probability > 0.5 else ends
    return Spoken(say, (), b"", ends, dialogue, dialogue.consider(say), windows)


def hear(turn: Spoken, transcriber: Says, timing: Timing | None = None, **known: object) -> Heard:
    voiced = known.get("voiced", {})
    thoughts = known.get("thoughts", {})
    hearing = Hearing(transcriber, voiced, thoughts)  # type: ignore[arg-type]
    return asyncio.run(hearing.hear(turn, timing or Timing()))


@pytest.mark.parametrize("silence", [0.25, 0.5])
def test_the_silence_that_ends_a_turn_is_what_the_caller_waits_for(silence: float) -> None:
    heard = hear(spoken(), Says(SAY), replace(Timing(), brief=silence))
    assert heard.end_of_turn == pytest.approx(silence, abs=WINDOW + 0.001)
    assert heard.wait == pytest.approx(heard.end_of_turn + LINE)
    assert (heard.understood, heard.cut_off) == (True, False)


def test_a_slow_transcriber_and_a_slow_voice_are_waited_for() -> None:
    slow = hear(spoken(), Says(SAY, 0.4))
    assert 0.46 <= slow.end_of_turn < 1.0
    assert slow.stt >= 0.4
    turn = spoken()
    voiced = hear(turn, Says(SAY), voiced={turn: 0.9})
    # The voice begins as soon as the words are understood, not when the turn has ended.
    assert voiced.wait == pytest.approx(0.06 + 0.9 + LINE, abs=0.3)


@pytest.mark.parametrize(("silence", "cut_off"), [(0.25, True), (0.6, False)])
def test_a_pause_longer_than_the_silence_cuts_the_caller_off(silence: float, cut_off: bool) -> None:
    heard = hear(spoken(0.45), Says(SAY), replace(Timing(), brief=silence))
    assert (heard.cut_off, heard.understood) == (cut_off, not cut_off)
    assert (heard.wait < 0) == cut_off


def test_a_caller_who_goes_on_before_the_answer_sounds_is_not_cut_off() -> None:
    turn = spoken(0.45)
    heard = hear(turn, Says(SAY), voiced={turn: 0.5})
    assert not heard.cut_off
    assert heard.wait > 0


def test_other_words_are_not_understood_and_none_are_no_answer() -> None:
    assert not hear(spoken(), Says("I have a broken tooth")).understood
    for transcriber in (Says(None), Says("")):
        heard = hear(spoken(), transcriber)
        assert (heard.wait, heard.understood) == (math.inf, False)


def test_sound_is_transcribed_once_whatever_the_timing() -> None:
    turn, transcriber = spoken(0.15), Says(SAY)
    hearing = Hearing(transcriber, {}, {})
    first = asyncio.run(hearing.hear(turn, Timing()))
    asked = transcriber.asked
    second = asyncio.run(hearing.hear(turn, replace(Timing(), brief=0.7)))
    assert transcriber.asked == asked
    assert second.end_of_turn > first.end_of_turn + 0.2


def test_an_open_question_waits_for_the_model_and_is_right_by_its_facts() -> None:
    turn = spoken(say="What about it?")
    turn.answer = None
    turn.dialogue._model = object()  # type: ignore[assignment] - it is asked elsewhere
    assert turn.dialogue.consider("What about it?") is None
    thoughts = {turn: Thought(2.0, 10.0, right=True)}
    heard = hear(turn, Says("What about it?"), thoughts=thoughts)
    assert heard.wait == pytest.approx(heard.end_of_turn + 2.0 + LINE)
    assert heard.understood
    thoughts[turn] = Thought(math.inf, 0.0, right=False)
    heard = hear(turn, Says("What about it?"), thoughts=thoughts)
    assert (heard.wait, heard.understood) == (math.inf, False)
