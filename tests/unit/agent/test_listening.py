"""The detector hears the caller and not the agent's echo; sound made by Piper."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from voicefleet_agent import ahead, speech
from voicefleet_agent.listening import WINDOW_BYTES, Ears
from voicefleet_agent.phrases import Phrases
from voicefleet_agent.speaking import Reference

pytestmark = pytest.mark.unit

AGENT = (
    "Thank you for calling Bright Smile Dental. We are open Monday to Friday from eight to five."
)
CALLER = "No, I would like to come on Thursday."
WINDOW = WINDOW_BYTES // 2
"""Samples."""
AHEAD = 3 * WINDOW
Sound = np.ndarray[Any, np.dtype[np.int16]]


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Sound]:
    made = Phrases(tmp_path_factory.mktemp("voice"))
    asyncio.run(ahead.speak_here(made, [AGENT, CALLER]))
    return lambda text: np.frombuffer(made.find(speech.NAME, text) or b"", dtype=np.int16)


def listen(agent: Sound, caller: Sound) -> list[float]:
    """Probability of speech of each window, both sounds being played from the same moment."""
    reference = Reference()
    heard: list[float] = []
    ears = Ears(reference, lambda _, __, probability: heard.append(probability), lambda *_: None)
    # The network always has more than what it plays just now.
    reference.push(agent[:AHEAD].tobytes())
    for at in range(0, len(agent) - WINDOW, WINDOW):
        reference.push(agent[at + AHEAD : at + AHEAD + WINDOW].tobytes())
        ears.hear(caller[at : at + WINDOW].tobytes(), at / 16_000)
    return heard


def runs(heard: list[float], length: int = 3, least: float = 0.65) -> list[float]:
    """Seconds at which so many windows in a row were speech."""
    found, run = [], 0
    for index, probability in enumerate(heard):
        run = run + 1 if probability >= least else 0
        if run == length:
            found.append((index + 1) * 0.032)
    return found


def line(agent: Sound, echo: float, delay: float) -> Sound:
    """What comes back of the agent's sound, with some noise."""
    back = np.random.default_rng(1).normal(0, 8, len(agent))
    shift = int(delay * 16_000)
    back[shift:] += echo * agent[: len(agent) - shift]
    return back.astype(np.int16)


@pytest.mark.parametrize("echo", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("delay", [0.1, 0.25, 0.4])
def test_an_echo_is_no_speech(voice: Callable[[str], Sound], echo: float, delay: float) -> None:
    agent = voice(AGENT)
    assert runs(listen(agent, line(agent, echo, delay))) == []


@pytest.mark.parametrize("delay", [0.1, 0.4])
def test_nor_is_it_one_after_a_silence_of_the_agent_s(
    voice: Callable[[str], Sound], delay: float
) -> None:
    twice = np.concatenate([voice(AGENT), np.zeros(3 * 16_000, np.int16), voice(AGENT)])
    assert runs(listen(twice, line(twice, 0.3, delay))) == []


def test_what_begins_between_two_windows_is_there_when_it_was_played(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter([100.0, 100.012, 100.032, 200.0, 300.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    reference = Reference()
    reference.pull(1024)
    reference.push(b"\1" * 2048)
    began = 2 * 16 * 12
    assert reference.pull(1024) == bytes(began) + b"\1" * (1024 - began)
    reference.clear()
    reference.push(b"\1" * 1024)
    assert reference.pull(1024) == b"\1" * 1024


@pytest.mark.parametrize("echo", [0.0, 0.1])
def test_a_caller_who_cuts_in_is_heard_at_once(voice: Callable[[str], Sound], echo: float) -> None:
    agent, words = voice(AGENT), voice(CALLER)
    sound = line(agent, echo, 0.25)
    at = 3 * 16_000
    room = min(len(words), len(sound) - at)
    sound[at : at + room] += words[:room]
    begins = 3 + float(np.argmax(np.abs(words) > 1000)) / 16_000
    first = runs(listen(agent, sound))[0]
    assert 0 < first - begins < 0.25
