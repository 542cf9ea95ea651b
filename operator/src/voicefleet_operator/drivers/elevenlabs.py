"""ElevenLabs: voices that are made of a client's recording ("instant voice cloning").

Four endpoints (https://elevenlabs.io/docs/api-reference/voices): `POST /v1/voices/add`,
`GET /v2/voices`, `DELETE /v1/voices/{id}`, and speech, which is the agent's business. ElevenLabs
knows no idempotency keys and takes two voices of one name: a voice is named after its client and
its recording, and looked for by that name before one is made again. Its own SDK would bring a
second HTTP client along.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import aiohttp

from voicefleet_operator.drivers.errors import (
    Ambiguous,
    Gone,
    Rejected,
    Throttled,
    Unauthorized,
    VendorError,
)
from voicefleet_operator.drivers.guard import Guard
from voicefleet_operator.drivers.transport import (
    TIMEOUT,
    limits,
    network_error,
    repeated,
    retry_after,
)
from voicefleet_operator.planning.indexed import Indexed
from voicefleet_operator.planning.observed import ClonedVoice, Mark, cloned_voices, sample_mark

URL = "https://api.elevenlabs.io"
CLONE_SECONDS = 20.0
"""How long the making of a voice is waited for."""
_PAGE = 100
_NAME = re.compile(r"voicefleet/([^/]+)/([^/]+)/([0-9a-f]+)")
_GONE = frozenset({"voice_not_found", "voice_does_not_exist"})
# What the recording begins with: RFC 2361 (WAV), ISO 11172-3 and ID3 (MP3), RFC 9639 (FLAC),
# RFC 3533 (Ogg), ISO 14496-12 (M4A).
_KINDS = (
    (re.compile(rb"RIFF....WAVE", re.DOTALL), "audio/wav", "sample.wav"),
    (re.compile(rb"ID3|\xff[\xe2-\xfb]"), "audio/mpeg", "sample.mp3"),
    (re.compile(rb"fLaC"), "audio/flac", "sample.flac"),
    (re.compile(rb"OggS"), "audio/ogg", "sample.ogg"),
    (re.compile(rb"....ftyp", re.DOTALL), "audio/mp4", "sample.m4a"),
)


def kind_of(recording: bytes) -> tuple[str, str] | None:
    """Media type and file name of a recording; None where it is nothing that can be sent."""
    found = (kind[1:] for kind in _KINDS if kind[0].match(recording))
    return next(found, None)


class ElevenLabsDriver:
    """One ElevenLabs workspace, as far as one fleet is concerned."""

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str | None,
        fleet_id: str,
        guard: Guard | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        """`base_url`: the sandbox's, or None for the vendor's own."""
        self._url = f"{base_url.rstrip('/')}/elevenlabs" if base_url else URL
        self._fleet_id = fleet_id
        self._guard = guard or Guard()
        self._limits = limits(timeout)
        self._session = aiohttp.ClientSession(headers={"xi-api-key": api_key})

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    @repeated
    async def inventory(self) -> Indexed[str, ClonedVoice]:
        """All voices that carry this fleet's mark, the oldest first."""
        voices: list[dict[str, Any]] = []
        page: dict[str, str] = {"page_size": str(_PAGE), "category": "cloned"}
        while True:
            answer = await self._ask("GET", "/v2/voices", params=page)
            voices += answer["voices"]
            if not answer["has_more"]:
                break
            page["next_page_token"] = answer["next_page_token"]
        voices.sort(key=lambda voice: voice.get("created_at_unix") or 0)
        found = map(_voice, voices)
        return cloned_voices(v for v in found if v.mark and v.mark.fleet_id == self._fleet_id)

    async def clone(self, *, mark: Mark, sample: str, recording: bytes) -> ClonedVoice:
        """Make a voice; raises `Rejected`, VoiceLimitReached where the workspace is full.

        `sample`: the recording's SHA-256.
        """
        kind = kind_of(recording)
        if kind is None:
            raise Rejected("SampleNotUsable", "the recording is of no kind that can be sent")
        form = aiohttp.FormData()
        short = sample_mark(sample)
        form.add_field("name", f"voicefleet/{mark.fleet_id}/{mark.client_id}/{short}")
        form.add_field("description", f"{mark.namespace}/{mark.name}")
        form.add_field("files", recording, content_type=kind[0], filename=kind[1])
        made = await self._ask("POST", "/v1/voices/add", data=form, timeout=limits(CLONE_SECONDS))
        return ClonedVoice(made["voice_id"], short, mark)

    async def delete(self, voice_id: str) -> None:
        """Remove a voice; fine where it is gone."""
        try:
            await self._ask("DELETE", f"/v1/voices/{voice_id}")
        except Gone:
            return

    async def _ask(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """One request, guarded, with all exceptions as ours."""
        request.setdefault("timeout", self._limits)
        async with self._guard.request(writes=method != "GET") as said:
            try:
                async with self._session.request(method, self._url + path, **request) as response:
                    said.status, said.headers = response.status, response.headers
                    text = await response.text()
            except (aiohttp.ClientError, TimeoutError) as error:
                raise network_error("ElevenLabs", error) from error
        if said.status >= 400:
            raise _error(said.status, text, said.headers)
        try:
            answer: dict[str, Any] = json.loads(text)
        except ValueError:
            raise Ambiguous("ElevenLabsFailed", "ElevenLabs' answer is unreadable") from None
        return answer


def _voice(voice: Mapping[str, Any]) -> ClonedVoice:
    match = _NAME.fullmatch(voice["name"])
    if match is None:
        return ClonedVoice(voice["voice_id"], "", None)
    namespace, _, name = (voice.get("description") or "").partition("/")
    return ClonedVoice(voice["voice_id"], match[3], Mark(match[1], match[2], namespace, name))


def _error(status: int, text: str, headers: Mapping[str, str]) -> VendorError:
    """`{"detail": {"status", "message"}}`; FastAPI's own refusals have a list there."""
    try:
        detail = json.loads(text)["detail"]
    except (ValueError, KeyError, TypeError):
        detail = None
    said = detail if isinstance(detail, dict) else {}
    code, words = str(said.get("status", "")), str(said.get("message") or detail or "no reason")
    if status == 429:
        return Throttled(words, retry_after(headers))
    if status >= 500:
        return Ambiguous("ElevenLabsFailed", words)
    if status == 404 or code in _GONE:
        return Gone("VoiceMissing", words)
    if code == "voice_limit_reached":
        return Rejected(
            "VoiceLimitReached", words, hint="Delete voices there, or choose a larger subscription"
        )
    if status in (401, 403):
        return Unauthorized(
            "Unauthorized", words, hint="Check the key in the account's Secret and its rights"
        )
    return Rejected("VoiceRefused", words)
