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
from typing import Any, Literal

from voicefleet_agent import phrases, turns
from voicefleet_agent.attempt import Attempt, Before, Pipeline
from voicefleet_agent.company import Company
from voicefleet_agent.listening import Ears
from voicefleet_agent.logs import LOGGER
from voicefleet_agent.minutes import Minutes, Record
from voicefleet_agent.providers import ProviderFailed
from voicefleet_agent.speaking import Mouth, Utterance
from voicefleet_agent.turns import Agent, Timing, Turns
from voicefleet_agent.voicing import Voicing
from voicefleet_api.calls import CallState
from voicefleet_dialogue import keys
from voicefleet_dialogue.acts import Act, Origin, Say, Transfer
from voicefleet_dialogue.dialogue import Dialogue
from voicefleet_dialogue.replies import Break
from voicefleet_dialogue.state import Turn

ANSWER_SECONDS = 10.0
"""For the whole of what a model says."""
KEY_SECONDS = 3.0
"""Without another key, a number that is typed is complete."""
TROUBLE_LIMIT = 3
"""Turns in a row that could not be transcribed, answered or spoken."""

log = logging.getLogger(LOGGER)


@dataclass(frozen=True, slots=True)
class Ending:
    """How the talk ended by the agent's side."""

    kind: Literal["End", "Transfer", "Failed"]
    reason: str
    number: str | None = None


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
        timing: Timing | None = None,
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
        self._minutes = Minutes(record)
        self._company = Company(
            mouth, made, lambda filler: self._note(filler, "Program"), talk.locale
        )
        self._turns = Turns(timing)
        self._turns.agent = Agent.THINKING  # of the greeting
        self._ears: Ears | None = None
        self._attempt: Attempt | None = None
        self._answering: asyncio.Task[None] | None = None
        self._voicing: Voicing | None = None
        """Of the answer that is being given."""
        self._speaking: CallState = "Greeting"
        """The call's state once the answer sounds."""
        self._before: Before | None = None
        self._goes_on = False
        self._typed = ""
        self._typed_at = 0.0
        self._unspoken: list[Utterance] = []
        """Of the answer, what no voice speaks."""
        self._trouble = 0

    # --- in ------------------------------------------------------------------------------------

    def hears(self, ears: Ears) -> None:
        """Whose sound the windows are of."""
        self._ears = ears

    def window(self, now: float, seconds: float, probability: float) -> None:
        """For `Ears`. Nothing is said to us by who types a number, or is being connected."""
        if not self._typed and not self.ended.done():
            self._do(self._turns.window(now, seconds, probability))

    def key(self, key: str) -> None:
        """A key of the caller's phone (RFC 4733); it interrupts what is being said."""
        if self._talk.state.phase == "Ended" or self.ended.done():
            return
        self._drop()
        self._typed_at = time.monotonic()
        self._do(self._turns.key(self._typed_at))
        self._typed += key
        if key == keys.END or not self._talk.collects_keys:
            self._enter()

    def _enter(self) -> None:
        """What was typed is complete."""
        typed, self._typed = self._typed, ""
        self._turns.agent = Agent.THINKING
        self._company.keep()
        self._answer_by(self._answer(f"[{typed}]", self._talk.press(typed)))

    def sounds(self, utterance: Utterance) -> None:
        """For `Mouth`: its first sound goes out."""
        self._minutes.sounds(utterance, max(0.0, self._mouth.sounds_until - time.monotonic()))
        if not utterance.answer:
            return
        self._turns.sounding(time.monotonic())
        self._record.state(self._speaking)

    async def run(self, after: Break | None = None) -> Ending:
        """Greet, or go on after a break, then talk; returns how it ended.

        Cancel it when the caller is gone."""
        first = self._talk.open() if after is None else self._talk.resume(after)
        speaking: CallState = "Responding" if after == "lost" else "Greeting"
        self._record.state(speaking)
        self._answer_by(self._perform(self._talk.commit(first)), speaking)
        return await self._until_ended()

    async def give_up(self, reason: str) -> Ending:
        """Connect the caller with a person, or say goodbye."""
        self._record.state("Responding")
        self._answer_by(self._lead_out(reason))
        return await self._until_ended()

    async def unreached(self, reason: str) -> Ending:
        """Nobody took the call that was to be transferred: on with the caller, as in `run`."""
        self.ended = asyncio.get_running_loop().create_future()
        self._turns = Turns(self._turns.timing)
        self._turns.agent = Agent.THINKING
        self._answer_by(self._perform(self._talk.unreached(reason)))
        return await self._until_ended()

    async def tell(self, text: str) -> None:
        """Say it to whoever hears us while the caller is being connected."""
        self._speaking, self._voicing, self._unspoken = "Transferring", None, []
        await self._say(Say(text, "Program"))
        await self._mouth.idle.wait()

    async def _until_ended(self) -> Ending:
        ticking = asyncio.create_task(self._tick())
        try:
            return await self.ended
        finally:
            ticking.cancel()
            self._drop()
            if self._answering is not None:
                self._answering.cancel()

    async def _tick(self) -> None:
        """Time passes also where a line brings no sound at all."""
        while True:
            await asyncio.sleep(0.1)
            now = time.monotonic()
            if self._typed and now - self._typed_at >= KEY_SECONDS:
                self._enter()
            self._do(self._turns.tick(now))

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
                    self._company.leave()
                    self._mouth.pause()
                case turns.Resume():
                    self._mouth.resume()
                case turns.Stop():
                    self._stop(merged=action.merged)
                case turns.Prompt():
                    self._answer_by(self._perform(self._talk.commit(self._talk.silent())))
                case turns.AskAgain():
                    self._answer_by(self._in_trouble("nobody transcribes"))

    def _transcribe(self, action: turns.Transcribe) -> None:
        attempt = self._attempt = Attempt(action.attempt, time.monotonic())
        attempt.task = asyncio.create_task(self._understand(attempt, action.since))
        self._company.keep()

    def _drop(self) -> None:
        if self._attempt is not None:
            self._attempt.drop()
            self._attempt = None
        self._company.leave()

    def _stop(self, *, merged: bool) -> None:
        if self._answering is not None:
            self._answering.cancel()
        if self._voicing is not None:
            self._voicing.drop()
        if merged:
            self._company.leave()
        unheard = self._mouth.stop()
        self._minutes.cut(unheard)
        self._goes_on = merged and self._go_back()
        if not self._goes_on:
            self._unhear(unheard)
        if not merged:
            self._record.interrupted()
        self._listen()

    async def _understand(self, attempt: Attempt, since: float) -> None:
        """Transcribe what was heard, and see what would be answered."""
        assert self._ears is not None
        try:
            transcript, judgement = await attempt.understand(
                self._ears.since(since),
                self._talk,
                self._pipeline(),
                self._made,
                over_agent=self._turns.agent in (Agent.SPEAKING, Agent.PAUSED),
            )
        except Exception as error:
            if not isinstance(error, ProviderFailed):
                _failed(error)
            self._attempt = None
            self._do(self._turns.failed(time.monotonic(), attempt.number))
            return
        text, end = transcript.text, transcript.end_of_turn
        if not turns.words_of(text):
            self._attempt = None
        self._do(self._turns.transcribed(time.monotonic(), attempt.number, text, judgement, end))
        answered = self._turns.is_open or self._turns.agent is Agent.THINKING
        if self._attempt is attempt and not answered:
            # Only a sign that the caller listens: nobody waits for an answer to it.
            self._attempt = None
            if attempt.voicing is not None:
                attempt.voicing.drop()
        if self._attempt is None and self._turns.agent is Agent.SILENT:
            self._company.leave()

    # --- answers -----------------------------------------------------------------------------

    def _answer_by(
        self, answering: Coroutine[Any, Any, None], speaking: CallState = "Responding"
    ) -> None:
        self._speaking = speaking
        self._before, self._voicing, self._unspoken = None, None, []
        self._answering = asyncio.create_task(self._answered(answering))

    async def _answered(self, answering: Coroutine[Any, Any, None]) -> None:
        """Do it, and say so when all of it has been played."""
        try:
            await answering
            if self._unspoken and not self.ended.done():
                # It has not been said: so nothing follows from it, where that can still be.
                if not self._go_back():
                    self._unhear(self._unspoken)
                await self._in_trouble("no voice speaks")
        except Exception as error:
            _failed(error)
            await self._in_trouble("answering fails")
        await self._mouth.idle.wait()
        if self._attempt is None:
            self._company.leave()
        self._turns.finished(time.monotonic())
        self._listen()

    async def _answer(self, text: str, turn: Turn | None = None) -> None:
        """To what was heard, or by a turn that is known."""
        attempt, self._attempt = self._attempt, None
        self._record.state("Processing")
        self._minutes.heard(text, self._talk.state.phase, attempt, goes_on=self._goes_on)
        self._goes_on = False
        self._before = Before.of(self._talk)
        if attempt and attempt.state is self._talk.state:
            turn = attempt.turn
        elif turn is None:
            # The agent was interrupted since: what it said before was not all heard.
            turn = self._talk.consider(text)
        self._voicing = attempt.voicing if attempt else None
        if turn is not None:
            await self._perform(self._talk.commit(turn))
        else:
            await self._ask(text)
        if not self._unspoken:
            self._trouble = 0

    async def _ask(self, text: str) -> None:
        """Have the model answer, behind an acknowledgement."""
        asked = time.monotonic()
        async with asyncio.timeout(ANSWER_SECONDS):
            async for act in self._talk.ask(text):
                if not (isinstance(act, Say) and act.filler):
                    self._minutes.thought(asked)
                await self._perform([act])

    async def _perform(self, acts: Sequence[Act]) -> None:
        self._record.progress(self._talk.outcome)
        for act in acts:
            if isinstance(act, Say):
                await self._say(act)
                continue
            transfer = isinstance(act, Transfer)
            if self._unspoken:
                await self._say_made(phrases.CONNECTING if transfer else phrases.GOODBYE)
            await self._mouth.idle.wait()
            if isinstance(act, Transfer):
                self._end(Ending("Transfer", act.reason, act.number))
            else:
                self._end(Ending("End", act.reason))

    async def _say(self, say: Say) -> None:
        """Where no voice speaks it, nothing after it is spoken either: the words are noted."""
        utterance = Utterance(say.text, answer=not say.filler)
        self._note(utterance, say.origin)
        if not self._unspoken:
            if self._voicing is None:
                self._voicing = Voicing(self._made, self._pipeline().speaker)
            try:
                await self._mouth.say(utterance, self._voicing.sound(say.text))
            except ProviderFailed:
                log.error("no voice speaks", extra={"action": "VoiceFailed"})
                await self._mouth.idle.wait()
            else:
                return
        self._unspoken.append(utterance)
        self._minutes.unspoken(utterance)

    def _note(self, utterance: Utterance, origin: Origin) -> None:
        self._minutes.says(utterance, origin, self._talk.state.phase)

    def _listen(self) -> None:
        taking = self._talk.state.phase == "Message"
        self._record.state("Voicemail" if taking else "Listening")

    def _go_back(self) -> bool:
        """To where the talk was before the answer; False where that cannot be."""
        return self._before is not None and self._before.restore(self._talk)

    def _unhear(self, utterances: Sequence[Utterance]) -> None:
        self._talk.unheard(" ".join(utterance.unheard for utterance in utterances))

    # --- when something is broken ----------------------------------------------------------------

    async def _in_trouble(self, reason: str) -> None:
        """Ask the caller to repeat; connect them with a person, or say goodbye, with what was made
        ahead: after a few times in a row, in an emergency, or where even that cannot be said."""
        self._trouble += 1
        urgent = self._talk.outcome.result == "Emergency"
        if self._trouble < TROUBLE_LIMIT and not urgent and await self._say_made(phrases.AGAIN):
            return
        await self._lead_out(reason)

    async def _lead_out(self, reason: str) -> None:
        await self._say_made(phrases.DEAF)
        await self._say_made(phrases.CONNECTING if self._fallback else phrases.GOODBYE)
        await self._mouth.idle.wait()
        if self._fallback:
            self._end(Ending("Transfer", reason, self._fallback))
        else:
            self._end(Ending("Failed", reason))

    async def _say_made(self, phrase: phrases.Essential) -> bool:
        """False where not even that could be made."""
        text = phrase.words(self._talk.locale)
        sound = self._made(text)
        if sound is None:
            return False
        utterance = Utterance(text, answer=True)
        self._note(utterance, "Program")
        await self._mouth.say(utterance, sound)
        return True

    def _end(self, ending: Ending) -> None:
        if not self.ended.done():
            self.ended.set_result(ending)


def _failed(error: Exception) -> None:
    """Whatever it is, the caller hears something; an error's text may hold words of the call."""
    log.error("answer failed", extra={"action": "AnswerFailed", "error": type(error).__name__})
