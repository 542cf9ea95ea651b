"""The language models of a run: for the agent's open questions, and to play callers."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from voicefleet_agent.providers.base import ProviderFailed
from voicefleet_agent.providers.http import Endpoint
from voicefleet_agent.providers.local import AHEAD_TIMEOUT, brief
from voicefleet_agent.providers.openai import OpenAIModel
from voicefleet_agent.reach import by_socket
from voicefleet_cli.chat import model_at
from voicefleet_cli.console import fail
from voicefleet_cli.simulate.gateways import machine
from voicefleet_dialogue.acts import LanguageModel, ModelUnavailable
from voicefleet_infra.gateways import own_gateway
from voicefleet_infra.platform import Platform
from voicefleet_infra.services import LANGUAGE
from voicefleet_infra.supervision import StartFailed
from voicefleet_models.settings import LocalFile, Models

NONE, LOCAL, SUFFIX = "none", "local", ".gguf"


def is_one(words: str) -> bool:
    """Whether a language model, or none, is named so."""
    return words in (NONE, LOCAL) or "://" in words or words.endswith(SUFFIX)


def name(words: str) -> str:
    """For the report."""
    return Path(words).name if words.endswith(SUFFIX) else words


@asynccontextmanager
async def opened(words: str, platform: Platform, who: str) -> AsyncIterator[LanguageModel | None]:
    """The model that is named so, which `who` asks; one in a file is served until the block ends.

    Ends the command where it cannot be had.
    """
    if words == NONE:
        yield None
    elif words == LOCAL:
        async with aclosing(machine(platform, LANGUAGE, who)) as endpoint:
            yield Briefed(endpoint)
    elif "://" in words:
        async with model_at(words) as model:
            yield model
    else:
        async with _served(LocalFile(path=Path(words))) as endpoint:
            yield Briefed(endpoint)


@asynccontextmanager
async def _served(file: LocalFile) -> AsyncIterator[Endpoint]:
    models = Models().model_copy(update={"language_model": file})
    with tempfile.TemporaryDirectory(prefix="voicefleet-simulate-") as work:
        folder = Path(work)
        try:
            async with (
                own_gateway(LANGUAGE, models, folder, lambda _: None) as token,
                aclosing(Endpoint(by_socket(folder, LANGUAGE), token)) as endpoint,
            ):
                yield endpoint
        except StartFailed as error:
            fail(str(error))


class Briefed:
    """A gateway's model: what its requests begin with is read before, as in a call."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        # Nobody holds a telephone: a busy machine is waited for.
        self._model = OpenAIModel(endpoint, "default", "Local", AHEAD_TIMEOUT)
        self._read = ""

    async def complete(
        self, system: str, user: str, *, schema: Mapping[str, Any] | None = None, max_tokens: int
    ) -> AsyncIterator[str]:
        """Raises ModelUnavailable."""
        if system != self._read:
            try:
                await brief(self._endpoint, system)
            except ProviderFailed as error:
                raise ModelUnavailable(str(error)) from None
            self._read = system
        async for piece in self._model.complete(system, user, schema=schema, max_tokens=max_tokens):
            yield piece
