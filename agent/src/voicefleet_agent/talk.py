"""The dialogue of a call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from voicefleet_agent.turns import Judgement
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_dialogue.acts import Act, End, ModelUnavailable, Say


@dataclass(frozen=True, slots=True)
class Turn:
    """What would be done."""

    acts: tuple[Act, ...]


class _Anything:
    def judge(self, heard: str) -> Judgement:
        return "Unsure"


class MessageTaker:
    """The smallest dialogue: it hears what the caller wants, thanks and says goodbye."""

    def __init__(self, config: AgentConfig) -> None:
        self._config = config
        self._silences = 0
        self.expects = _Anything()

    def open(self) -> Turn:
        return Turn((Say(self._config.greeting, "Facts"),))

    def consider(self, heard: str) -> Turn | None:
        words = "Thank you. I will pass that on. Goodbye."
        return Turn((Say(words, "Program"), End("message taken")))

    async def ask(self, heard: str) -> AsyncIterator[Say]:
        raise ModelUnavailable("not asked")
        yield

    def commit(self, turn: Turn) -> Sequence[Act]:
        return turn.acts

    def silent(self) -> Turn:
        self._silences += 1
        if self._silences > 2:
            return Turn((Say("I can't hear you. Goodbye.", "Program"), End("caller silent")))
        return Turn((Say("Hello? Are you there?", "Program"),))

    def unheard(self, text: str) -> None:
        pass

    def reload(self, config: AgentConfig) -> None:
        self._config = config

    def prepared(self) -> Sequence[str]:
        return (
            "Thank you. I will pass that on. Goodbye.",
            "Hello? Are you there?",
            "I can't hear you. Goodbye.",
        )
