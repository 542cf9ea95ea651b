"""One talk: what the turns' machine asks for is done with transcribers, dialogue and voices.

Nothing here decides who speaks when (`turns`) or what is said (the dialogue); nothing here waits
for a provider longer than a caller does (`providers.chain`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from voicefleet_agent import phrases, turns
from voicefleet_agent.listening import Ears
from voicefleet_agent.logs import LOGGER
from voicefleet_agent.providers import ProviderFailed, Speaker, Transcriber
from voicefleet_agent.speaking import Mouth, Utterance
from voicefleet_agent.turns import Agent, Turns
from voicefleet_agent.voicing import Voicing
from voicefleet_api.calls import CallState, StageLatencies, TranscriptTurn
from voicefleet_dialogue.acts import Act, Origin, Say, Transfer
from voicefleet_dialogue.dialogue import Dialogue
from voicefleet_dialogue.state import Outcome, State, Turn

FILLER_SECONDS = 1.1
"""After a pause was noticed: so a sound comes within 1.5 s, whatever is slow."""
STILL_SECONDS = 5.0
ANSWER_SECONDS = 10.0
"""For the whole of what a model says."""
TROUBLE_LIMIT = 3
"""Turns in a row that could not be transcribed or answered."""

log = logging.getLogger(LOGGER)


class Record(Protocol):
    """Who writes down what happens (`records.Recorder`)."""

    def state(self, state: CallState) -> None: ...
    def said(self, turn: TranscriptTurn) -> None: ...
    def interrupted(self) -> None: ...
    def progress(self, outcome: Outcome) -> None: ...
    def elapsed(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Ending:
    """How the talk ended by the agent's side."""

    kind: Literal["End", "Transfer", "Failed"]
    reason: str
    number: str | None = None


@dataclass(slots=True)
class _Attempt:
    """One transcription, and what was made of it on the chance that the turn has ended."""

    number: int
    paused_at: float
    stt_ms: float | None = None
    text: str = ""
    turn: Turn | None = None
    voicing: Voicing | None = None
    task: asyncio.Task[None] | None = None

    def drop(self) -> None:
        if self.task is not None:
            self.task.cancel()
        if self.voicing is not None:
            self.voicing.drop()


@dataclass(frozen=True, slots=True)
class _Before:
    """Where the talk was before an answer: it goes back there if nothing has been done yet."""

    state: State
    done: tuple[int, int]

    @classmethod
    def of(cls, talk: Dialogue) -> _Before:
        return cls(talk.state, (len(talk.outcome.appointments), len(talk.outcome.messages)))

    def restore(self, talk: Dialogue) -> bool:
        """False where it cannot: something was booked, or a message taken."""
        if self.done != _Before.of(talk).done:
            return False
        talk.state = self.state
        return True


class Pipeline(Protocol):
    """The providers of the next turn."""

    @property
    def transcriber(self) -> Transcriber: ...
    @property
    def speaker(self) -> Speaker: ...


