"""From the client's `pipeline` to providers that work."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

import aiohttp

from voicefleet_agent.audio import SAMPLE_RATE
from voicefleet_agent.logs import LOGGER
from voicefleet_agent.providers import local
from voicefleet_agent.providers.base import ProviderFailed, Speaker, Transcriber
from voicefleet_agent.providers.chain import (
    Meter,
    ModelChain,
    NamedModel,
    Resting,
    SpeakerChain,
    TranscriberChain,
)
from voicefleet_agent.providers.http import Endpoint
from voicefleet_agent.providers.local import LocalSpeaker, LocalTranscriber
from voicefleet_agent.providers.openai import OpenAIModel
from voicefleet_agent.reach import Reach
from voicefleet_agent.settings import Settings
from voicefleet_api.names import provider_secret
from voicefleet_api.pipeline import LanguageModel, Pipeline, SpeechToText, TextToSpeech

log = logging.getLogger(LOGGER)

OPENAI_URL = "https://api.openai.com"
OPENAI_MODEL = "gpt-4.1-mini"


class Providers:
    """The three chains of one pipeline; made inside the event loop, to be closed."""

    def __init__(
        self,
        pipeline: Pipeline,
        settings: Settings,
        resting: Resting,
        meter: Meter | None = None,
        *,
        locale: str = "en-US",
    ) -> None:
        self.pipeline = pipeline
        self._language = locale.partition("-")[0]
        self._settings = settings
        self._endpoints: list[Endpoint] = []
        self._session: aiohttp.ClientSession | None = None
        self.transcriber = TranscriberChain([self._stt(s) for s in pipeline.stt], resting, meter)
        self.model = ModelChain([self._llm(s) for s in pipeline.llm], resting, meter)
        voices = [self._tts(s) for s in pipeline.tts]
        # Whoever a client has chosen: the machine's own come after them.
        chosen = {voice.name for voice in voices}
        last = [LocalSpeaker(self._local("tts"), v) for v in local.VOICES[self._language]]
        voices += [voice for voice in last if voice.name not in chosen]
        slow = {voice.name: local.SLOW_SECONDS for voice in voices if local.is_slow(voice.name)}
        self.speaker = SpeakerChain(voices, resting, meter, slow)
        self.ahead = self._tts(pipeline.tts[0], ahead=True)
        """The voice that is preferred, for sentences that no caller waits for."""

    async def brief(self, briefing: str) -> None:
        """Have the machine's model read what requests will begin with: seconds, the first time.

        Nothing where there is none, or where it fails: the first request is slower then.
        """
        if any(spec.provider == "Local" for spec in self.pipeline.llm):
            with contextlib.suppress(ProviderFailed):
                await local.brief(self._local("llm"), briefing)
                log.info("model briefed", extra={"action": "ModelBriefed"})

    async def warm(self) -> None:
        """Have the machine load the transcribers that it loads only for who asks: a second.

        The first caller would be asked to repeat. Nothing where that fails.
        """
        for spec in self.pipeline.stt:
            if spec.provider == "Local" and spec.model is not None:
                with contextlib.suppress(ProviderFailed):
                    await self._stt(spec).transcribe(bytes(SAMPLE_RATE // 5))

    async def aclose(self) -> None:
        """Close all connections."""
        for endpoint in self._endpoints:
            await endpoint.aclose()
        if self._session is not None:
            await self._session.close()

    def _local(self, name: str) -> Endpoint:
        token = os.environ.get("MODELS_TOKEN", "")
        return self._kept(Endpoint(self._settings.reach(name), token))

    def _kept(self, endpoint: Endpoint) -> Endpoint:
        self._endpoints.append(endpoint)
        return endpoint

    def _http(self) -> aiohttp.ClientSession:
        """One session for all plugins."""
        if self._session is None:
            self._session = aiohttp.ClientSession()
        return self._session

    def _key(self, spec: SpeechToText | LanguageModel | TextToSpeech) -> str:
        """The provider's key; empty where the client gives none, or none has come yet."""
        if spec.secret_ref is None:
            return ""
        name = provider_secret(spec.secret_ref.name)
        file: Path = self._settings.secrets / name
        return file.read_text().strip() if file.is_file() else os.environ.get(name, "")

    def _stt(self, spec: SpeechToText) -> Transcriber:
        if spec.provider == "Local":
            return LocalTranscriber(self._local("stt"), self._language, spec.model)
        from voicefleet_agent.providers import plugins

        return plugins.deepgram(spec, self._key(spec), self._http(), self._language)

    def _llm(self, spec: LanguageModel) -> NamedModel:
        if spec.provider == "Local":
            return OpenAIModel(self._local("llm"), spec.model or "default", "Local")
        endpoint = self._kept(Endpoint(Reach(spec.url or OPENAI_URL), self._key(spec)))
        model = spec.model or OPENAI_MODEL
        return OpenAIModel(endpoint, model, f"OpenAI/{model}")

    def _tts(self, spec: TextToSpeech, *, ahead: bool = False) -> Speaker:
        if spec.provider == "Local":
            voice = spec.voice or local.VOICES[self._language][0]
            return LocalSpeaker(self._local("tts"), voice, ahead=ahead)
        from voicefleet_agent.providers import plugins

        if spec.provider == "Cartesia":
            return plugins.cartesia(spec, self._key(spec), self._http(), self._language)
        return plugins.elevenlabs(spec, self._key(spec), self._http())
