"""The caller robot: says a call's turns to whoever answers, and measures what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rapidfuzz import fuzz

from bench import corpus
from voicefleet_api import professions
from voicefleet_cli.telephone.answering import PATIENCE, until_finished
from voicefleet_cli.telephone.hearing import Heard, Utterance, judge
from voicefleet_cli.telephone.line import Line
from voicefleet_cli.telephone.sound import Samples

GREETING = 20.0
TRIES = 2
"""How often the same thing is said to an agent that asks for it again."""
LIKE = 85
"""Of 100: a sentence that is as near to a question as this is that question."""
SITUATIONS = {
    "readBack": ("Is that right?", "Is that correct?"),
    "greeting": ("How can I help you?",),
    "more": ("Is there anything else I can do?",),
    "time": (
        "What day and time would suit you?",
        "What other day or time would suit you?",
        "At what time would you like to come in?",
        "Which would you like?",
    ),
    "confirm": ("Shall I book it?",),
}
"""What every agent asks beside its profession's questions; the first is how it is told to ask."""


class Agent(Protocol):
    """What is known of the agent from its own word."""

    @property
    def tells_fillers(self) -> bool:
        """Whether `said` tells when each sound went out, and which were fillers."""
        ...

    @property
    def leads(self) -> bool:
        """Whether it decides itself what it asks, and the caller answers that."""
        ...

    async def ask(self, question: str) -> None:
        """Have an agent that does not lead ask that."""
        ...

    def speaking(self) -> bool:
        """Whether it still has something to say."""
        ...

    def said(self) -> Sequence[Utterance]:
        """All it has said so far, by the line's clock."""
        ...

    def commits(self) -> int:
        """How many turns of the caller's it has taken as ended so far."""
        ...


@dataclass(frozen=True, slots=True)
class Spoken:
    """A turn as it went."""

    turn: corpus.Turn
    start: float
    end: float
    heard: Heard
    reply: str
    """What the agent said to it, by its record."""
    moved_on: bool
    """The agent did not ask for the same again."""


class Script:
    """Which of a call's turns fits what the agent asks."""

    def __init__(self, call: corpus.Call) -> None:
        self._call = call
        self._left = list(call.turns)
        self._tries = 0
        profession = professions.load(call.client)
        self._questions = dict(SITUATIONS)
        self._questions["confirm"] += (profession.booking.confirmation.rsplit(". ", 1)[-1],)
        for question in profession.questions:
            others = self._questions.get(question.key, ())
            self._questions[question.key] = (question.text, *others)

    def asked(self, said: str) -> str | None:
        """The key of the question at the end of what the agent said; None where it is none."""
        scores = {
            key: max(
                fuzz.partial_ratio(text.lower(), said.lower()[-len(text) - 40 :]) for text in texts
            )
            for key, texts in self._questions.items()
        }
        best = max(scores, key=lambda key: scores[key])
        return best if scores[best] >= LIKE else None

    def question(self, key: str) -> str:
        """How the agent asks for it."""
        return self._questions[key][0]

    def next(self, said: str, last: corpus.Turn | None) -> corpus.Turn | None:
        """The caller's answer to that; None where it has none left, or has said it often enough."""
        key = self.asked(said)
        if last is not None and key == last.asked and key != "more":
            self._tries += 1
            return last if self._tries < TRIES else self.in_order()
        self._tries = 0
        fitting = [turn for turn in self._left if turn.asked == key]
        if not fitting:
            return self.in_order()
        self._left = self._left[self._left.index(fitting[0]) + 1 :]
        return fitting[0]

    def in_order(self) -> corpus.Turn | None:
        """The next turn, whatever was asked; None where all were said."""
        self._tries = 0
        return self._left.pop(0) if self._left else None


async def talk(line: Line, agent: Agent, call: corpus.Call, limit: int | None) -> list[Spoken]:
    """Say the call's turns (the first `limit`); returns them measured.

    Nothing is measured before the call is over, so that measuring takes no time from the agent.
    """
    script = Script(call)
    spoken: list[tuple[corpus.Turn, float, float, float, int]] = []
    await until_finished(line, agent, 0.0, GREETING)
    turn: corpus.Turn | None = None
    while not line.gone and len(spoken) < (limit or len(call.turns) * TRIES):
        # Whatever a greeting is like, it is answered with what the caller calls for.
        told = agent.leads and bool(spoken)
        turn = script.next(_last_words(agent), turn) if told else script.in_order()
        if turn is None:
            break
        if turn.asked != "greeting" and not agent.leads:
            await agent.ask(script.question(turn.asked))
        commits = agent.commits()
        start, end = await line.say(corpus.speech(turn))
        await until_finished(line, agent, end, PATIENCE)
        spoken.append((turn, start, end, line.now, agent.commits() - commits))
    _, ear = line.recordings()
    return _measured(ear, spoken, agent, script)


def _last_words(agent: Agent) -> str:
    said = agent.said()
    return said[-1].text if said else ""


def _measured(
    ear: Samples,
    spoken: Sequence[tuple[corpus.Turn, float, float, float, int]],
    agent: Agent,
    script: Script,
) -> list[Spoken]:
    made = []
    said = agent.said()
    for turn, start, end, until, commits in spoken:
        heard = judge(ear, start, end, until, said if agent.tells_fillers else ())
        reply = " ".join(u.text for u in said if end - 0.5 <= u.at < until)
        # One turn that was taken for two was cut off, however late the answer to its first half.
        cut_off = heard.cut_off or commits > 1
        again = script.asked(reply) == turn.asked and turn.asked != "more"
        heard = Heard(heard.answer, heard.first_sound, cut_off)
        made.append(Spoken(turn, start, end, heard, reply, bool(reply) and not again))
    return made
