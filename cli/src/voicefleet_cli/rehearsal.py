"""Recorded callers' turns, heard and answered as in a call, but without one.

The detector, the turns, the providers and the dialogue are the agent's own. What a gateway takes is
measured; everything else passes by the recording's clock, as fast as it can be computed. So one
pass through the transcriber shows what many lengths of silence would have come to.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import av
import numpy as np
import yaml
from pydantic import TypeAdapter, ValidationError

from voicefleet_agent.audio import SAMPLE_RATE, bytes_of
from voicefleet_agent.listening import BEFORE, WINDOW_BYTES, Ears
from voicefleet_agent.providers.base import ProviderFailed, Speaker, Transcriber, Transcript
from voicefleet_agent.providers.chain import TRANSCRIPT_SECONDS
from voicefleet_agent.speaking import Reference
from voicefleet_agent.turns import Answer, AskAgain, Drop, Stop, Timing, Transcribe, Turns
from voicefleet_api import professions
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.base import ApiModel
from voicefleet_api.receptionist import Fact, OpeningHours
from voicefleet_dialogue import sentences
from voicefleet_dialogue.acts import LanguageModel, Say
from voicefleet_dialogue.booking import Bookings
from voicefleet_dialogue.dialogue import MODEL_SECONDS, Dialogue
from voicefleet_dialogue.locale import load
from voicefleet_dialogue.state import Turn

LINE = 0.15
"""Seconds that encoding, network and jitter buffers add in a call (docs/latency.md)."""
LEAD, TAIL = 0.5, 3.0
"""Seconds of the line before and after the words."""
ORIGIN = 1.0
"""Where the recording's clock begins; at 0 the agent would have spoken just now."""
NOW = datetime.fromisoformat("2026-11-23T15:00:00+00:00")
"""A Monday morning for all callers: what they are offered does not depend on today."""


class _Recording(ApiModel):
    sound: str
    say: str
    facts: tuple[str, ...] = ()


class _Call(ApiModel):
    profession: str
    business: str
    known: tuple[Fact, ...] = ()
    voice: str | None = None
    noise: str | None = None
    turns: list[_Recording]


class Switch:
    """A `LanguageModel`: whichever is being measured."""

    def __init__(self) -> None:
        self.model: LanguageModel | None = None
        self.pieces = 0

    async def complete(
        self, system: str, user: str, *, schema: Mapping[str, Any] | None = None, max_tokens: int
    ) -> AsyncIterator[str]:
        assert self.model is not None
        async for piece in self.model.complete(system, user, schema=schema, max_tokens=max_tokens):
            self.pieces += 1
            yield piece


@dataclass(eq=False)
class Spoken:
    """A recorded turn and the talk in which it is said."""

    say: str
    facts: Sequence[str]
    """The answer of a language model is right that holds one of these."""
    pcm: bytes
    """16-bit mono at 16 kHz: the line, the words, the line again."""
    ends: float
    """The last word, seconds by the recording's clock."""
    dialogue: Dialogue
    answer: Turn | None
    """To the words as they are written; None: a language model is asked."""
    windows: Sequence[tuple[float, float, float]] = field(default_factory=list)
    """The detector's: (by the recording's clock, seconds, probability of speech)."""


@dataclass(frozen=True)
class Thought:
    """What a language model makes of a turn."""

    seconds: float
    """Until the first sentence of the answer; infinite where there is none in time."""
    pieces: float
    """Tokens a second."""
    right: bool


@dataclass(frozen=True)
class Heard:
    """A turn as it went. Seconds count from the caller's last word."""

    wait: float
    """Until the answer sounds, the line included; infinite where none does."""
    end_of_turn: float
    stt: float
    understood: bool
    """The answer is the one to the written words, or holds the fact."""
    cut_off: bool
    """The agent made a sound before the caller had ended."""


def load_turns(folder: Path, work: Path, switch: Switch) -> list[Spoken]:
    """The recordings of `calls.yaml` in a folder; `work` is a folder for calendars.

    Raises ValueError with what to change.
    """
    file = folder / "calls.yaml"
    try:
        calls = TypeAdapter(list[_Call]).validate_python(yaml.safe_load(file.read_text()))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise ValueError(f"{file}: {error}") from None
    turns = [
        _prepare(folder, call, number, work / f"{index}-{number}", switch)
        for index, call in enumerate(calls)
        for number in range(len(call.turns))
    ]
    if not turns:
        raise ValueError(f"{file}: there is no turn in it")
    return turns


