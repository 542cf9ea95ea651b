"""A caller that a language model plays, from goal, manner and what it knows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from voicefleet_api import professions
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_cli.simulate.caller import defaults
from voicefleet_cli.simulate.scenario import PAUSE, Scenario
from voicefleet_dialogue import locale as locales
from voicefleet_dialogue.acts import LanguageModel
from voicefleet_dialogue.locale import Locale
from voicefleet_dialogue.questions import questions
from voicefleet_dialogue.understanding.text import even

_PART = """\
You are a caller on the telephone. You are not the business.
How you are: {manner}.
What you want: {goal}
What you say if you are asked:
{known}
First say what you want. Then answer what the business has just asked, in one short sentence of \
{language} in the first person, and nothing else. Ask for each thing that you want. When you have \
all of it, or cannot have it, say: {bye}
"""
_LANGUAGES = {"en": ("English", "Goodbye."), "es": ("Spanish", "Adiós.")}
_PERSONAL = ("Name", "Phone", "Email", "Address")
"""Kinds of answer that a model would invent, a telephone number of five digits for one."""
_SITUATIONS = {"time": "When?", "day": "On which day?", "message": "What is the message?"}
_TOKENS = 60
_REMEMBERED = 8
"""Lines of the talk that the model is shown."""
_TURNS = 20


class Played:
    """A `Caller`: it says goodbye when it has what it wants, and hangs up."""

    def __init__(self, scenario: Scenario, config: AgentConfig, model: LanguageModel) -> None:
        self._locale = locales.load(config.locale)
        language, bye = _LANGUAGES[self._locale.language]
        self._system = _PART.format(
            manner=re.sub(r"(?<=[a-z])(?=[A-Z])", " ", scenario.manner).lower(),
            goal=scenario.goal,
            known="\n".join(_known(scenario, config, self._locale)),
            language=language,
            bye=bye,
        )
        self._model = model
        self._patience = scenario.patience
        self._talk: list[str] = []
        self._said: list[str] = []

    @property
    def lines(self) -> Iterable[str]:
        return ()

    async def answer(self, said: str) -> str | None:
        if self._finished():
            return None
        self._talk.append(f"Business: {said}")
        asked = "\n".join([*self._talk[-_REMEMBERED:], "You:"])
        pieces = self._model.complete(self._system, asked, max_tokens=_TOKENS)
        first = "".join([piece async for piece in pieces]).strip().partition("\n")[0]
        # Small models write on, for both sides.
        words = re.sub(r"^(?:You|Caller): *", "", first).partition("Business:")[0].strip(' "')
        self._talk.append(f"You: {words}")
        self._said.append(words)
        return words

    def _finished(self) -> bool:
        """It has said goodbye, the same over and over again, or enough."""
        last = self._said[-self._patience :]
        return bool(last) and (
            self._locale.matches(even(last[-1], self._locale), "leaving")
            or (len(last) == self._patience and len(set(last)) == 1)
            or len(self._said) >= _TURNS
        )


def _known(scenario: Scenario, config: AgentConfig, locale: Locale) -> Iterator[str]:
    """Questions, each with the caller's answer."""
    own, usual = scenario.answers, defaults(locale.language)
    profession = professions.load(config.profession) if config.profession else None
    for question in questions(config, profession, locale).items:
        words = own.get(question.key) or own.get(question.slot)
        if words is None and question.slot in _PERSONAL:
            words = (usual[question.slot],)
        if words:
            yield f"{question.text} {PAUSE.sub('', words[0])}"
    for situation, asked in _SITUATIONS.items():
        if words := own.get(situation):
            yield f"{asked} {PAUSE.sub('', words[0])}"
