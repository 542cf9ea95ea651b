"""One call's dialogue: the state, and what happens when an answer is really given."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.calls import BookedAppointment, Message
from voicefleet_api.professions import SlotType
from voicefleet_dialogue import (
    appointments,
    existing,
    handover,
    keys,
    model,
    policy,
    sentences,
)
from voicefleet_dialogue.acts import Act, LanguageModel, ModelUnavailable, Say, Transfer
from voicefleet_dialogue.calendar import Appointment, Calendar, Taken
from voicefleet_dialogue.expectation import Expectation, Fit
from voicefleet_dialogue.frame import frame
from voicefleet_dialogue.questions import DATE, TIME
from voicefleet_dialogue.replies import Break, reply, resumed
from voicefleet_dialogue.state import (
    Book,
    Drop,
    Effect,
    Move,
    Outcome,
    Saved,
    State,
    TakeMessage,
    Turn,
)
from voicefleet_dialogue.understanding.heard import Heard, hear

FILLER_SECONDS = 1.5
"""Silence that the caller is left in before a filler."""
MODEL_SECONDS = 4.0
"""For the model's first sentence; later it counts as unavailable."""

_WEIGHT = ("HungUp", "Answered", "Message", "Cancelled", "Rescheduled", "Booked", "Transferred",
           "Emergency")  # fmt: skip
"""What counts of several things that came of one call: the last of these."""


