"""ElevenLabs' stand-in: who may do what, and that its voices can be told apart."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from support.ports import free_port
from support.speech import pitch_of
from support.stack import until
from voicefleet_sandbox.elevenlabs.speech import HIGHEST, LOWEST, pitch
from voicefleet_sandbox.server import serve

pytestmark = pytest.mark.integration

MANAGES, SPEAKS = {"xi-api-key": "sk_shop"}, {"xi-api-key": "sk_shop_speech"}
WORDS = {"text": "Thank you for calling Bright Smile, the dentists on Main Street in Springfield."}
PCM = {"output_format": "pcm_16000"}


@pytest.fixture
async def vendor() -> AsyncIterator[httpx.AsyncClient]:
    async with (
        serve() as (_, url),
        httpx.AsyncClient(base_url=f"{url}/elevenlabs", trust_env=False, timeout=60) as client,
    ):
        yield client


async def add(vendor: httpx.AsyncClient, recording: bytes, name: str = "ada") -> str:
    answer = await vendor.post(
        "/v1/voices/add",
        headers=MANAGES,
        data={"name": name},
        files={"files": ("a.flac", recording)},
    )
    assert answer.status_code == 200, answer.text
    made: str = answer.json()["voice_id"]
    return made


async def speak(vendor: httpx.AsyncClient, voice: str, **more: Any) -> httpx.Response:
    path = f"/v1/text-to-speech/{voice}/stream"
    return await vendor.post(path, params=PCM, json=WORDS, **{"headers": SPEAKS, **more})


async def test_a_voice_is_the_same_in_every_sentence_and_another_of_another_recording(
    vendor: httpx.AsyncClient,
) -> None:
    low, high = await add(vendor, b"fLaC: 5"), await add(vendor, b"fLaC: 18")
    heard = []
    for voice in (low, high, low, high):
        answer = await speak(vendor, voice)
        assert answer.headers["content-type"] == "audio/pcm"
        heard.append(pitch_of(answer.content))
    for first, again in ((heard[0], heard[2]), (heard[1], heard[3])):
        assert again == pytest.approx(first, rel=0.06)
    assert heard[1] / heard[0] > 1.3
    assert LOWEST <= pitch("00ff" * 16) <= HIGHEST


async def test_a_key_that_speaks_does_nothing_else(vendor: httpx.AsyncClient) -> None:
    voice = await add(vendor, b"fLaC")
    for method, path in (
        ("GET", "/v2/voices"),
        ("GET", f"/v1/voices/{voice}"),
        ("DELETE", f"/v1/voices/{voice}"),
        ("POST", "/v1/voices/add"),
    ):
        answer = await vendor.request(method, path, headers=SPEAKS)
        assert answer.status_code == 401
        assert answer.json()["detail"]["status"] == "missing_permissions"
    assert (await speak(vendor, voice)).status_code == 200


async def test_other_workspaces_have_other_voices(vendor: httpx.AsyncClient) -> None:
    voice = await add(vendor, b"fLaC")
    other = await speak(vendor, voice, headers={"xi-api-key": "sk_other_speech"})
    assert other.status_code == 404
    assert other.json()["detail"]["status"] == "voice_not_found"
    assert (await speak(vendor, voice, headers={})).status_code == 401


async def test_as_the_real_one_it_takes_two_of_one_name_and_no_words_for_audio(
    vendor: httpx.AsyncClient,
) -> None:
    twins = {await add(vendor, b"fLaC", "twin"), await add(vendor, b"fLaC", "twin")}
    listed = (await vendor.get("/v2/voices", headers=MANAGES)).json()
    assert twins < {voice["voice_id"] for voice in listed["voices"]}
    assert {voice["category"] for voice in listed["voices"]} == {"cloned", "premade"}
    refused = await vendor.post(
        "/v1/voices/add", headers=MANAGES, data={"name": "x"}, files={"files": ("a.mp3", b"words")}
    )
    assert (refused.status_code, refused.json()["detail"]["status"]) == (400, "invalid_content")


def test_pods_reach_speech_and_nothing_else() -> None:
    port = free_port()
    argv = [sys.executable, "-m", "voicefleet_sandbox", f"--port={port}"]
    running = subprocess.Popen([*argv, "--speech-host=127.0.0.2"])
    try:
        with httpx.Client(trust_env=False, timeout=60) as client:

            def there() -> bool:
                try:
                    return client.post(f"{outside}/x", headers=SPEAKS, json={}).status_code == 404
                except httpx.TransportError:
                    return False

            outside = f"http://127.0.0.2:{port}/elevenlabs/v1/text-to-speech"
            until(there, "speech is not served")
            inside = f"http://127.0.0.1:{port}"
            assert client.get(f"{inside}/_sandbox/ledger").status_code == 200
            for path in ("/_sandbox/ledger", "/elevenlabs/v2/voices", "/stripe/v1/customers"):
                answer = client.get(f"http://127.0.0.2:{port}{path}", headers=MANAGES)
                assert answer.status_code == 404
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == -signal.SIGTERM
    finally:
        running.kill()
        running.wait()
