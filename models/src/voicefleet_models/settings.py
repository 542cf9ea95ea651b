"""Which models are served, and how: `models.yaml` in the platform's folder; without it, our own.

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
# what `voicefleet tune` finds out
threads: {stt: 1, tts: 3, llm: 3}
endpointing: {completeMs: 250, briefMs: 350, unsureMs: 600}
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from voicefleet_api.endpointing import FILE, Endpointing

THREADS = max(1, (os.cpu_count() or 2) - 1)
"""Of ONNX Runtime and ggml. One core is left to the calls: threads that wait for one another in a
spin take many times as long where they do not all run (measured: docs/performance.md)."""


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


class Threads(_Model):
    """How many each gateway computes with."""

    stt: int = Field(default=THREADS, ge=1, le=256)
    tts: int = Field(default=THREADS, ge=1, le=256)
    llm: int = Field(default=THREADS, ge=1, le=256)


class Models(_Model):
    """The file."""

    language_model: LocalFile | RemoteFile | ProviderSettings | None = None
    voices: dict[str, Path] = Field(default_factory=dict)
    """Name -> a Piper voice's .onnx, with its .onnx.json beside it."""
    threads: Threads = Field(default_factory=Threads)
    endpointing: Endpointing | None = None
    """None: the agents' own."""

    def to_yaml(self) -> dict[str, Any]:
        """As the file has it, without what nobody has set."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)


def read(file: Path | None) -> Models:
    """The file's contents, or the default; raises OSError and ValueError."""
    if file is None:
        return Models()
    try:
        return Models.model_validate(yaml.safe_load(file.read_text()) or {})
    except (yaml.YAMLError, ValidationError) as error:
        raise ValueError(f"{file}: {error}") from None


def publish(endpointing: Endpointing | None, folder: Path) -> None:
    """Tell the agents, who see the sockets' folder, how long a silence ends a turn."""
    file = folder / FILE
    if endpointing is None:
        file.unlink(missing_ok=True)
        return
    partial = file.with_name(f".{FILE}.{os.getpid()}")
    partial.write_text(endpointing.model_dump_json(by_alias=True))
    # Clients' agents are other users than the gateway.
    partial.chmod(0o644)
    partial.replace(file)
