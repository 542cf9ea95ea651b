"""The machine's model gateways as LiveKit plugins: nothing but the wire (docs/architecture.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
from livekit import rtc
from livekit.agents import APIConnectionError, APIConnectOptions, llm, stt, tts, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN

STT_RATE = 16_000
TTS_RATE = 22_050
VOICE = "piper/en_US-joe-medium"
MAX_TOKENS = 60


class Gateway:
    """One of the sockets."""

    def __init__(self, socket: Path, token: str) -> None:
        self._socket = socket
        self._token = token
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """Connections are kept."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                "http://gateway",
                connector=aiohttp.UnixConnector(str(self._socket)),
                headers={"Authorization": f"Bearer {self._token}"},
                timeout=aiohttp.ClientTimeout(total=30),
            )
        return self._session


class Ear(stt.STT):
    """Speech to text, a finished piece at a time: the session splits it with its VAD."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=False, interim_results=False))
        self._gateway = gateway

    async def _recognize_impl(
        self, buffer: utils.AudioBuffer, *, language: Any = NOT_GIVEN, conn_options: Any = None
    ) -> stt.SpeechEvent:
        frame = rtc.combine_audio_frames(buffer)
        resampler = rtc.AudioResampler(frame.sample_rate, STT_RATE)
        frames = (
            [frame]
            if frame.sample_rate == STT_RATE
            else [*resampler.push(frame), *resampler.flush()]
        )
        body = b"".join(bytes(f.data) for f in frames)
        headers = {"Content-Type": f"audio/l16;rate={STT_RATE}"}
        try:
            async with self._gateway.session.post(
                "/v1/transcriptions", data=body, headers=headers
            ) as answer:
                answer.raise_for_status()
                text = (await answer.json())["text"]
        except aiohttp.ClientError as error:
            raise APIConnectionError(str(error)) from error
        alternative = stt.SpeechData(language="en", text=text)
        return stt.SpeechEvent(stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[alternative])


class Voice(tts.TTS):
    """Text to speech, a sentence at a time; sound comes while the rest is made."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=False), sample_rate=TTS_RATE, num_channels=1
        )
        self.gateway = gateway

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return _Speech(tts=self, input_text=text, conn_options=conn_options)


class _Speech(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        assert isinstance(self._tts, Voice)
        body = {"text": self._input_text, "voice": VOICE}
        try:
            async with self._tts.gateway.session.post("/v1/speech", json=body) as answer:
                answer.raise_for_status()
                output_emitter.initialize(
                    request_id=utils.shortuuid(),
                    sample_rate=TTS_RATE,
                    num_channels=1,
                    mime_type="audio/pcm",
                )
                async for chunk in answer.content.iter_any():
                    output_emitter.push(chunk)
        except aiohttp.ClientError as error:
            raise APIConnectionError(str(error)) from error


class Model(llm.LLM):
    """A language model, streamed."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__()
        self.gateway = gateway

    async def read(self, instructions: str) -> None:
        """Have the model read the beginning of all conversations, which it then remembers."""
        messages = [{"role": "system", "content": instructions}, {"role": "user", "content": "Hi"}]
        body = {"messages": messages, "max_tokens": 1}
        async with self.gateway.session.post("/v1/chat/completions", json=body) as answer:
            await answer.read()

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        **_: Any,
    ) -> llm.LLMStream:
        return _Answer(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _Answer(llm.LLMStream):
    async def _run(self) -> None:
        assert isinstance(self._llm, Model)
        messages, _ = self._chat_ctx.to_provider_format("openai")
        body = {"messages": messages, "stream": True, "max_tokens": MAX_TOKENS, "temperature": 0}
        try:
            async with self._llm.gateway.session.post("/v1/chat/completions", json=body) as answer:
                answer.raise_for_status()
                async for line in answer.content:
                    data = line.removeprefix(b"data:").strip()
                    if not line.startswith(b"data:") or data == b"[DONE]":
                        continue
                    choices = json.loads(data)["choices"]
                    if choices and (text := choices[0]["delta"].get("content")):
                        delta = llm.ChoiceDelta(role="assistant", content=text)
                        self._event_ch.send_nowait(llm.ChatChunk(id="answer", delta=delta))
        except aiohttp.ClientError as error:
            raise APIConnectionError(str(error)) from error
