"""What is asked of the language model: which of our meanings was meant, and open questions.

Both kinds of request begin with the same words: a model that runs here reads them once a call,
before the first is asked.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from voicefleet_dialogue import sentences
from voicefleet_dialogue.acts import LanguageModel, ModelUnavailable
from voicefleet_dialogue.frame import Frame
from voicefleet_dialogue.guard import Guard
from voicefleet_dialogue.state import State
from voicefleet_dialogue.understanding.intents import is_question
from voicefleet_dialogue.understanding.text import even

_MEANING_TOKENS = 60
_ANSWER_TOKENS = 120
_MOST_SENTENCES = 3


def briefing(frame: Frame) -> str:
    """What every request begins with: who asks, the client's facts, the two tasks."""
    return "\n".join(
        [
            frame.config.prompt,
            "Facts:",
            *_told(frame),
            "You get one of two tasks.",
            "LABEL: choose the label with the same meaning as what the caller said; "
            "question: the caller asks for information; unclear: none fits.",
            "ANSWER: answer the caller in one or two short sentences, only from the facts above. "
            "If they do not hold the answer, say that you do not know.",
        ]
    )


def _told(frame: Frame) -> list[str]:
    facts = [f"{fact.topic}: {fact.text}" for fact in frame.config.facts]
    return [*facts, frame.knowledge.spoken_hours()]


async def meaning(model: LanguageModel, frame: Frame, state: State, heard: str) -> str | None:
    """The caller's words in words that grammar is sure of; None where it is an open question.

    The model chooses among what we know; what it would add to the caller's words (digits, names)
    is not taken. Raises ModelUnavailable.
    """
    choices = _choices(frame, state)
    others = ["unclear"]
    if state.phase in ("Listening", "Emergency") or is_question(
        even(heard, frame.locale), frame.locale
    ):
        others.append("question")
    schema: Mapping[str, Any] = {
        "type": "object",
        "properties": {"meaning": {"type": "string", "enum": [*choices, *others]}},
        "required": ["meaning"],
        "additionalProperties": False,
    }
    user = f"LABEL\nYou asked: {state.last}\nThe caller said: {heard}"
    pieces = model.complete(briefing(frame), user, schema=schema, max_tokens=_MEANING_TOKENS)
    text = "".join([piece async for piece in pieces])
    try:
        found = json.loads(text)["meaning"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelUnavailable("no JSON of the schema asked for") from error
    if found == "question":
        return None
    return choices.get(found, "")


def _choices(frame: Frame, state: State) -> dict[str, str]:
    """Label: the words that grammar understands."""
    canonical: dict[str, str] = frame.locale.data["canonical"]
    if state.phase in ("Listening", "Emergency"):
        return dict(canonical)
    choices = {key: canonical[key] for key in ("person", "message")}
    if state.phase == "Confirming":
        return {**choices, "yes": frame.locale.data["say"]["yes"], "no": "no"}
    if state.phase == "Asking" and state.asked:
        question = frame.question(state.asked)
        if question.slot == "Choice":
            choices |= {choice: choice for choice in question.choices}
        if question.slot == "YesNo":
            choices |= {"yes": frame.locale.data["say"]["yes"], "no": "no"}
    return choices


async def answer(model: LanguageModel, frame: Frame, heard: str) -> AsyncIterator[str]:
    """Sentences that the client's facts bear out; ends at the first that they do not."""
    guard = Guard([*_told(frame), frame.config.business_name, heard], frame.locale)
    count = 0
    pieces = model.complete(briefing(frame), f"ANSWER\n{heard}", max_tokens=_ANSWER_TOKENS)
    async for sentence in sentences.stream(pieces):
        if not guard.allows(sentence) or even(heard, frame.locale) in even(sentence, frame.locale):
            return
        yield sentence
        count += 1
        if count == _MOST_SENTENCES:
            return
