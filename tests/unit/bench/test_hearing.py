"""The measuring itself, on sound whose gaps are known."""

from __future__ import annotations

import numpy as np
import pytest

from voicefleet_cli.telephone.hearing import Sound, Utterance, clock_offset, judge, sounds
from voicefleet_cli.telephone.sound import (
    LOUDNESS,
    RATE,
    Samples,
    decode,
    encode,
    hum,
    mixed,
    telephone,
)

pytestmark = pytest.mark.unit


def line(*spoken: tuple[float, float], seconds: float = 8.0, noise: float = 0.0) -> Samples:
    """A recording with speech-like sound in these spans, a line's hiss below it, after G.711."""
    random = np.random.default_rng(7)
    made = np.zeros(round(seconds * RATE))
    for start, end in spoken:
        size = round((end - start) * RATE)
        voice = telephone(random.standard_normal(size), RATE)
        made[round(start * RATE) : round(start * RATE) + size] = voice * LOUDNESS / voice.std()
    return decode(encode(mixed(made, hum(len(made), 1), 40) if noise else made))


@pytest.mark.parametrize("gap", [0.0, 0.12, 0.437, 0.8, 2.503])
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_a_gap_is_read_within_ten_milliseconds(gap: float, noise: float) -> None:
    heard = judge(line((2.0 + gap, 3.5 + gap), noise=noise), start=0.5, end=2.0, until=7.0)
    assert heard.answer == pytest.approx(gap, abs=0.01)
    assert heard.first_sound == heard.answer
    assert not heard.cut_off


def test_no_answer_is_none_and_what_comes_later_belongs_to_the_next_turn() -> None:
    heard = judge(line((6.0, 7.0)), start=0.5, end=2.0, until=5.0)
    assert (heard.answer, heard.first_sound, heard.cut_off) == (None, None, False)


def test_a_click_is_no_sound_and_a_breath_within_a_sentence_parts_nothing() -> None:
    assert sounds(line((1.0, 1.015), (2.0, 2.6), (2.8, 3.5))) == [
        Sound(pytest.approx(2.0, abs=0.01), pytest.approx(3.5, abs=0.01))
    ]


def test_a_filler_is_not_counted() -> None:
    agent = line((2.6, 3.4), (4.2, 5.5))
    record = [Utterance(2.5, answer=False), Utterance(4.1, answer=True)]
    heard = judge(agent, start=0.5, end=2.0, until=7.0, record=record)
    assert heard.first_sound == pytest.approx(0.6, abs=0.01)
    assert heard.answer == pytest.approx(2.2, abs=0.01)


def test_a_sound_that_the_record_does_not_know_is_no_answer() -> None:
    agent = line((2.6, 3.4), (4.2, 5.5))
    record = [Utterance(4.1, answer=True)]
    assert judge(agent, 0.5, 2.0, 7.0, record).answer == pytest.approx(2.2, abs=0.01)


def test_an_answer_may_take_a_while_from_its_words_to_its_sound() -> None:
    agent = line((2.6, 3.4), (4.2, 5.5))
    record = [Utterance(2.5, answer=False), Utterance(3.1, answer=True)]
    assert judge(line((4.2, 5.5)), 0.5, 2.0, 7.0, record).answer == pytest.approx(2.2, abs=0.01)
    assert judge(agent, 0.5, 2.0, 7.0, record[:1]).answer is None


def test_a_filler_alone_is_no_answer() -> None:
    record = [Utterance(2.5, answer=False)]
    heard = judge(line((2.6, 3.4)), start=0.5, end=2.0, until=7.0, record=record)
    assert heard.first_sound == pytest.approx(0.6, abs=0.01)
    assert heard.answer is None


def test_an_answer_right_behind_its_filler_begins_where_the_record_says() -> None:
    agent = line((2.6, 5.5))
    record = [Utterance(2.55, answer=False), Utterance(3.4, answer=True)]
    heard = judge(agent, start=0.5, end=2.0, until=7.0, record=record)
    assert heard.answer == pytest.approx(1.4, abs=0.01)


def test_speaking_into_a_pause_of_the_caller_is_a_cut_off_and_no_answer() -> None:
    heard = judge(line((1.2, 1.8), (2.5, 3.0)), start=0.5, end=2.0, until=7.0)
    assert heard.cut_off
    assert heard.answer == pytest.approx(0.5, abs=0.01)


def test_a_cut_off_that_goes_on_past_the_end_leaves_the_turn_without_an_answer() -> None:
    heard = judge(line((1.8, 3.0)), start=0.5, end=2.0, until=7.0)
    assert (heard.cut_off, heard.answer) == (True, None)


def test_the_records_clock_is_set_by_the_greeting() -> None:
    record = [Utterance(0.2, answer=True), Utterance(5.0, answer=True)]
    assert clock_offset(record, [Sound(3.1, 4.0)]) == pytest.approx(2.9)
    assert clock_offset([], [Sound(3.1, 4.0)]) == 0.0
