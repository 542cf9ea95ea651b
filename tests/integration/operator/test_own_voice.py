"""A client's own voice: made once, with consent, heard in calls, and gone with the client."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import wave
from collections.abc import Iterator
from typing import Any

import pytest

from support.manifests import receptionist
from support.stack import Object, Stack, client, conditions, until

pytestmark = pytest.mark.integration

CLONE = {"vendor": "elevenlabs", "method": "POST", "pathRegex": r"/voices/add$"}
CONSENT = {
    "givenBy": "Ada Bright",
    "givenAt": "2026-01-31T12:00:00Z",
    "statement": "I agree that my voice answers the phone of Bright Smile.",
}


def recording(pitch: int) -> bytes:
    """Half a second of a WAV file, another one for each pitch."""
    out = io.BytesIO()
    with wave.open(out, "wb") as wav:
        wav.setparams((1, 2, 16_000, 0, "NONE", ""))
        wav.writeframes(bytes(value % (pitch + 7) for value in range(16_000)))
    return out.getvalue()


def sha256(content: bytes | str) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


@pytest.fixture
def stack(stack: Stack) -> Iterator[Stack]:
    """One in whose namespace the operator may read Secrets."""
    binding = "own-voices"
    stack.kubectl("delete", "rolebinding", binding, "--ignore-not-found")
    stack.kubectl(
        "create", "rolebinding", binding, "--clusterrole=voicefleet-client-secrets",
        "--serviceaccount=voicefleet-system:voicefleet-operator",
    )  # fmt: skip
    yield stack
    stack.kubectl("delete", "vc,rcp", "--all", "--timeout=120s")


def record(stack: Stack, name: str, pitch: int) -> bytes:
    """Write the Secret with the recording anew."""
    content = recording(pitch)
    stack.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": "default"},
            "data": {"sample.wav": base64.b64encode(content).decode()},
        }
    )
    return content


def speaking(name: str, **clone: Any) -> tuple[Object, Object]:
    """A client whose receptionist has a voice of its own, of the Secret of the same name."""
    clone = {"sampleRef": {"name": name, "key": "sample.wav"}, "consent": CONSENT, **clone}
    words = receptionist(name, greeting="Hello", voice={"clone": clone})
    return words, client(name, receptionistRef={"name": name})


def voices(stack: Stack, client_id: str) -> list[Object]:
    """The client's voices at the vendor, by the vendor's own listing."""
    key = f"sk_{stack.platform.secret('elevenlabs')}"
    listed = stack.sandbox.get(
        "/elevenlabs/v2/voices", params={"page_size": 100}, headers={"xi-api-key": key}
    ).json()
    assert not listed["has_more"]
    return [voice for voice in listed["voices"] if f"/{client_id}/" in voice["name"]]


def booked(stack: Stack, client_id: str) -> list[str]:
    """What the ledger has of the client's voices."""
    entries = [e for e in stack.ledger() if e["vendor"] == "elevenlabs"]
    return [e["kind"] for e in entries if client_id in str(e["mark"])]


def config(stack: Stack, client_id: str) -> Object:
    """What the client's agent is told."""
    file = stack.platform.path("clients", client_id, "config", "agent.json")
    made: Object = json.loads(file.read_text())
    return made


def test_made_once_with_the_consent_on_record_and_gone_with_the_client(stack: Stack) -> None:
    sample = record(stack, "ada", 1)
    stack.apply(*speaking("ada"))
    status = stack.wait("ada", "VoiceReady")["status"]
    [voice] = voices(stack, status["clientID"])
    assert status["voice"] == {
        "voiceID": voice["voice_id"],
        "sampleSHA256": sha256(sample),
        "consent": {
            "givenBy": "Ada Bright",
            "givenAt": "2026-01-31T12:00:00Z",
            "statementSHA256": sha256(CONSENT["statement"]),
        },
    }
    assert voice["description"] == "default/ada"
    stack.wait("ada", "Answering")
    stack.wait("ada", "Ready")
    event = until(
        lambda: [e for e in stack.get("events")["items"] if e["reason"] == "VoiceCloned"],
        "there is no event with the consent",
    )[0]
    for words in ("Ada Bright", sha256(sample), sha256(CONSENT["statement"])):
        assert words in event["message"]
    stack.delete("ada")
    assert voices(stack, status["clientID"]) == []
    assert booked(stack, status["clientID"]) == ["voice.cloned", "voice.deleted"]
