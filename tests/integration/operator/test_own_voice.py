"""A client's own voice: made once, with consent, heard in calls, and gone with the client."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import wave
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.manifests import receptionist
from support.speech import pitch_of, speak
from support.stack import Object, Stack, client, conditions, until
from voicefleet_agent.providers.build import Providers
from voicefleet_agent.providers.chain import Resting
from voicefleet_agent.settings import Settings
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.names import OWN_VOICE, provider_secret
from voicefleet_sandbox.elevenlabs.speech import pitch

pytestmark = pytest.mark.integration

CLONE = {"vendor": "elevenlabs", "method": "POST", "pathRegex": r"/voices/add$"}
CONSENT = {
    "givenBy": "Ada Bright",
    "givenAt": "2026-01-31T12:00:00Z",
    "statement": "I agree that my voice answers the phone of Bright Smile.",
}

SENTENCE = "Thank you for calling Bright Smile, the dentists on Main Street in Springfield."


def recording(which: int) -> bytes:
    """Half a second of a WAV file, another one for each number."""
    out = io.BytesIO()
    with wave.open(out, "wb") as wav:
        wav.setparams((1, 2, 16_000, 0, "NONE", ""))
        wav.writeframes(bytes(value % (which + 7) for value in range(16_000)))
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


def record(stack: Stack, name: str, which: int) -> bytes:
    """Write the Secret with the recording anew."""
    content = recording(which)
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


def one_voice(stack: Stack, name: str) -> Object:
    """The client's voice: there is one, one was ever made, and the journal is empty."""
    status: Object = stack.client(name)["status"]
    [voice] = voices(stack, status["clientID"])
    assert voice["voice_id"] == status["voice"]["voiceID"]
    assert booked(stack, status["clientID"]) == ["voice.cloned"]
    assert status.get("operations", []) == []
    return voice


def test_killed_after_the_voice_was_made_and_before_the_reply(stack: Stack) -> None:
    rule = stack.fault("pause", **CLONE)
    record(stack, "killed", 2)
    stack.apply(*speaking("killed"))
    until(stack.held, "no request for a voice is held")
    stack.stop_operator()
    stack.sandbox.delete(f"/_sandbox/faults/{rule}")
    stack.start_operator()
    stack.wait("killed", "VoiceReady")
    stack.wait("killed", "Answering")
    one_voice(stack, "killed")


@pytest.mark.parametrize("kind", ["drop", "reset", "throttle", "error", "error-done"])
def test_a_lost_or_failed_answer_makes_no_second_voice(stack: Stack, kind: str) -> None:
    if kind == "error-done":
        stack.fault("error", done=True, **CLONE)
    else:
        stack.fault(kind, **CLONE)
    record(stack, kind, 3)
    stack.apply(*speaking(kind))
    # The vendor has no idempotency keys: what may still arrive is waited for.
    stack.wait(kind, "Answering")
    stack.wait(kind, "VoiceReady", seconds=90)
    one_voice(stack, kind)


def test_another_recording_makes_another_voice_and_then_deletes_the_first(stack: Stack) -> None:
    record(stack, "again", 4)
    stack.apply(*speaking("again"))
    first = stack.wait("again", "VoiceReady")["status"]["voice"]
    sample = record(stack, "again", 5)
    stack.kubectl("annotate", "vc", "again", "voicefleet.dev/reconcile-at=now")
    until(
        lambda: stack.client("again")["status"]["voice"]["sampleSHA256"] == sha256(sample),
        "the new recording's voice is not there",
    )
    client_id = stack.client("again")["status"]["clientID"]
    until(lambda: len(booked(stack, client_id)) == 3, "the first voice stays")
    assert booked(stack, client_id) == ["voice.cloned", "voice.cloned", "voice.deleted"]
    [voice] = voices(stack, client_id)
    assert voice["voice_id"] != first["voiceID"]


def test_a_client_answers_while_its_voice_cannot_be_made(stack: Stack) -> None:
    rule = stack.fault("error", vendor="elevenlabs", times=None)
    record(stack, "later", 6)
    stack.apply(*speaking("later"))
    stack.wait("later", "Answering")
    waiting = conditions(stack.wait("later", "VoiceReady", "False"))
    assert waiting["VoiceReady"]["reason"] == "ElevenLabsFailed"
    assert waiting["TelephonyReady"]["status"] == waiting["RuntimeReady"]["status"] == "True"
    # An edit is carried out, too.
    stack.patch("later", {"dns": {"subdomain": "much-later"}})
    until(
        lambda: "much-later" in stack.client("later")["status"]["endpoints"].get("url", ""),
        "the edit waits for the voice",
    )
    stack.sandbox.delete(f"/_sandbox/faults/{rule}")
    stack.wait("later", "VoiceReady", seconds=90)
    one_voice(stack, "later")