class Dialogue:
    """Answers are considered without consequence and take effect when committed."""

    def __init__(
        self,
        config: AgentConfig,
        calendar: Calendar,
        *,
        clock: Callable[[], datetime],
        language_model: LanguageModel | None = None,
        caller: str | None = None,
        filler_seconds: float = FILLER_SECONDS,
        model_seconds: float = MODEL_SECONDS,
    ) -> None:
        """`caller` is E.164; raises KeyError for a locale or profession that we do not have."""
        self._frame = frame(config, calendar, clock, caller)
        self._model = language_model
        self._filler_seconds = filler_seconds
        self._model_seconds = model_seconds
        self._id = str(uuid.uuid4())
        self._bookings = 0
        self.state = State()
        self.outcome = Outcome()
        self._untransferred = self.outcome.result

    @property
    def locale(self) -> str:
        """In which the talk is held."""
        return self._frame.config.locale

    def open(self) -> Turn:
        """The greeting."""
        return policy.opening(self._frame)

    @property
    def saved(self) -> Saved:
        """All that another dialogue of this client needs to go on."""
        done = self.outcome
        copy = replace(done, appointments=[*done.appointments], messages=[*done.messages])
        return Saved(self._id, self._bookings, self.state, copy, self._untransferred)

    def restore(self, saved: Saved) -> None:
        """Go on from there; what was done since it was saved is done, and said."""
        self._id, self._bookings = saved.id, saved.bookings
        self.state, self.outcome = saved.state, saved.outcome
        self._untransferred = saved.untransferred
        self._forget_unknown()
        if (turn := self._done_since()) is not None:
            self.commit(turn)

    def resume(self, after: Break) -> Turn:
        """The first words after a break."""
        return resumed(self._frame, self.state, after, self.outcome.transferred_to)

    def _done_since(self) -> Turn | None:
        """The answer to a yes that the calendar knows of, and the state does not yet."""
        known, state, find = self._frame, self.state, self._frame.calendar.get
        if state.phase != "Confirming":
            return None
        if state.task == "Book":
            return appointments.booked(known, state) if find(self._uid) else None
        stands = find(state.found[0].uid) if state.found else None
        if state.task == "Reschedule" and stands and stands.starts == state.starts:
            return existing.moved(known, state)
        if state.task == "Cancel" and stands is None:
            self._note("Cancelled", state.found[0])
            return replace(existing.cancelled(known, state), effects=())
        return None

    @property
    def _uid(self) -> str:
        """Of the next appointment: the same, whichever process books it."""
        return str(uuid.uuid5(uuid.UUID(self._id), str(self._bookings)))

    def consider(self, heard: str) -> Turn | None:
        """What program alone answers, without consequence; None: `ask` the model."""
        taken = hear(heard, self._frame)
        if not taken.words:
            return policy.silent(self._frame, self.state)
        turn = policy.decide(self._frame, self.state, taken)
        if turn is None and (
            self._model is None or not policy.is_open(self._frame, self.state, taken)
        ):
            return self._unsure(taken)
        return turn

    def _unsure(self, heard: Heard) -> Turn:
        return policy.missed(self._frame, self.state, heard)

    def press(self, typed: str) -> Turn:
        """What follows from keys of the phone, without consequence: one, or a number typed."""
        return keys.pressed(self._frame, self.state, self.expects, typed)

    def silent(self) -> Turn:
        """The caller says nothing: first, second prompt, then goodbye."""
        return policy.silent(self._frame, self.state)

    def unheard(self, text: str) -> None:
        """Of the last words, these were not heard."""
        self.state = replace(self.state, unheard=text)

    def reload(self, config: AgentConfig) -> None:
        """Go by another configuration from the next turn on."""
        old = self._frame
        self._frame = frame(config, old.calendar, old.clock, old.caller)
        self._forget_unknown()

    def _forget_unknown(self) -> None:
        """What is asked may be no question any more."""
        asked = self.state.asked
        known = {question.key for question in self._frame.questions.items}
        if asked is not None and self.state.phase == "Asking" and asked not in known:
            self.state = replace(self.state, phase="Listening", asked=None)

    def commit(self, turn: Turn) -> Sequence[Act]:
        """Make it so: the calendar, the message, the state; what is to be said and done then."""
        try:
            for effect in turn.effects:
                self._perform(effect)
        except (Taken, KeyError):
            return self.commit(appointments.taken(self._frame, self.state))
        self.state = turn.state
        self.outcome.slots = dict(turn.state.slots)
        before = self.outcome.result
        if turn.result and _WEIGHT.index(turn.result) > _WEIGHT.index(self.outcome.result):
            self.outcome.result = turn.result
        for act in turn.acts:
            if isinstance(act, Transfer):
                self.outcome.transferred_to = act.number
                # After a break the same transfer comes again.
                if before != "Transferred":
                    self._untransferred = before
        return turn.acts

    def unreached(self, reason: str) -> Sequence[Act]:
        """The last transfer, for that reason, came to nothing: what the caller is told, as done."""
        self.outcome.transferred_to = None
        if self.outcome.result == "Transferred":
            self.outcome.result = self._untransferred
        return self.commit(policy.unreached(self._frame, self.state, reason))

    def _perform(self, effect: Effect) -> None:
        calendar = self._frame.calendar
        if isinstance(effect, TakeMessage):
            self.outcome.messages.append(
                Message(
                    text=effect.text, name=effect.name, phone=effect.phone, urgent=effect.urgent
                )
            )
        elif isinstance(effect, Book):
            done = calendar.book(
                effect.kind,
                effect.starts,
                name=effect.name,
                phone=effect.phone,
                notes=effect.notes,
                uid=self._uid,
            )
            self._bookings += 1
            self._note("Booked", done)
        elif isinstance(effect, Move):
            self._note("Rescheduled", calendar.move(effect.uid, effect.starts))
        else:
            assert isinstance(effect, Drop)
            self._note("Cancelled", calendar.cancel(effect.uid))

    def _note(self, action: str, done: Appointment) -> None:
        self.outcome.appointments.append(
            BookedAppointment.model_validate(
                {
                    "uid": done.uid, "action": action, "title": done.title,
                    "starts": done.starts, "ends": done.ends, "name": done.name,
                }
            )
        )  # fmt: skip

    def handover(self, reason: str) -> str:
        """What a person is told before the caller is connected with them, for that reason."""
        return handover.summary(self._frame, self.state, reason)

    # --- with the model ------------------------------------------------------------------------

    async def ask(self, heard: str) -> AsyncIterator[Act]:
        """The answer where grammar is not sure; the state moves as the answer goes.

        An acknowledgement first. Without a model, or when it fails: asked to repeat.
        """
        turn = self.consider(heard)
        if turn is not None:
            for act in self.commit(turn):
                yield act
            return
        assert self._model is not None
        locale = self._frame.locale
        yield Say(locale.say("ack"), "Program", filler=True)
        try:
            async with asyncio.timeout(self._model_seconds):
                words = await model.meaning(self._model, self._frame, self.state, heard)
        except (ModelUnavailable, TimeoutError):
            for act in self._repeat(heard):
                yield act
            return
        if words is not None:
            taken = hear(words, self._frame) if words else hear(heard, self._frame)
            decided = policy.decide(self._frame, self.state, taken) if words else None
            for act in self.commit(decided or self._unsure(hear(heard, self._frame))):
                yield act
            return
        async for act in self._open_question(heard):
            yield act

    def _repeat(self, heard: str) -> Sequence[Act]:
        """The caller is asked to, once; then it goes on as without a model."""
        if self.state.misses:
            return self.commit(self._unsure(hear(heard, self._frame)))
        self.state = replace(self.state, misses=1)
        return [Say(self._frame.locale.say("again"), "Program")]

    async def _open_question(self, heard: str) -> AsyncIterator[Act]:
        assert self._model is not None
        answer = model.answer(self._model, self._frame, heard)
        spoken: list[str] = []
        try:
            async for sentence in self._in_time(answer):
                if isinstance(sentence, str):
                    spoken.append(sentence)
                    yield Say(sentence, "Model")
                else:
                    yield sentence
        except (ModelUnavailable, TimeoutError):
            if not spoken:
                for act in self._repeat(heard):
                    yield act
                return
        if not spoken:
            for act in self.commit(policy.unknown(self._frame, self.state)):
                yield act
            return
        question = policy.again(self._frame, self.state)
        then = reply(self.state, question, keep=self.state.phase != "Listening")
        for act in self.commit(replace(then, result="Answered")):
            yield act

    async def _in_time(self, answer: AsyncIterator[str]) -> AsyncIterator[str | Say]:
        """A filler when the first sentence takes long; raises TimeoutError when too long."""
        first = asyncio.ensure_future(anext(answer, None))
        done, _ = await asyncio.wait({first}, timeout=self._filler_seconds)
        if not done:
            yield Say(self._frame.locale.say("wait_longer"), "Program", filler=True)
        try:
            async with asyncio.timeout(self._model_seconds):
                sentence = await first
        finally:
            first.cancel()
        while sentence is not None:
            yield sentence
            async with asyncio.timeout(self._model_seconds):
                sentence = await anext(answer, None)

    # --- for the ears and the mouth ------------------------------------------------------------

    @property
    def expects(self) -> Expectation:
        """What kind of answer would end the caller's turn."""
        state, known = self.state, self._frame
        if state.phase == "Listening":
            return Expectation(None, known, wants=True)
        if state.asked and state.phase in ("Asking", "Finding", "Message", "Changing"):
            keys = {question.key for question in known.questions.items}
            if state.asked in keys:
                question = known.question(state.asked)
                return Expectation(question.slot, known, question)
        by_phase: dict[str, SlotType] = {
            "When": "Date", "Offering": "Time", "Confirming": "YesNo", "Choosing": "Date",
        }  # fmt: skip
        return Expectation(by_phase.get(state.phase), known)

    @property
    def collects_keys(self) -> bool:
        """Whether a number may be typed: keys are one answer until #, or a pause."""
        return keys.collected(self.expects)

    @property
    def likely(self) -> Sequence[str]:
        """Words and phrases that the caller's answer may hold."""
        return self.expects.likely

    def fit(self, heard: str) -> Fit:
        """Whether the words answer what was asked; where not, they may have been misheard."""
        expects = self.expects
        if expects.slot is None or expects.slot == "Text":
            known = policy.decide(self._frame, self.state, hear(heard, self._frame))
            return "No" if known is None else "Surely"
        return expects.fit(heard)

    def briefing(self) -> str:
        """What every request to the language model of this client begins with."""
        return model.briefing(self._frame)

    def prepared(self) -> Iterable[str]:
        """Sentences that are the same in every call of this client."""
        known, locale = self._frame, self._frame.locale
        yield from known.config.opening
        for question in known.questions.items:
            if question.key not in (DATE, TIME):
                yield question.text
        yield from (emergency.say for emergency in known.emergencies)
        yield from (fact.text for fact in known.config.facts)
        yield known.knowledge.spoken_hours()
        for text in (*locale.data["say"].values(), known.confirmation):
            if isinstance(text, str) and text.endswith((".", "?", "!")):
                # "Done. You are booked for {appointment}.": at least its beginning.
                whole = [text] if "{" not in text else sentences.split(text)
                yield from (piece for piece in whole if "{" not in piece)