class Conversation:
    """Runs from the greeting until somebody ends it."""

    def __init__(
        self,
        talk: Dialogue,
        pipeline: Callable[[], Pipeline],
        made: Callable[[str], bytes | None],
        mouth: Mouth,
        record: Record,
        *,
        fallback: str | None = None,
        machine: Turns | None = None,
    ) -> None:
        """`pipeline` is asked at each turn, `made` for the sound of a sentence made ahead.

        `fallback` is whom to connect when nothing works."""
        self.ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._talk = talk
        self._pipeline = pipeline
        self._made = made
        self._mouth = mouth
        self._record = record
        self._fallback = fallback
        self._turns = machine or Turns()
        self._ears: Ears | None = None
        self._attempt: _Attempt | None = None
        self._answering: asyncio.Task[None] | None = None
        self._waiting: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._latency: StageLatencies | None = None
        self._voicing: Voicing | None = None
        """Of the answer that is being given."""
        self._silent_since = 0.0
        self._decided = 0.0
        """When the words of the answer were known."""
        self._said: list[tuple[str, TranscriptTurn]] = []
        """What the agent says since the caller's last turn, and where it is written down."""
        self._before: _Before | None = None
        self._asked: TranscriptTurn | None = None
        """The caller's turn that is being answered, and may go on."""
        self._goes_on = False
        self._trouble = 0

    # --- in ------------------------------------------------------------------------------------

    def hears(self, ears: Ears) -> None:
        """Whose sound the windows are of."""
        self._ears = ears

    def window(self, now: float, seconds: float, probability: float) -> None:
        """For `Ears`."""
        self._do(self._turns.window(now, seconds, probability))

    def sounds(self, utterance: Utterance) -> None:
        """For `Mouth`: its first sound goes out."""
        if not utterance.answer:
            return
        self._stop_waiting()
        if self._latency is not None and self._latency.total is None:
            self._latency.tts = _ms(self._decided)
            self._latency.total = _ms(self._silent_since)
        self._turns.sounding(time.monotonic())
        self._record.state("Responding")

    async def run(self) -> Ending:
        """Greet, then talk; returns how it ended. Cancel it when the caller is gone."""
        self._answer_by(self._open())
        ticking = asyncio.create_task(self._tick())
        try:
            return await self.ended
        finally:
            ticking.cancel()
            for task in (self._answering, self._waiting, *self._tasks):
                if task is not None:
                    task.cancel()

    async def _tick(self) -> None:
        """Time passes also where a line brings no sound at all."""
        while True:
            await asyncio.sleep(0.1)
            self._do(self._turns.tick(time.monotonic()))

    # --- what the machine asks for ---------------------------------------------------------------

    def _do(self, actions: Sequence[turns.Action]) -> None:
        for action in actions:
            match action:
                case turns.Transcribe():
                    self._transcribe(action)
                case turns.Drop():
                    self._drop()
                case turns.Answer():
                    self._answer_by(self._answer(action.text))
                case turns.Pause():
                    self._mouth.pause()
                case turns.Resume():
                    self._mouth.resume()
                case turns.Stop():
                    self._stop(merged=action.merged)
                case turns.Prompt():
                    self._answer_by(self._prompt())
                case turns.AskAgain():
                    self._answer_by(self._ask_again())

    def _transcribe(self, action: turns.Transcribe) -> None:
        attempt = self._attempt = _Attempt(action.attempt, time.monotonic())
        attempt.task = asyncio.create_task(self._understand(attempt, action.since))
        self._stop_waiting()
        self._waiting = asyncio.create_task(self._keep_company())

    def _drop(self) -> None:
        if self._attempt is not None:
            self._attempt.drop()
            self._attempt = None
        self._stop_waiting()

    def _stop(self, *, merged: bool) -> None:
        if self._answering is not None:
            self._answering.cancel()
        if self._voicing is not None:
            self._voicing.drop()
        if merged:
            self._stop_waiting()
        unheard = self._mouth.stop()
        self._goes_on = merged and self._before is not None and self._before.restore(self._talk)
        if not self._goes_on:
            self._talk.unheard(" ".join(utterance.unheard for utterance in unheard))
        for text, turn in self._said:
            for utterance in unheard:
                if utterance.text == text:
                    turn.text = text[: len(text) - len(utterance.unheard)].rstrip()
                    turn.interrupted = True
        if not merged:
            self._record.interrupted()
        self._record.state("Listening")

    async def _understand(self, attempt: _Attempt, since: float) -> None:
        """Transcribe what was heard, and see what would be answered."""
        assert self._ears is not None
        pipeline = self._pipeline()
        try:
            sound = self._ears.since(since)
            speaking = self._turns.agent in (Agent.SPEAKING, Agent.PAUSED)
            asked = None if speaking else self._talk
            transcript = await pipeline.transcriber.transcribe(sound, asked)
            attempt.stt_ms = _ms(attempt.paused_at)
            judgement = self._talk.expects.judge(transcript.text)
            if turns.words_of(transcript.text):
                attempt.turn = self._talk.consider(transcript.text)
        except Exception as error:
            if not isinstance(error, ProviderFailed):
                _failed(error)
            self._do(self._turns.failed(time.monotonic(), attempt.number))
            return
        if attempt.turn is not None:
            attempt.voicing = Voicing(self._made, pipeline.speaker)
            attempt.voicing.begin(act.text for act in attempt.turn.acts if isinstance(act, Say))
        if not turns.words_of(transcript.text):
            self._stop_waiting()
        self._do(
            self._turns.transcribed(
                time.monotonic(),
                attempt.number,
                transcript.text,
                judgement,
                transcript.end_of_turn,
            )
        )

    # --- answers -----------------------------------------------------------------------------

    def _answer_by(self, answering: Coroutine[Any, Any, None]) -> None:
        self._answering = asyncio.create_task(self._answered(answering))

    async def _answered(self, answering: Coroutine[Any, Any, None]) -> None:
        """Do it, and say so when all of it has been played."""
        try:
            await answering
        except ProviderFailed:
            log.error("no voice speaks", extra={"action": "VoiceFailed"})
            await self._give_up("no voice speaks")
        except Exception as error:
            _failed(error)
            await self._in_trouble("answering fails")
        await self._mouth.idle.wait()
        self._stop_waiting()
        self._turns.finished(time.monotonic())
        self._record.state("Listening")

    async def _open(self) -> None:
        self._record.state("Greeting")
        await self._perform(self._talk.commit(self._talk.open()))

    async def _prompt(self) -> None:
        await self._perform(self._talk.commit(self._talk.silent()))

    async def _ask_again(self) -> None:
        await self._in_trouble("nobody transcribes")

    async def _answer(self, text: str) -> None:
        attempt, self._attempt = self._attempt, None
        self._record.state("Processing")
        if self._goes_on and self._asked is not None:
            self._asked.text = text
        else:
            self._asked = TranscriptTurn(
                speaker="Caller",
                text=text,
                at=self._record.elapsed(),
                state=self._talk.state.phase,
            )
            self._record.said(self._asked)
        self._goes_on = False
        self._said = []
        self._before = _Before.of(self._talk)
        self._silent_since = attempt.paused_at if attempt else time.monotonic()
        self._latency = StageLatencies(
            end_of_turn=_ms(self._silent_since), stt=attempt.stt_ms if attempt else None
        )
        turn = attempt.turn if attempt else self._talk.consider(text)
        self._voicing = attempt.voicing if attempt else None
        if turn is not None:
            await self._perform(self._talk.commit(turn))
            self._trouble = 0
            return
        asked = time.monotonic()
        acknowledged = False
        async with asyncio.timeout(ANSWER_SECONDS):
            async for act in self._talk.ask(text):
                if acknowledged and self._latency.llm is None:
                    self._latency.llm = _ms(asked)
                await self._perform([act], answer=acknowledged)
                acknowledged = True
        self._trouble = 0

    async def _perform(
        self,
        acts: Sequence[Act],
        *,
        answer: bool = True,
    ) -> None:
        self._record.progress(self._talk.outcome)
        for act in acts:
            if isinstance(act, Say):
                await self._say(act, answer=answer)
                continue
            await self._mouth.idle.wait()
            if isinstance(act, Transfer):
                self._end(Ending("Transfer", act.reason, act.number))
            else:
                self._end(Ending("End", act.reason))

    async def _say(self, say: Say, *, answer: bool) -> None:
        """Raises ProviderFailed where no voice speaks it."""
        if self._voicing is None:
            self._voicing = Voicing(self._made, self._pipeline().speaker)
        if answer:
            self._decided = time.monotonic()
        self._note(say.text, say.origin, self._latency if answer else None)
        await self._mouth.say(say.text, self._voicing.sound(say.text), answer=answer)

    def _note(self, text: str, origin: Origin, latency: StageLatencies | None) -> None:
        turn = TranscriptTurn(
            speaker="Agent",
            text=text,
            at=self._record.elapsed(),
            state=self._talk.state.phase,
            origin=origin,
            latency=latency,
        )
        self._said.append((text, turn))
        self._record.said(turn)

    # --- when something is slow or broken --------------------------------------------------------

    async def _keep_company(self) -> None:
        """No silence on the line: a filler while an answer is on its way."""
        pause = FILLER_SECONDS
        for text in (phrases.FILLER, phrases.STILL):
            await asyncio.sleep(pause)
            sound = self._made(text)
            if sound is not None and self._mouth.idle.is_set():
                await self._mouth.say(text, sound, answer=False)
            pause = STILL_SECONDS

    def _stop_waiting(self) -> None:
        if self._waiting is not None and self._waiting is not asyncio.current_task():
            self._waiting.cancel()
        self._waiting = None

    async def _in_trouble(self, reason: str) -> None:
        """Ask the caller to repeat; after a few times in a row, give up."""
        self._trouble += 1
        if self._trouble < TROUBLE_LIMIT:
            await self._say_made(phrases.AGAIN)
            return
        await self._say_made(phrases.DEAF)
        await self._give_up(reason)

    async def _give_up(self, reason: str) -> None:
        """Connect the caller with a person, or say goodbye with what was made ahead."""
        await self._say_made(phrases.CONNECTING if self._fallback else phrases.GOODBYE)
        await self._mouth.idle.wait()
        if self._fallback:
            self._end(Ending("Transfer", reason, self._fallback))
        else:
            self._end(Ending("Failed", reason))

    async def _say_made(self, text: str) -> None:
        """One of `phrases.ESSENTIAL`; nothing where not even that could be made."""
        sound = self._made(text)
        if sound is not None:
            self._note(text, "Program", None)
            await self._mouth.say(text, sound, answer=True)

    def _end(self, ending: Ending) -> None:
        if not self.ended.done():
            self.ended.set_result(ending)


def _failed(error: Exception) -> None:
    """Whatever it is, the caller hears something; an error's text may hold words of the call."""
    log.error("answer failed", extra={"action": "AnswerFailed", "error": type(error).__name__})


def _ms(since: float) -> float:
    return round(1000 * (time.monotonic() - since), 1)