def _prepare(folder: Path, call: _Call, number: int, work: Path, switch: Switch) -> Spoken:
    turn = call.turns[number]
    try:
        dialogue = _dialogue(call, number, work, switch)
    except KeyError as error:
        raise ValueError(f"{folder / 'calls.yaml'}: profession: {error.args[0]}") from None
    words = _samples(folder / turn.sound)
    line = _samples(folder / call.noise) if call.noise else np.zeros(1, np.int16)
    padded = np.pad(words, (int(LEAD * SAMPLE_RATE), int(TAIL * SAMPLE_RATE)))
    mixed = padded.astype(np.int32) + np.resize(line, len(padded))
    pcm = mixed.clip(-32768, 32767).astype("<i2").tobytes()
    say = _words(turn.say)
    ends = ORIGIN + LEAD + len(words) / SAMPLE_RATE
    made = Spoken(say, turn.facts, pcm, ends, dialogue, dialogue.consider(say))
    made.windows = _windows(pcm)
    return made


def _words(say: str) -> str:
    """Without the marks for pauses."""
    return re.sub(r"\[\d+\] ?", "", say)


def _samples(file: Path) -> np.ndarray[Any, np.dtype[np.int16]]:
    """A sound file at `SAMPLE_RATE`; raises ValueError."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
    try:
        with av.open(str(file)) as sound:
            frames = [*sound.decode(audio=0), None]
        pieces = [part.to_ndarray()[0] for frame in frames for part in resampler.resample(frame)]
    except (OSError, IndexError, av.FFmpegError) as error:
        raise ValueError(f"{file}: {error}") from None
    return np.concatenate(pieces).astype(np.int16)


def _windows(pcm: bytes) -> list[tuple[float, float, float]]:
    """What the agent's detector says of a recording."""
    windows: list[tuple[float, float, float]] = []
    ears = Ears(Reference(), lambda *window: windows.append(window), lambda *_: None)
    for at in range(0, len(pcm) - WINDOW_BYTES + 1, WINDOW_BYTES):
        ears.hear(pcm[at : at + WINDOW_BYTES], ORIGIN + (at + WINDOW_BYTES) / bytes_of(1))
    return windows


def _dialogue(call: _Call, number: int, work: Path, switch: Switch) -> Dialogue:
    """The talk up to that turn, as if everything before had been understood as written."""
    profession = professions.load(call.profession)
    config = AgentConfig(
        client_id="tune",
        agent_name="tune",
        livekit_url="ws://127.0.0.1",
        business_name=call.business,
        time_zone="America/Chicago",
        profession=call.profession,
        greeting=profession.greeting.replace(professions.BUSINESS, call.business),
        prompt=profession.prompt.replace(professions.BUSINESS, call.business),
        questions=[question.text for question in profession.questions],
        hours=[
            OpeningHours(day=day, opens="08:00", closes="18:00")
            for day in ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
        ],
        facts=list(call.known),
    )
    calendar = Bookings(work, config, clock=lambda: NOW)
    dialogue = Dialogue(config, calendar, clock=lambda: NOW, language_model=switch)
    dialogue.commit(dialogue.open())
    for turn in call.turns[:number]:
        answer = dialogue.consider(_words(turn.say))
        if answer is not None:
            dialogue.commit(answer)
    return dialogue


# --- by stage ----------------------------------------------------------------------------------


async def voice(turns: Sequence[Spoken], speaker: Speaker) -> dict[Spoken, float]:
    """Seconds until the answer to each turn could sound; 0 for what is made before calls."""
    return {
        turn: await _first_sound(turn.dialogue, turn.answer, speaker)
        for turn in turns
        if turn.answer is not None
    }


async def _first_sound(dialogue: Dialogue, answer: Turn, speaker: Speaker) -> float:
    text = next((act.text for act in answer.acts if isinstance(act, Say)), "")
    first = sentences.split(text)[0] if text else ""
    if not first or {text, first} & set(dialogue.prepared()):
        return 0.0
    began = time.perf_counter()
    try:
        async for piece in speaker.speak(first):
            if piece:
                return time.perf_counter() - began
    except ProviderFailed:
        pass
    return math.inf


async def language(
    turns: Sequence[Spoken], switch: Switch, brief: Callable[[str], Awaitable[None]]
) -> dict[Spoken, Thought]:
    """What a language model makes of the turns that need one; it is briefed first, as before
    calls. `brief` has it read what all its requests will begin with."""
    thoughts: dict[Spoken, Thought] = {}
    briefed = ""
    for turn in (turn for turn in turns if turn.answer is None):
        if (briefing := turn.dialogue.briefing()) != briefed:
            briefed = briefing
            await brief(briefing)
        thoughts[turn] = await _thought(turn, switch)
    return thoughts


