"""LiveKit's own plugins behind our interfaces; imported only where a client has chosen one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from livekit import rtc
from livekit.agents import APIConnectOptions, APIError, stt, tts

from voicefleet_agent.audio import SAMPLE_RATE, resampled
from voicefleet_agent.providers.base import Asked, ProviderFailed, Transcript
from voicefleet_api.pipeline import SpeechToText, TextToSpeech

ONCE = APIConnectOptions(max_retry=0, timeout=1.0)
"""The chain's next provider is the second attempt."""


NO_KEY = "none"
"""Stands for a key that is not there. The plugins are not made without one, and a call must not
fail for it: the vendor refuses this, and the chain goes on."""


class PluginTranscriber:
    """A `Transcriber`."""

    def __init__(self, name: str, plugin: stt.STT[Any]) -> None:
        self.name = name
        self._plugin = plugin

    async def transcribe(self, pcm: bytes, asked: Asked | None = None) -> Transcript:
        frame = rtc.AudioFrame(pcm, SAMPLE_RATE, 1, len(pcm) // 2)
        try:
            event = await self._plugin.recognize(frame, conn_options=ONCE)
        except APIError as error:
            raise ProviderFailed(type(error).__name__) from None
        return Transcript(event.alternatives[0].text if event.alternatives else "")


class PluginSpeaker:
    """A `Speaker`."""

    def __init__(self, name: str, plugin: tts.TTS[Any]) -> None:
        self.name = name
        self._plugin = plugin

    async def speak(self, text: str) -> AsyncIterator[bytes]:
        async def pieces() -> AsyncIterator[bytes]:
            async with self._plugin.synthesize(text, conn_options=ONCE) as stream:
                async for sound in stream:
                    yield bytes(sound.frame.data)

        try:
            async for piece in resampled(pieces(), self._plugin.sample_rate):
                yield piece
        except APIError as error:
            raise ProviderFailed(type(error).__name__) from None


def deepgram(
    spec: SpeechToText, key: str, session: aiohttp.ClientSession, language: str
) -> PluginTranscriber:
    """Deepgram's pre-recorded API: a turn is sent whole, as it is to every transcriber."""
    from livekit.plugins import deepgram as plugin

    options = _given(model=spec.model, base_url=_below(spec.url, "/v1/listen"))
    made = plugin.STT(api_key=key or NO_KEY, http_session=session, language=language, **options)
    return PluginTranscriber(f"Deepgram/{made.model}", made)


def cartesia(
    spec: TextToSpeech, key: str, session: aiohttp.ClientSession, language: str
) -> PluginSpeaker:
    """Cartesia's bytes endpoint."""
    from livekit.plugins import cartesia as plugin

    options = _given(model=spec.model, voice=spec.voice, base_url=spec.url, language=language)
    made = plugin.TTS(
        api_key=key or NO_KEY, http_session=session, sample_rate=SAMPLE_RATE, **options
    )
    return PluginSpeaker(f"Cartesia/{made.model}/{spec.voice or 'default'}", made)


def elevenlabs(spec: TextToSpeech, key: str, session: aiohttp.ClientSession) -> PluginSpeaker:
    """ElevenLabs' streaming endpoint."""
    from livekit.plugins import elevenlabs as plugin

    options = _given(model=spec.model, voice_id=spec.voice, base_url=_below(spec.url, "/v1"))
    made = plugin.TTS(api_key=key or NO_KEY, http_session=session, encoding="pcm_16000", **options)
    return PluginSpeaker(f"ElevenLabs/{made.model}/{spec.voice or 'default'}", made)


def _below(url: str | None, path: str) -> str | None:
    return url.rstrip("/") + path if url else None


def _given(**options: Any) -> dict[str, Any]:
    """What the client has set; the plugin has defaults for the rest."""
    return {name: value for name, value in options.items() if value is not None}
