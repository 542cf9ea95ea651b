"""Who speaks when: the caller's turns, interruptions and silences, as a pure state machine.

It has no audio, no clock and no task of its own. It is told what is heard and played, with the
time (monotonic seconds), and answers with what is to be done. So a second of talk is tested in a
microsecond, and the same schedule gives the same actions.

A turn is open from the caller's first sound to the `Answer`. Pauses inside it are transcribed as
they begin, on the chance that the turn has ended; speech that goes on makes that attempt void,
and the next one hears the turn from its beginning. Speech that begins before the answer is heard
(`Timing.merge`) belongs to the same turn: the answer is taken back, the turn is open again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal

from voicefleet_api.endpointing import Endpointing

Judgement = Literal["Complete", "Enough", "Unsure", "Incomplete"]


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds, probabilities (0 to 1) and counts of windows (32 ms each)."""

    onset: float = 0.5
    """Speech begins at this probability,"""
    onset_windows: int = 2
    """in so many windows without a break;"""
    guarded_onset: float = 0.65
    """while the agent speaks at this one (an echo that is left over sounds like weak speech),"""
    guarded_windows: int = 3
    """in so many."""
    release: float = 0.35
    """Speech that has begun goes on at this probability."""
    pause: float = 0.06
    """A silence that is worth transcribing what came before it."""
    complete: float = 0.2
    """Silence that ends a turn in which what was asked for has been said,"""
    brief: float = 0.4
    """where more may follow: "yes" is often followed by a sentence,"""
    unsure: float = 0.55
    """a turn that may have ended,"""
    incomplete: float = 1.2
    """one that has not by the sense of it ("and", "um", half a number)."""
    ending: float = 0.3
    """How much sooner a turn is over that is sure to sound ended than one that is sure not to;"""
    ending_usual: float = 0.4
    """the probability of an ending that changes nothing."""
    merge: float = 0.6
    """Sound of an answer that a caller who goes on speaking has not taken in."""
    verdict: float = 0.5
    """An interruption that is over by then without words is none."""
    silence: float = 6.0
    """Nobody says anything."""

    def tuned(self, to: Endpointing) -> Timing:
        """The same with what was found best for this machine."""
        return replace(
            self,
            complete=to.complete_ms / 1000,
            brief=to.brief_ms / 1000,
            unsure=to.unsure_ms / 1000,
        )


class Agent(Enum):
    """What the agent does."""

    SILENT = "Silent"
    THINKING = "Thinking"
    """It answers, but nothing of the answer has sounded yet."""
    SPEAKING = "Speaking"
    PAUSED = "Paused"
    """In the middle of a sentence: the caller makes a sound."""


@dataclass(frozen=True, slots=True)
class Transcribe:
    """Say what was heard from `since` on; the result goes to `transcribed` or `failed`."""

    attempt: int
    since: float


@dataclass(frozen=True, slots=True)
class Drop:
    """The attempt's result is of no use any more."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The turn has ended with these words."""

    attempt: int
    text: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Be quiet at once, keep the place."""


@dataclass(frozen=True, slots=True)
class Resume:
    """It was nothing: go on where it was paused."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Be quiet and forget the rest; `merged` where the answer was to an unfinished turn."""

    merged: bool


@dataclass(frozen=True, slots=True)
class Prompt:
    """Nobody says anything: ask whether the caller is there."""


@dataclass(frozen=True, slots=True)
class AskAgain:
    """Something was said that no transcriber could read."""


Action = Transcribe | Drop | Answer | Pause | Resume | Stop | Prompt | AskAgain

_SOUND = re.compile(r"m+h*m*|u+h+|h+u+h+|h+m+|a+h+|o+h+|u+m+|e+r+m*")
_ASSENT = frozenset({"yeah", "yes", "yep", "ok", "okay", "right", "sure", "i see", "got it"})


def words_of(text: str) -> str:
    """Letters and digits in small letters, single spaces: empty for a noise."""
    return " ".join(re.findall(r"[\w']+", text.casefold()))


def is_backchannel(text: str, judgement: Judgement) -> bool:
    """Whether `text` only shows that the caller listens.

    "Yes" is one in the middle of a sentence, unless it answers what has been asked.
    """
    words = words_of(text)
    if all(_SOUND.fullmatch(word) for word in words.split()):
        return True
    return judgement not in ("Complete", "Enough") and words in _ASSENT


@dataclass(frozen=True, slots=True)
class _Heard:
    text: str
    wait: float
    """Silence that ends the turn."""