async def _thought(turn: Spoken, switch: Switch) -> Thought:
    say = load("en-US").say
    state, switch.pieces = turn.dialogue.state, 0
    began = time.perf_counter()
    first, said = math.inf, []
    async for act in turn.dialogue.ask(turn.say):
        if isinstance(act, Say) and not act.filler:
            if act.text != say("again"):
                first = min(first, time.perf_counter() - began)
            said.append(act.text.lower())
    pieces = switch.pieces / (time.perf_counter() - began)
    turn.dialogue.state = state
    right = any(fact.lower() in " ".join(said) for fact in turn.facts)
    return Thought(first, pieces, right)


class Hearing:
    """Hears turns by one transcriber, each piece of sound once, under any number of timings."""

    def __init__(
        self,
        transcriber: Transcriber,
        voiced: Mapping[Spoken, float],
        thoughts: Mapping[Spoken, Thought],
    ) -> None:
        self._transcriber = transcriber
        self._voiced = voiced
        self._thoughts = thoughts
        self._known: dict[tuple[Spoken, float, float], tuple[float, Transcript | None]] = {}

    async def hear(self, turn: Spoken, timing: Timing) -> Heard:
        """The turn, its ends told by `timing`."""
        machine = Turns(timing)
        machine.finished(ORIGIN)
        due, attempt, took = math.inf, 0, 0.0
        transcript: Transcript | None = None
        heard_at, answer, sounds = 0.0, Answer(0, ""), math.inf
        ended = math.inf
        for now, seconds, probability in turn.windows:
            actions = []
            if due <= now:
                heard_at, due = due, math.inf
                if transcript is None:
                    actions = machine.failed(heard_at, attempt)
                else:
                    actions = machine.transcribed(
                        heard_at,
                        attempt,
                        transcript.text,
                        turn.dialogue.expects.judge(transcript.text),
                        transcript.end_of_turn,
                    )
            for action in (*actions, *machine.window(now, seconds, probability)):
                match action:
                    case Transcribe():
                        took, transcript = await self._listen(turn, action.since, now)
                        due, attempt = now + took, action.attempt
                    case Drop():
                        due = math.inf
                    case Answer():
                        answer, ended = action, now
                        sounds = self._first_sound(turn, answer.text, now, heard_at)
                    case Stop():
                        ended = sounds = math.inf
                    case AskAgain():
                        return _lost(turn, took)
            if now >= sounds:
                return self._heard(turn, answer.text, ended, sounds, heard_at, took)
        if ended == math.inf:
            return _lost(turn, took)
        return self._heard(turn, answer.text, ended, sounds, heard_at, took)

    def _first_sound(self, turn: Spoken, text: str, ended: float, heard_at: float) -> float:
        """An acknowledgement sounds at once; what a program answers was begun when understood."""
        if turn.dialogue.consider(text) is None:
            return ended
        return max(ended, heard_at + self._voiced.get(turn, 0.0))

    def _heard(
        self, turn: Spoken, text: str, ended: float, sounds: float, heard_at: float, took: float
    ) -> Heard:
        answer = turn.dialogue.consider(text)
        cut_off = sounds < turn.ends
        if answer is None:
            thought = self._thoughts.get(turn)
            sounds += thought.seconds if thought else MODEL_SECONDS
            understood = thought is not None and thought.right
        else:
            understood = turn.answer is not None and _same(answer, turn.answer)
        return Heard(
            sounds + LINE - turn.ends, ended - turn.ends, took, understood and not cut_off, cut_off
        )

    async def _listen(
        self, turn: Spoken, since: float, until: float
    ) -> tuple[float, Transcript | None]:
        """The seconds it took, and the words; None where the transcriber fails."""
        key = (turn, since, until)
        if key not in self._known:
            pcm = turn.pcm[bytes_of(max(0.0, since - BEFORE - ORIGIN)) : bytes_of(until - ORIGIN)]
            began = time.perf_counter()
            transcript = None
            try:
                async with asyncio.timeout(TRANSCRIPT_SECONDS):
                    transcript = await self._transcriber.transcribe(pcm, turn.dialogue)
            except (ProviderFailed, TimeoutError):
                pass
            self._known[key] = time.perf_counter() - began, transcript
        return self._known[key]


def _lost(turn: Spoken, took: float) -> Heard:
    return Heard(math.inf, math.inf, took, understood=False, cut_off=False)


def _same(one: Turn, other: Turn) -> bool:
    """Whether the caller hears the same, and the same is known then."""
    return one.acts == other.acts and one.state.slots == other.state.slots
