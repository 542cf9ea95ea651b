"""No schedule of speech makes two answers to one turn, loses words or talks over the caller."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicefleet_agent.turns import (
    Agent,
    Answer,
    AskAgain,
    Drop,
    Pause,
    Prompt,
    Resume,
    Stop,
    Transcribe,
    Turns,
)

pytestmark = pytest.mark.property

WINDOW = 0.032


@dataclass
class World:
    """A caller, a transcriber and an agent who plays what it is told to."""

    stt: list[float]
    """Seconds that each attempt takes, in turn; a negative one fails after so long."""
    judged: list[str]
    noise: set[int]
    """Which bursts of the caller's are noise."""
    answer_after: float
    answer_lasts: float
    turns: Turns = field(default_factory=Turns)
    now: float = 0.0
    burst: int = -1
    """Of the caller's bursts of sound, the last that has begun."""
    begun: dict[int, float] = field(default_factory=dict)
    ended: dict[int, float] = field(default_factory=dict)
    due: list[tuple[float, int, set[int]]] = field(default_factory=list)
    attempts: int = 0
    covered: dict[int, set[int]] = field(default_factory=dict)
    """The bursts that an attempt's sound holds."""
    answered: list[set[int]] = field(default_factory=list)
    """The bursts in each answer that was not taken back."""
    lost: set[int] = field(default_factory=set)
    """Bursts that nobody could transcribe."""
    sound_at: float | None = None
    sound_left: float = 0.0
    playing: bool = False
    paused: bool = False
    over: float = 0.0
    """Seconds that agent and caller have been speaking at the same time, without a break."""
    worst: float = 0.0

    def act(self, actions: list[object]) -> None:
        for action in actions:
            if isinstance(action, Transcribe):
                held = {b for b, at in self.begun.items() if at >= action.since - 0.2}
                self.covered[action.attempt] = held
                takes = self.stt[self.attempts % len(self.stt)]
                self.attempts += 1
                self.due.append(
                    (self.now + abs(takes), action.attempt if takes > 0 else -action.attempt, held)
                )
            elif isinstance(action, Drop):
                pass
            elif isinstance(action, Answer):
                assert not self.playing, "two answers at once"
                assert self.sound_at is None, "two answers at once"
                self.answered.append(self.covered[action.attempt])
                self.sound_at = self.now + self.answer_after
                self.sound_left = self.answer_lasts
            elif isinstance(action, AskAgain | Prompt):
                self.answered.append(set())
                self.sound_at, self.sound_left = self.now + 0.01, 1.0
            elif isinstance(action, Pause):
                self.paused = True
            elif isinstance(action, Resume):
                assert self.paused
                self.paused = False
            elif isinstance(action, Stop):
                if action.merged:
                    self.answered.pop()
                self.paused = self.playing = False
                self.sound_at, self.sound_left = None, 0.0

    def step(self, speaking: bool) -> None:
        self.now += WINDOW
        for item in [item for item in self.due if item[0] <= self.now]:
            self.due.remove(item)
            _, attempt, held = item
            if attempt < 0:
                if -attempt == self.turns._attempt and self.turns._waiting:
                    self.lost |= held
                self.act(self.turns.failed(self.now, -attempt))
            else:
                text = " ".join(f"word{b}" for b in sorted(held - self.noise))
                judgement = self.judged[attempt % len(self.judged)]
                self.act(self.turns.transcribed(self.now, attempt, text, judgement, None))  # type: ignore[arg-type]
        if not self.paused and self.sound_at is not None and self.now >= self.sound_at:
            self.sound_at = None
            self.playing = True
            self.turns.sounding(self.now)
        audible = self.playing and not self.paused
        if audible:
            self.sound_left -= WINDOW
            if self.sound_left <= 0:
                self.playing = False
                self.turns.finished(self.now)
        self.over = self.over + WINDOW if audible and speaking else 0.0
        self.worst = max(self.worst, self.over)
        self.act(self.turns.window(self.now, WINDOW, 0.95 if speaking else 0.02))

    def run(self, seconds: float, speaking: bool) -> None:
        windows = max(4, round(seconds / WINDOW)) if speaking else round(seconds / WINDOW)
        if speaking:
            self.burst += 1
            self.begun[self.burst] = self.now
        for _ in range(windows):
            self.step(speaking)
        if speaking:
            self.ended[self.burst] = self.now


bursts = st.lists(
    st.tuples(st.floats(0.13, 2.0), st.floats(0.04, 3.0), st.booleans()), min_size=1, max_size=8
)


@settings(max_examples=400, deadline=None)
@given(
    schedule=bursts,
    stt=st.lists(st.floats(0.02, 1.5), min_size=1, max_size=4),
    judged=st.lists(st.sampled_from(["Complete", "Incomplete", "Unsure"]), min_size=1, max_size=4),
    answer_after=st.floats(0.01, 1.0),
    answer_lasts=st.floats(0.1, 4.0),
    fails=st.booleans(),
)
def test_any_schedule(
    schedule: list[tuple[float, float, bool]],
    stt: list[float],
    judged: list[str],
    answer_after: float,
    answer_lasts: float,
    fails: bool,
) -> None:
    noise = {index for index, (_, _, is_noise) in enumerate(schedule) if is_noise}
    takes = [-stt[0], *stt[1:]] if fails else stt
    world = World(takes, judged, noise, answer_after, answer_lasts)
    for speech, silence, _ in schedule:
        world.run(speech, True)
        world.run(silence, False)
    world.run(15, False)

    # Nobody is left waiting, and the agent is not left paused.
    assert not world.due
    assert not world.paused
    # Words are answered once, and all of them; noise alone is not answered.
    given_words = [held - noise for held in world.answered if held]
    assert all(given_words)
    said = set(range(len(schedule))) - noise
    counted = sorted(burst for words in given_words for burst in words)
    assert len(counted) == len(set(counted)), "answered twice"
    assert said - set(counted) <= world.lost, "words lost"
    # 96 ms until speech is believed, and the windows in which it begins and ends.
    assert world.worst <= 0.2
    assert world.turns.agent is not Agent.PAUSED
