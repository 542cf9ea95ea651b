"""The client's qualification questions, each with the kind of answer that fits."""

from __future__ import annotations

import re
from dataclasses import dataclass

from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.professions import Profession, Question, SlotType
from voicefleet_dialogue.locale import Locale

NAME, PHONE, DATE, TIME = "name", "phone", "date", "time"
"""Keys with a meaning of their own: who it is for, and when."""


@dataclass(frozen=True, slots=True)
class Questions:
    """In the order in which they are asked."""

    items: tuple[Question, ...]
    name: str
    """Key of the person's name: a pet has one too."""
    phone: str

    def get(self, key: str) -> Question:
        """By key; raises KeyError."""
        for item in self.items:
            if item.key == key:
                return item
        raise KeyError(key)


def questions(config: AgentConfig, profession: Profession | None, locale: Locale) -> Questions:
    """The Receptionist's own, or the profession's; name and phone are always among them."""
    shipped = {question.text: question for question in (profession.questions if profession else ())}
    items: list[Question] = []
    for index, text in enumerate(config.questions):
        if text in shipped and locale.language != "en":
            continue  # in English
        own = shipped.get(text) or _guess(text, index, locale)
        if own.key not in [item.key for item in items]:
            items.append(own)
    if not any(item.slot == "Name" for item in items):
        items.append(Question(key=NAME, text=locale.say("ask_name"), slot="Name"))
    if not any(item.slot == "Phone" for item in items):
        items.append(Question(key=PHONE, text=locale.say("ask_phone"), slot="Phone"))
    return Questions(
        tuple(items),
        name=[item.key for item in items if item.slot == "Name"][-1],
        phone=next(item.key for item in items if item.slot == "Phone"),
    )


def _guess(text: str, index: int, locale: Locale) -> Question:
    """The kind of answer that a question of the client's own asks for."""
    plain = text.lower()
    for pattern, slot, *key in locale.data["question_kinds"]:
        if re.search(pattern, plain):
            return _question(key[0] if key else f"question{index + 1}", text, slot)
    return _question(f"question{index + 1}", text, "Text")


def _question(key: str, text: str, slot: SlotType) -> Question:
    # A client's question may be shorter or longer than a shipped one.
    return Question.model_construct(key=key, text=text, slot=slot, choices=(), required=True)
