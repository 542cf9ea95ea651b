"""Any server that speaks OpenAI's chat completions: our gateway, Ollama, vLLM, OpenAI."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp

from voicefleet_agent.providers.base import ProviderFailed
from voicefleet_agent.providers.http import TIMEOUT, Endpoint
from voicefleet_dialogue.acts import ModelUnavailable


class OpenAIModel:
    """A `LanguageModel`; `endpoint` is the address below which `/v1` lies."""

    def __init__(
        self, endpoint: Endpoint, model: str, name: str, limit: aiohttp.ClientTimeout = TIMEOUT
    ) -> None:
        self.name = name
        self._endpoint = endpoint
        self._model = model
        self._limit = limit

    async def complete(
        self,
        system: str,
        user: str,
        *,
        schema: Mapping[str, Any] | None = None,
        max_tokens: int,
    ) -> AsyncIterator[str]:
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [
                {"role": "system", "content": system},
                {"role": "user", "content": user},
            ],
            "max_tokens": max_tokens,
            "temperature": 0,
            "stream": True,
        }
        if schema is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": schema},
            }
        try:
            async with self._endpoint.post(
                "/v1/chat/completions", json=body, limit=self._limit
            ) as response:
                async for line in response.content:
                    event = line.strip()
                    if not event.startswith(b"data:"):
                        continue
                    event = event.removeprefix(b"data:").strip()
                    if event == b"[DONE]":
                        return
                    for choice in json.loads(event).get("choices", ()):
                        if text := choice.get("delta", {}).get("content"):
                            yield text
        except ProviderFailed as error:
            raise ModelUnavailable(str(error)) from None
        raise ModelUnavailable("the answer broke off")
