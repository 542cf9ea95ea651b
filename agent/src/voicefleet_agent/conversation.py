"""One talk: what the turns' machine asks for is done with transcribers, dialogue and voices.

Nothing here decides who speaks when (`turns`) or what is said (the dialogue); nothing here waits
for a provider longer than a caller does (`providers.chain`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from voicefleet_agent import phrases, turns
from voicefleet_agent.listening import Ears
from voicefleet_agent.logs import LOGGER
from voicefleet_agent.providers import ProviderFailed, Speaker, Transcriber
from voicefleet_agent.speaking import Mouth, Utterance
from voicefleet_agent.turns import Turns
from voicefleet_api.calls import CallState, StageLatencies
from voicefleet_dialogue.acts import Act, End, ModelUnavailable, Origin, Say, Transfer

FILLER_SECONDS = 1.1
"""After a pause was noticed (0.12 s): so a sound comes within 1.5 s, whatever is slow."""
STILL_SECONDS = 5.0
ANSWER_SECONDS = 10.0
"""For the whole of what a model says."""
DEAF_LIMIT = 3
"""Turns in a row that nobody could transcribe."""

log = logging.getLogger(LOGGER)


class Expectation(Protocol):
    """What kind of answer would end the turn."""

    def judge(self, heard: str) -> turns.Judgement:
        """Whether `heard` is one."""
        ...


class Talk(Protocol):
    """The dialogue (docs/plan.md)."""

    @property
    def expects(self) -> Expectation: ...
    def open(self) -> Any: ...
    def consider(self, heard: str) -> Any | None: ...
    def ask(self, heard: str) -> AsyncIterator[Say]: ...
    def commit(self, turn: Any) -> Sequence[Act]: ...
    def silent(self) -> Any: ...
    def unheard(self, text: str) -> None: ...


class Record(Protocol):
    """Who writes down what happens."""

    def state(self, state: CallState) -> None: ...
    def caller_said(self, text: str) -> None: ...
    def agent_said(self, text: str, origin: Origin, latency: StageLatencies | None) -> None: ...
    def interrupted(self, unheard: str) -> None: ...


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
    turn: Any = None
    spoken: dict[str, bytes] = field(default_factory=dict)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def drop(self) -> None:
        for task in self.tasks:
            task.cancel()


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
        talk: Talk,
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
        self._deaf = 0
        self._latency: StageLatencies | None = None
        self._silent_since = 0.0

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
        attempt.tasks.append(asyncio.create_task(self._understand(attempt, action.since)))
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
        if merged:
            self._stop_waiting()
        unheard = self._mouth.stop()
        self._talk.unheard(unheard)
        self._record.interrupted(unheard)
        self._record.state("Listening")

    async def _understand(self, attempt: _Attempt, since: float) -> None:
        assert self._ears is not None
        pipeline = self._pipeline()
        try:
            transcript = await pipeline.transcriber.transcribe(self._ears.since(since))
        except ProviderFailed:
            self._do(self._turns.failed(time.monotonic(), attempt.number))
            return
        attempt.stt_ms = _ms(attempt.paused_at)
        attempt.text = transcript.text
        if turns.words_of(transcript.text):
            attempt.turn = self._talk.consider(transcript.text)
            attempt.tasks.append(asyncio.create_task(self._speak_ahead(attempt, pipeline.speaker)))
        else:
            self._stop_waiting()
        self._do(
            self._turns.transcribed(
                time.monotonic(),
                attempt.number,
                transcript.text,
                self._talk.expects.judge(transcript.text),
                transcript.end_of_turn,
            )
        )

    async def _speak_ahead(self, attempt: _Attempt, speaker: Speaker) -> None:
        """Make the sound of an answer that may be given."""
        for act in getattr(attempt.turn, "acts", ()):
            if isinstance(act, Say) and self._made(act.text) is None:
                with contextlib.suppress(ProviderFailed):
                    attempt.spoken[act.text] = b"".join(
                        [piece async for piece in speaker.speak(act.text)]
                    )

    # --- answers -----------------------------------------------------------------------------

    def _answer_by(self, answering: Coroutine[Any, Any, None]) -> None:
        self._answering = asyncio.create_task(self._answered(answering))

    async def _answered(self, answering: Coroutine[Any, Any, None]) -> None:
        """Do it, and say so when all of it has been played."""
        try:
            await answering
        except ProviderFailed:
            await self._voiceless()
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
        self._deaf += 1
        if self._deaf < DEAF_LIMIT:
            await self._say(Say(phrases.AGAIN, "Program"))
            return
        await self._say(Say(phrases.DEAF, "Program"))
        await self._give_up("nobody transcribes")

    async def _answer(self, text: str) -> None:
        attempt, self._attempt = self._attempt, None
        self._deaf = 0
        self._record.state("Processing")
        self._record.caller_said(text)
        self._silent_since = attempt.paused_at if attempt else time.monotonic()
        self._latency = StageLatencies(
            end_of_turn=_ms(self._silent_since), stt=attempt.stt_ms if attempt else None
        )
        turn = attempt.turn if attempt else self._talk.consider(text)
        if turn is not None:
            spoken = attempt.spoken if attempt else {}
            await self._perform(self._talk.commit(turn), spoken)
            return
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                async for say in self._talk.ask(text):
                    await self._say(say, answer=say.origin == "Model")
        except (ModelUnavailable, TimeoutError):
            await self._say(Say(phrases.AGAIN, "Program"))

    async def _perform(self, acts: Sequence[Act], spoken: dict[str, bytes] | None = None) -> None:
        for act in acts:
            if isinstance(act, Say):
                await self._say(act, spoken=spoken)
                continue
            await self._mouth.idle.wait()
            if isinstance(act, Transfer):
                self._end(Ending("Transfer", act.reason, act.number))
            else:
                assert isinstance(act, End)
                self._end(Ending("End", act.reason))

    async def _say(
        self, say: Say, *, answer: bool = True, spoken: dict[str, bytes] | None = None
    ) -> None:
        """Raises ProviderFailed where no voice speaks it."""
        speaker = self._pipeline().speaker
        begun = time.monotonic()
        sound = self._made(say.text) or (spoken or {}).get(say.text)
        self._record.agent_said(say.text, say.origin, self._latency if answer else None)
        if sound is None:
            await self._mouth.say(say.text, speaker.speak(say.text), answer=answer)
            if self._latency is not None and self._latency.tts is None:
                self._latency.tts = _ms(begun)
        else:
            await self._mouth.say(say.text, sound, answer=answer)

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

    async def _voiceless(self) -> None:
        """No voice speaks: what was to be said stands in the record, the caller gets a person."""
        log.error("no voice speaks", extra={"action": "VoiceFailed"})
        await self._give_up("no voice speaks")

    async def _give_up(self, reason: str) -> None:
        """Connect the caller with a person, or say goodbye with what was made ahead."""
        text = phrases.CONNECTING if self._fallback else phrases.GOODBYE
        sound = self._made(text)
        if sound is not None:
            self._record.agent_said(text, "Program", None)
            await self._mouth.say(text, sound, answer=True)
        await self._mouth.idle.wait()
        if self._fallback:
            self._end(Ending("Transfer", reason, self._fallback))
        else:
            self._end(Ending("Failed", reason))

    def _end(self, ending: Ending) -> None:
        if not self.ended.done():
            self.ended.set_result(ending)


def _ms(since: float) -> float:
    return round(1000 * (time.monotonic() - since), 1)