def test_a_missing_recording_is_named_and_waited_for(stack: Stack) -> None:
    stack.apply(*speaking("silent"))
    stack.wait("silent", "Answering")
    found = conditions(stack.wait("silent", "VoiceReady", "False"))["VoiceReady"]
    assert found["reason"] == "SampleNotUsable"
    assert "spec.voice.clone.sampleRef: there is no Secret 'silent'" in found["message"]
    record(stack, "silent", 7)
    stack.wait("silent", "VoiceReady")
    one_voice(stack, "silent")


def test_consent_withdrawn_deletes_the_voice_and_the_client_goes_on(stack: Stack) -> None:
    record(stack, "leaver", 8)
    stack.apply(*speaking("leaver"))
    client_id = stack.wait("leaver", "VoiceReady")["status"]["clientID"]
    stack.apply(receptionist("leaver", greeting="Hello"))
    until(lambda: not voices(stack, client_id), "the voice stays")
    until(lambda: "voice" not in stack.client("leaver")["status"], "the record stays")
    assert conditions(stack.wait("leaver", "Ready"))["VoiceReady"]["reason"] == "NotRequested"
    stack.wait("leaver", "Answering")


def test_a_voice_whose_client_is_gone_is_an_orphan(stack: Stack) -> None:
    record(stack, "lost", 10)
    stack.apply(*speaking("lost"))
    status = stack.wait("lost", "Ready")["status"]
    stack.stop_operator()
    for thing in ("vc/lost", f"pn/{status['clientID']}-{status['numbers'][0]['name']}"):
        stack.kubectl("delete", thing, "--wait=false")
        stack.kubectl("patch", thing, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    program = str(Path(sys.executable).with_name("voicefleet"))
    there = {**os.environ, "KUBECONFIG": str(stack.kubeconfig)}
    options: dict[str, Any] = {"env": there, "capture_output": True, "text": True}
    said = subprocess.run([program, "orphans", "-o", "json"], **options)
    assert said.returncode == 2, said.stderr
    [voice] = [found for found in json.loads(said.stdout) if found["kind"] == "Voice"]
    assert voice["id"] == status["voice"]["voiceID"]
    assert voice["owner"] == f"default/lost ({status['clientID']})"
    subprocess.run([program, "orphans", "--release", "--yes"], check=True, **options)
    assert voices(stack, status["clientID"]) == []


def environment(pid: int) -> dict[str, str]:
    """A process's environment, as it was started with."""
    pairs = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return dict(pair.decode().split("=", 1) for pair in pairs if b"=" in pair)


async def test_the_agent_speaks_with_it_by_a_key_that_can_do_nothing_else(
    stack: Stack, tmp_path: Path
) -> None:
    record(stack, "heard", 12)
    words, manifest = speaking("heard")
    manifest["spec"]["runtime"] = {"className": "process"}
    stack.apply(words, manifest)
    status = (await asyncio.to_thread(stack.wait, "heard", "Ready"))["status"]
    folder = stack.platform.path("clients")
    [file] = [f for f in folder.rglob("agent.json") if status["clientID"] in str(f)]
    config = AgentConfig.model_validate_json(file.read_text())
    own, fallback = config.pipeline.tts
    assert (own.provider, own.voice) == ("ElevenLabs", status["voice"]["voiceID"])
    assert fallback.provider == "Local"

    [unit] = [f for f in folder.rglob("unit.json") if status["clientID"] in str(f)]
    variables = environment(json.loads(unit.read_text())["pid"])
    key = variables[provider_secret(OWN_VOICE)]
    assert f"sk_{stack.platform.secret('elevenlabs')}" not in variables.values()
    refused = stack.sandbox.delete(
        f"/elevenlabs/v1/voices/{own.voice}", headers={"xi-api-key": key}
    )
    assert refused.status_code == 401

    (tmp_path / provider_secret(OWN_VOICE)).write_text(key)
    settings = replace(Settings.from_env(), secrets=tmp_path)
    providers = Providers(config.pipeline, settings, Resting())
    try:
        # Without the chain's limits: this is about what is heard, not when.
        said = [piece async for piece in providers.ahead.speak(SENTENCE)]
    finally:
        await providers.aclose()
    with wave.open(str(speak(SENTENCE, tmp_path / "plain.wav")), "rb") as wav:
        plain = pitch_of(wav.readframes(wav.getnframes()))
    own_pitch = pitch(sha256(recording(12)))
    assert own_pitch > 1.3
    assert pitch_of(b"".join(said)) / plain == pytest.approx(own_pitch, rel=0.1)
