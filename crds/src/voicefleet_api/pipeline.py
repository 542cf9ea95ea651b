"""Who transcribes, thinks and speaks for a client; the first of each list, then the next."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from voicefleet_api import rules
from voicefleet_api.base import ApiModel
from voicefleet_api.meta import LocalRef

ProviderURL = Annotated[
    str,
    Field(max_length=256, pattern=r"^https?://", json_schema_extra=rules.HTTP_URL),
]
ModelName = Annotated[str, Field(min_length=1, max_length=128)]
LOCAL_HEARS = ("en",)
"""Languages that the machine's own transcribers know."""
VoiceName = Annotated[str, Field(min_length=1, max_length=128)]


class _Provider(ApiModel):
    secret_ref: LocalRef | None = Field(
        default=None,
        description="Secret with key `apiKey`, in the client's namespace.",
        json_schema_extra=rules.PROVIDER_SECRET,
    )
    url: ProviderURL | None = Field(
        default=None, description="Address, if it is not the vendor's own."
    )


class SpeechToText(_Provider):
    """A transcriber."""

    provider: Literal["Local", "Deepgram"] = Field(description="Local: the machine's own.")
    model: ModelName | None = Field(
        default=None, description="For example nova-3. Of Local: moonshine (default) or whisper."
    )


class LanguageModel(_Provider):
    """What open questions are asked of."""

    provider: Literal["Local", "OpenAI"] = Field(
        description="OpenAI: any server that speaks its protocol, such as Ollama (with url)."
    )
    model: ModelName | None = Field(default=None, description="For example gpt-4.1-mini.")


class TextToSpeech(_Provider):
    """A voice."""

    provider: Literal["Local", "Cartesia", "ElevenLabs"] = Field(
        description="Local: the machine's own."
    )
    model: ModelName | None = Field(default=None, description="For example sonic-3.")
    voice: VoiceName | None = Field(default=None, description="Name or id of the voice.")


class Pipeline(ApiModel):
    """Providers in order: the first answers, the next where it fails."""

    stt: list[SpeechToText] = Field(
        default_factory=lambda: [SpeechToText(provider="Local")],
        min_length=1,
        max_length=4,
        description="Speech to text.",
    )
    llm: list[LanguageModel] = Field(
        default_factory=lambda: [LanguageModel(provider="Local")],
        min_length=1,
        max_length=4,
        description="Language model.",
    )
    tts: list[TextToSpeech] = Field(
        default_factory=lambda: [TextToSpeech(provider="Local")],
        min_length=1,
        max_length=4,
        description="Text to speech.",
    )
