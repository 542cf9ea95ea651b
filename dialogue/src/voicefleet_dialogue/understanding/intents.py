"""What the caller wants, by phrases; the order of the locale's list decides."""

from __future__ import annotations

from typing import Literal

from voicefleet_dialogue.locale import Locale

Intent = Literal[
    "Human", "Robot", "Repeat", "Wait", "Cancel", "Reschedule", "Message", "Hours", "Book",
    "Goodbye",
]  # fmt: skip


def find_intents(text: str, locale: Locale) -> list[Intent]:
    """All that are heard, the weightiest first; text with digits."""
    return [key for key in locale.data["intents"] if locale.matches(text, "intents", key)]


def is_question(text: str, locale: Locale) -> bool:
    """Whether the caller asks something."""
    return locale.matches(text, "question")
