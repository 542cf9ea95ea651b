"""The dialogue of a call, with the client's calendar and language model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from voicefleet_agent.live import Live
from voicefleet_agent.settings import Settings
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_dialogue.booking import Bookings
from voicefleet_dialogue.booking.bookings import now
from voicefleet_dialogue.dialogue import Dialogue
from voicefleet_dialogue.state import Saved


class _CurrentModel:
    """A `LanguageModel`: the one of the pipeline as it is now."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def complete(
        self,
        system: str,
        user: str,
        *,
        schema: Mapping[str, Any] | None = None,
        max_tokens: int,
    ) -> AsyncIterator[str]:
        model = self._live.providers.model
        return model.complete(system, user, schema=schema, max_tokens=max_tokens)


def begin(
    live: Live, settings: Settings, caller: str | None, saved: Saved | None = None
) -> Dialogue:
    """A call's, or `saved` gone on with; `caller` is E.164. It follows the configuration."""
    bookings = Bookings(settings.calendar, live.config)
    dialogue = Dialogue(
        live.config, bookings, clock=now, language_model=_CurrentModel(live), caller=caller
    )

    if saved is not None:
        dialogue.restore(saved)

    def reload(config: AgentConfig) -> None:
        bookings.reload(config)
        dialogue.reload(config)

    live.on_change = reload
    return dialogue


def preload(config: AgentConfig, settings: Settings) -> None:
    """Parse and compile what the first words of every call need, before calls are forked: 60 ms
    that a caller would otherwise ring longer. Raises OSError, and KeyError as a `Dialogue` does."""
    dialogue = Dialogue(config, Bookings(settings.calendar, config), clock=now)
    dialogue.commit(dialogue.open())
    dialogue.expects.judge(config.greeting)
    dialogue.consider(config.greeting)


def prepared(live: Live, settings: Settings) -> Iterable[str]:
    """What every call of this client may say."""
    return _any(live, settings).prepared()


def briefing(live: Live, settings: Settings) -> str:
    """What a language model is told in every call of this client."""
    return _any(live, settings).briefing()


def _any(live: Live, settings: Settings) -> Dialogue:
    return Dialogue(live.config, Bookings(settings.calendar, live.config), clock=now)
