"""What the dialogue does in answer to the caller, and what it needs from others to do it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Origin = Literal["Program", "Facts", "Model"]
"""Program: decided and worded by code; Facts: the client's own words; Model: worded by a model."""


@dataclass(frozen=True, slots=True)
class Say:
    """Words for the caller: a sentence or two."""

    text: str
    origin: Origin
    filler: bool = False
    """Said while an answer is on its way."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Connect the caller to a person; the words before it are a `Say`."""

    number: str
    """E.164, and the extension where there is one (`PersonsPhone`)."""
    reason: str


@dataclass(frozen=True, slots=True)
class End:
    """Hang up, once everything has been said."""

    reason: str


Act = Say | Transfer | End


class ModelUnavailable(Exception):
    """The language model refused, broke or took too long."""


class LanguageModel(Protocol):
    """A language model, wherever it runs."""

    def complete(
        self, system: str, user: str, *, schema: Mapping[str, Any] | None = None, max_tokens: int
    ) -> AsyncIterator[str]:
        """The answer as it comes, piece by piece; JSON of that schema where one is given.

        Raises ModelUnavailable.
        """
        ...
