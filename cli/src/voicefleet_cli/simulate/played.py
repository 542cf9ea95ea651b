"""A caller that a language model plays, from goal, manner and what it knows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from rapidfuzz import fuzz

from voicefleet_api import professions
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_cli.simulate.caller import Script, defaults
from voicefleet_cli.simulate.judge import ALIKE
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
"""
_FIRST = "Tell the business what you want"
_ANSWER = "Answer the business"
_LEAVE = ', or, if you have all that you want, say "{bye}"'
_HOW = "\nOne short sentence of {language}, in the first person.\nCaller:"
_LANGUAGES = {"en": ("English", "Goodbye."), "es": ("Spanish", "Adiós.")}
_PERSONAL = ("Name", "Phone", "Email", "Address")
"""Kinds of answer that a model would invent, a telephone number of five digits for one."""
_SITUATIONS = {"time": "When?", "day": "On which day?", "message": "What is the message?"}
_ENDS = {"more", "offerMessage", "emergency"}
"""Situations in which a caller may have all that they want; earlier, small models leave at once."""
_TOKENS = 60
_REMEMBERED = 8
"""Lines of the talk that the model is shown."""
_TURNS = 20
_ECHO_WORDS = 4


class Played:
    """A `Caller`: it hangs up after its goodbye, and loses patience as a script does.

    Where the model only gives back what the business has said, the caller says what the scenario
    has.
    """

    def __init__(self, scenario: Scenario, config: AgentConfig, model: LanguageModel) -> None:
        self._locale = locales.load(config.locale)
        self._language, self._bye = _LANGUAGES[self._locale.language]
        self._script = Script(scenario, config)
        self._system = _PART.format(
            manner=re.sub(r"(?<=[a-z])(?=[A-Z])", " ", scenario.manner).lower(),
            goal=scenario.goal,
            known="\n".join(_known(scenario, config, self._locale)),
        )
        self._model = model
        self._talk: list[str] = []
        self._gone = False

    @property
    def lines(self) -> Iterable[str]:
        return ()

    async def answer(self, said: str) -> str | None:
        scripted = await self._script.answer(said)
        if self._gone or scripted is None or len(self._talk) >= 2 * _TURNS:
            return None
        task = _ANSWER if self._talk else _FIRST
        if _ENDS & {*self._script.asked}:
            task += _LEAVE.format(bye=self._bye)
        self._talk.append(f"Business: {said}")
        asked = "\n".join(self._talk[-_REMEMBERED:])
        asked += f"\n\n{task}.{_HOW.format(language=self._language)}"
        pieces = self._model.complete(self._system, asked, max_tokens=_TOKENS)
        first = "".join([piece async for piece in pieces]).strip().partition("\n")[0]
        # Small models write on, for both sides.
        words = re.sub(r"^(?:You|Caller): *", "", first).partition("Business:")[0].strip(' "')
        if not words or _echoes(words, said):
            words = scripted
        self._gone = self._locale.matches(even(words, self._locale), "leaving")
        self._talk.append(f"Caller: {words}")
        return words


def _echoes(words: str, said: str) -> bool:
    return len(words.split()) >= _ECHO_WORDS and fuzz.partial_ratio(words, said) >= ALIKE


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
