"""Which models are served: `models.yaml` in the platform's folder; without it, our own.

languageModel:
  path: /models/another.gguf
# or
  url: https://example.com/another.gguf
  sha256: 0123…
# or any OpenAI-compatible server: what clients ask then leaves this machine
  provider: https://api.example.com
  model: another
  keyFile: /etc/voicefleet/provider-key
voices:
  piper/es_ES-davefx-medium: /models/es_ES-davefx-medium.onnx
"""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)


class LocalFile(_Model):
    """A GGUF file that is there."""

    path: Path


class RemoteFile(_Model):
    """A GGUF file that is fetched once."""

    url: str = Field(pattern="^https?://")
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class ProviderSettings(_Model):
    """An OpenAI-compatible server."""

    provider: str = Field(pattern="^https?://")
    model: str
    key_file: Path | None = None


class Models(_Model):
    """The file."""

    language_model: LocalFile | RemoteFile | ProviderSettings | None = None
    voices: dict[str, Path] = Field(default_factory=dict)
    """Name -> a Piper voice's .onnx, with its .onnx.json beside it."""


def read(file: Path | None) -> Models:
    """The file's contents, or the default; raises OSError and ValueError."""
    if file is None:
        return Models()
    try:
        return Models.model_validate(yaml.safe_load(file.read_text()) or {})
    except (yaml.YAMLError, ValidationError) as error:
        raise ValueError(f"{file}: {error}") from None
