"""The corpus is whole, is what its index says, and has the shape that the goals ask for."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest

from bench import corpus
from voicefleet_api import professions
from voicefleet_cli.telephone.sound import LOUDNESS, RATE, active_rms, levels

pytestmark = pytest.mark.unit

SITUATIONS = {"greeting", "time", "readBack", "confirm", "more"}
TURNS = [turn for call in corpus.calls() for turn in call.turns]


def test_there_are_enough_turns_and_most_are_not_open() -> None:
    labels = Counter(turn.label for turn in TURNS)
    assert labels.total() >= 200
    assert (labels["closed"] + labels["slot"]) / labels.total() >= 0.7
    assert len({turn.id for turn in TURNS}) == len(TURNS)


@pytest.mark.parametrize("call", corpus.calls(), ids=lambda call: call.id)
def test_a_caller_is_asked_what_the_profession_asks(call: corpus.Call) -> None:
    asks = {question.key: question for question in professions.load(call.client).questions}
    for turn in call.turns:
        assert turn.asked in SITUATIONS | set(asks), turn
        for key, value in turn.right.get("slot", {}).items():
            assert key in asks, turn
            choices = asks[key].choices
            assert not choices or value in choices, turn


def test_every_fact_that_must_be_spoken_is_known_to_the_client() -> None:
    for call in corpus.calls():
        known = " ".join(fact["text"] for fact in corpus.clients()[call.client]["facts"]).lower()
        for turn in call.turns:
            spoken = turn.right.get("spoken")
            assert not spoken or any(words.lower() in known for words in spoken), turn


@pytest.mark.parametrize("name", corpus.index()["files"])
def test_the_sound_is_what_the_index_says(name: str) -> None:
    assert hashlib.sha256(corpus.pcm(name)).hexdigest() == corpus.index()["files"][name]


@pytest.mark.parametrize("turn", TURNS, ids=lambda turn: turn.id)
def test_a_turn_begins_and_ends_with_sound_in_the_telephones_band(turn: corpus.Turn) -> None:
    speech = corpus.speech(turn)
    energy = levels(speech)
    assert min(energy[0], energy[-1]) > 0.005 * energy.max()
    assert active_rms(speech) == pytest.approx(LOUDNESS, rel=0.35)
    spectrum = np.abs(np.fft.rfft(speech)) ** 2
    frequencies = np.fft.rfftfreq(len(speech), 1 / RATE)
    band = (frequencies > 240) & (frequencies < 3600)
    assert spectrum[band].sum() > 0.999 * spectrum.sum()


def test_a_noise_is_as_far_below_the_speech_as_its_name_says() -> None:
    call = next(call for call in corpus.calls() if call.noise == "street-15")
    bed = corpus.noise(call)
    assert 20 * np.log10(LOUDNESS / np.sqrt(np.mean(bed**2))) == pytest.approx(15, abs=0.1)
    quiet = next(call for call in corpus.calls() if call.noise == "none")
    assert not corpus.noise(quiet).any()
