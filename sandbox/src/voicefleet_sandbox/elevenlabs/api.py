"""ElevenLabs' endpoints for voices (https://elevenlabs.io/docs/api-reference/voices).

As the real one it knows no idempotency keys and takes two voices of one name. A key that ends in
`_speech` has the right to text-to-speech alone, as a restricted key of a workspace may.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from voicefleet_sandbox.store import Document, Store, new_id

VENDOR = "elevenlabs"
MOST_VOICES = 30
"""Own voices of a workspace; real ones have as many as their subscription says."""
_SPEECH_KEY = "_speech"
_RATES = {"pcm_16000": 16_000, "pcm_22050": 22_050, "pcm_24000": 24_000}
_AUDIO = (b"RIFF", b"ID3", b"\xff", b"fLaC", b"OggS")
_PREMADE: Document = {
    "voice_id": "21m00Tcm4TlvDq8ikWAM", "name": "Rachel", "category": "premade",
    "description": None, "labels": {}, "samples": None, "created_at_unix": None,
}  # fmt: skip


class ElevenLabsError(Exception):
    """An error as ElevenLabs words it: `{"detail": {"status", "message"}}`."""

    def __init__(self, http_status: int, status: str, message: str) -> None:
        super().__init__(message)
        self.http_status = http_status
        self.body = json.dumps({"detail": {"status": status, "message": message}})


@dataclass(frozen=True)
class Upload:
    """A file of a form."""

    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True)
class Call:
    """A request, taken apart; `path` begins with `/v1` or `/v2`."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Mapping[str, Any]
    """Fields of the form or of the JSON object."""
    files: tuple[Upload, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Speech:
    """What is to be spoken, and how."""

    text: str
    rate: int
    """Of the 16-bit samples, in Hz."""
    voice: str
    """The hash of the voice's recording: the same hash is the same voice."""


def authenticate(key: str | None) -> tuple[str, bool]:
    """The workspace behind a key, and whether it may more than speak; raises the vendor's 401."""
    if not key:
        raise ElevenLabsError(401, "needs_authorization", "Neither authorization header received.")
    if not re.fullmatch(r"sk_\w+", key) or key == "sk_invalid":
        raise ElevenLabsError(401, "invalid_api_key", "Invalid API key")
    return key.removeprefix("sk_").removesuffix(_SPEECH_KEY), not key.endswith(_SPEECH_KEY)


def handle(store: Store, key: str | None, call: Call) -> Document | Speech:
    """Carry a request out; raises `ElevenLabsError`."""
    workspace, manages = authenticate(key)
    where = f"{call.method} {call.path}"
    if match := re.fullmatch(r"POST /v1/text-to-speech/(\w+)(?:/stream)?", where):
        return _speak(store, workspace, match[1], call)
    if not manages:
        raise ElevenLabsError(
            401, "missing_permissions",
            "The API key you used is missing the permission voices_write to execute this"
            " operation.",
        )  # fmt: skip
    if where == "POST /v1/voices/add":
        return _add(store, workspace, call)
    if where == "GET /v2/voices":
        return _list(store, workspace, call.query)
    if match := re.fullmatch(r"GET /v1/voices/(\w+)", where):
        return _get(store, workspace, match[1])
    if match := re.fullmatch(r"DELETE /v1/voices/(\w+)", where):
        return _delete(store, workspace, match[1])
    raise ElevenLabsError(404, "not_found", f"{where} is not stood in for")


def _add(store: Store, workspace: str, call: Call) -> Document:
    name, files = str(call.body.get("name", "")), call.files
    if not name or not files:
        raise ElevenLabsError(422, "invalid_request", "name and files are required")
    if len(name) > 100 or len(str(call.body.get("description", ""))) > 500:
        raise ElevenLabsError(400, "invalid_request", "name or description is too long")
    if not all(file.content.startswith(_AUDIO) or file.content[4:8] == b"ftyp" for file in files):
        raise ElevenLabsError(400, "invalid_content", "A file is not audio.")
    held = len(store.all(VENDOR, workspace, "voice"))
    if held >= MOST_VOICES:
        raise ElevenLabsError(
            400, "voice_limit_reached",
            "You have reached your maximum amount of custom voices"
            f" ({held} / {MOST_VOICES}).",
        )  # fmt: skip
    doc: Document = {
        "voice_id": new_id("", 20),
        "name": name,
        "category": "cloned",
        "description": call.body.get("description"),
        "labels": json.loads(call.body.get("labels") or "{}"),
        "samples": [
            {
                "sample_id": new_id("", 20), "file_name": file.name, "mime_type": file.media_type,
                "size_bytes": len(file.content), "hash": hashlib.sha256(file.content).hexdigest(),
            }
            for file in files
        ],
        "created_at_unix": int(store.now()),
    }  # fmt: skip
    store.put(VENDOR, workspace, "voice", doc, key="voice_id")
    _book(store, workspace, "voice.cloned", doc, is_open=True)
    return {"voice_id": doc["voice_id"], "requires_verification": False}


def _book(store: Store, workspace: str, kind: str, doc: Document, *, is_open: bool) -> None:
    """A clone costs a place in the subscription, and no money of its own."""
    mark = {"name": doc["name"], "description": doc["description"]}
    store.book(VENDOR, workspace, kind, doc["voice_id"], mark=mark, is_open=is_open)


def _list(store: Store, workspace: str, query: Mapping[str, str]) -> Document:
    """Newest first, in pages; the token is the place of the next page."""
    size, start = int(query.get("page_size", 10)), int(query.get("next_page_token") or 0)
    if not 1 <= size <= 100:
        raise ElevenLabsError(400, "invalid_request", "page_size must be between 1 and 100")
    voices = [*store.all(VENDOR, workspace, "voice"), _PREMADE]
    if category := query.get("category"):
        voices = [voice for voice in voices if voice["category"] == category]
    more = start + size < len(voices)
    return {
        "voices": voices[start : start + size],
        "has_more": more,
        "total_count": len(voices),
        "next_page_token": str(start + size) if more else None,
    }


def _get(store: Store, workspace: str, voice_id: str) -> Document:
    doc = store.get(VENDOR, workspace, "voice", voice_id)
    if doc is None:
        raise ElevenLabsError(
            404, "voice_not_found", f"A voice with voice_id {voice_id} was not found."
        )
    return doc


def _delete(store: Store, workspace: str, voice_id: str) -> Document:
    doc = _get(store, workspace, voice_id)
    store.delete(VENDOR, workspace, "voice", voice_id)
    _book(store, workspace, "voice.deleted", doc, is_open=False)
    return {"status": "ok"}


def _speak(store: Store, workspace: str, voice_id: str, call: Call) -> Speech:
    doc = _get(store, workspace, voice_id)
    if not call.body.get("text"):
        raise ElevenLabsError(422, "invalid_request", "text is required")
    output = call.query.get("output_format", "mp3_44100_128")
    if output not in _RATES:
        raise ElevenLabsError(400, "output_format_not_allowed", f"{output} is not made here")
    return Speech(str(call.body["text"]), _RATES[output], doc["samples"][0]["hash"])