class Turns:
    """The machine; every input returns the actions that follow from it, in order."""

    def __init__(self, timing: Timing | None = None) -> None:
        self.timing = timing or Timing()
        self.agent = Agent.SILENT
        self._voiced = False
        self._run = 0
        self._run_began = 0.0
        self._last_voice = 0.0
        self._turn: float | None = None
        """When the open turn began."""
        self._answered: float | None = None
        """When the turn began that is being answered."""
        self._attempt = 0
        self._waiting = False
        """An attempt is under way."""
        self._heard: _Heard | None = None
        self._sounded = 0.0
        self._paused = 0.0
        self._quiet = 0.0
        """Since when nobody has said anything."""

    # --- what is heard ------------------------------------------------------------------------

    def window(self, now: float, seconds: float, probability: float) -> list[Action]:
        """The `seconds` up to `now` were speech with this probability."""
        timing = self.timing
        guarded = self.agent is Agent.SPEAKING
        onset = timing.guarded_onset if guarded else timing.onset
        actions: list[Action] = []
        if self._voiced:
            if probability >= timing.release:
                self._last_voice = now
            elif now - self._last_voice >= timing.pause:
                self._voiced = False
                actions = self._transcribe()
        elif probability >= onset:
            if self._run == 0:
                self._run_began = now - seconds
            self._run += 1
            if self._run >= (timing.guarded_windows if guarded else timing.onset_windows):
                self._run = 0
                self._voiced = True
                self._last_voice = now
                actions = self._speech_began(now)
        else:
            self._run = 0
        return actions + self.tick(now)

    def transcribed(
        self, now: float, attempt: int, text: str, judgement: Judgement, end_of_turn: float | None
    ) -> list[Action]:
        """The attempt's words, whether they are what was asked for, how ended they sound."""
        if not self._waiting or attempt != self._attempt:
            return []
        self._waiting = False
        speaking = self.agent in (Agent.SPEAKING, Agent.PAUSED)
        if not words_of(text) or (speaking and is_backchannel(text, judgement)):
            self._turn = None
            return self._take_back()
        self._heard = _Heard(text, self._wait(text, judgement, end_of_turn))
        actions: list[Action] = []
        if speaking:
            self.agent = Agent.SILENT
            actions.append(Stop(merged=False))
        return actions + self.tick(now)

    def failed(self, now: float, attempt: int) -> list[Action]:
        """No transcriber could say what the attempt's words are."""
        if not self._waiting or attempt != self._attempt:
            return []
        self._waiting = False
        if self.agent is Agent.SPEAKING or (self.agent is Agent.PAUSED and self._short):
            # What is being said is worth more than to ask what a short sound may have been.
            self._turn = None
            return self._take_back()
        actions: list[Action] = [] if self.agent is Agent.SILENT else [Stop(merged=False)]
        self._answered, self._turn = self._turn, None
        self.agent = Agent.THINKING
        return [*actions, AskAgain()]

    def key(self, now: float) -> list[Action]:
        """The caller presses a key: what was heard and said until now is over."""
        actions: list[Action] = [] if self.agent is Agent.SILENT else [Stop(merged=False)]
        self._waiting, self._heard, self._voiced, self._run = False, None, False, 0
        self._turn = self._answered = None
        self.agent, self._quiet = Agent.SILENT, now
        return actions

    @property
    def is_open(self) -> bool:
        """Whether the caller has a turn that is not answered yet."""
        return self._turn is not None

    # --- what is played -----------------------------------------------------------------------

    def sounding(self, now: float) -> None:
        """The answer is heard from now on; an acknowledgement or a filler is no answer."""
        if self.agent is not Agent.PAUSED:
            self.agent = Agent.SPEAKING
            self._sounded = now

    def finished(self, now: float) -> None:
        """All that was to be said has been played."""
        self.agent = Agent.SILENT
        self._quiet = now

    # --- time ---------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Action]:
        """Time passes; needed only where no window comes."""
        if self._voiced or self._run:
            return []
        if self.agent is Agent.PAUSED and self._short and now - self._paused >= self.timing.verdict:
            # Not yet understood: should it have been a word, it interrupts later.
            return self._take_back()
        if self.agent is not Agent.SILENT:
            return []
        if self._heard is not None and now - self._last_voice >= self._heard.wait:
            answer = Answer(self._attempt, self._heard.text)
            self._answered, self._turn, self._heard = self._turn, None, None
            self.agent = Agent.THINKING
            return [answer]
        if self._turn is None and now - self._quiet >= self.timing.silence:
            self._answered = None
            self.agent = Agent.THINKING
            return [Prompt()]
        return []

    # --- inside -------------------------------------------------------------------------------

    @property
    def _short(self) -> bool:
        """Whether the sound that the agent paused for is too short to be sure."""
        return self._last_voice - self._paused < self.timing.verdict

    def _speech_began(self, now: float) -> list[Action]:
        actions: list[Action] = []
        if self._waiting or self._heard is not None:
            actions.append(Drop(self._attempt))
            self._waiting, self._heard = False, None
        began = self._run_began
        unheard = self.agent is Agent.THINKING or now - self._sounded < self.timing.merge
        if self.agent in (Agent.THINKING, Agent.SPEAKING):
            if unheard and self._answered is not None:
                began = self._answered
                self.agent = Agent.SILENT
                actions.append(Stop(merged=True))
            else:
                self.agent = Agent.PAUSED
                self._paused = began
                actions.append(Pause())
        if self._turn is None:
            self._turn = began
        return actions

    def _transcribe(self) -> list[Action]:
        assert self._turn is not None
        self._attempt += 1
        self._waiting = True
        return [Transcribe(self._attempt, self._turn)]

    def _take_back(self) -> list[Action]:
        if self.agent is not Agent.PAUSED:
            return []
        self.agent = Agent.SPEAKING
        return [Resume()]

    def _wait(self, text: str, judgement: Judgement, end_of_turn: float | None) -> float:
        timing = self.timing
        if judgement == "Complete":
            return timing.complete
        if judgement == "Enough":
            return timing.brief
        if judgement == "Incomplete":
            return timing.incomplete
        if end_of_turn is None:
            return timing.unsure
        return timing.unsure + (timing.ending_usual - end_of_turn) * timing.ending
