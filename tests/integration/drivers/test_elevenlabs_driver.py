"""The driver of voices against the sandbox, and against lines that break."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from integration.drivers.harness import FLEET, BadServer, Sandbox, reset, saying, silent, writes
from voicefleet_operator.drivers import elevenlabs
from voicefleet_operator.drivers.elevenlabs import ElevenLabsDriver, kind_of
from voicefleet_operator.drivers.errors import (
    Ambiguous,
    Rejected,
    Throttled,
    Unauthorized,
    Unavailable,
)
from voicefleet_operator.planning.observed import ClonedVoice, Mark
from voicefleet_sandbox.elevenlabs.api import MOST_VOICES

pytestmark = pytest.mark.integration

RECORDING = b"RIFF\0\0\0\0WAVEfmt "
SAMPLE = hashlib.sha256(RECORDING).hexdigest()


def driver_at(url: str, key: str, fleet_id: str = FLEET) -> ElevenLabsDriver:
    return ElevenLabsDriver(key, base_url=url, fleet_id=fleet_id, timeout=1)


@pytest.fixture
async def driver(sandbox: Sandbox) -> AsyncIterator[ElevenLabsDriver]:
    """On a workspace of its own."""
    made = driver_at(sandbox.url, f"sk_{secrets.token_hex(8)}")
    yield made
    await made.close()


async def clone(driver: ElevenLabsDriver, mark: Mark) -> ClonedVoice:
    return await driver.clone(mark=mark, sample=SAMPLE, recording=RECORDING)


async def test_a_voice_is_found_by_its_mark_and_deleted_once(
    driver: ElevenLabsDriver, sandbox: Sandbox, mark: Mark, other_mark: Mark
) -> None:
    made = await clone(driver, mark)
    await clone(driver, other_mark)
    await clone(driver, replace(mark, fleet_id="vf-bbbbbbbb"))
    listed = await driver.inventory()
    assert len(listed) == 2
    assert listed.by(mark.owner) == [made]
    assert made == ClonedVoice(made.id, SAMPLE[:32], mark)
    await driver.delete(made.id)
    await driver.delete(made.id)
    assert (await driver.inventory()).by(mark.owner) == []
    entries = await sandbox.ledger(made.id)
    assert [e["kind"] for e in entries] == ["voice.cloned", "voice.deleted"]


async def test_all_pages_are_read(
    driver: ElevenLabsDriver, mark: Mark, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elevenlabs, "_PAGE", 2)
    made = [await clone(driver, mark) for _ in range(5)]
    assert set(await driver.inventory()) == {voice.id for voice in made}


async def test_a_full_workspace_refuses(driver: ElevenLabsDriver, mark: Mark) -> None:
    for _ in range(MOST_VOICES):
        await clone(driver, mark)
    with pytest.raises(Rejected) as refusal:
        await clone(driver, mark)
    assert refusal.value.reason == "VoiceLimitReached"
    assert "larger subscription" in refusal.value.hint


async def test_nothing_but_a_recording_is_sent(
    driver: ElevenLabsDriver, sandbox: Sandbox, mark: Mark
) -> None:
    async with sandbox.watched() as made:
        with pytest.raises(Rejected, match="no kind that can be sent"):
            await driver.clone(mark=mark, sample=SAMPLE, recording=b"a letter")
    assert writes(made) == []


@pytest.mark.parametrize("key", ["sk_invalid", "sk_shop_speech", "nonsense"])
async def test_a_key_without_the_right_is_told(sandbox: Sandbox, mark: Mark, key: str) -> None:
    driver = driver_at(sandbox.url, key)
    try:
        with pytest.raises(Unauthorized):
            await clone(driver, mark)
        with pytest.raises(Unauthorized):
            await driver.inventory()
    finally:
        await driver.close()


async def test_a_no_and_a_perhaps_are_told_apart(
    driver: ElevenLabsDriver, sandbox: Sandbox, mark: Mark
) -> None:
    await sandbox.fault("throttle", vendor="elevenlabs", retryAfter=0.2)
    with pytest.raises(Throttled) as told:
        await clone(driver, mark)
    assert told.value.retry_after == 0.2
    await asyncio.sleep(0.3)
    for kind, more in (("error", {}), ("error", {"done": True}), ("drop", {}), ("reset", {})):
        await sandbox.fault(kind, vendor="elevenlabs", **more)
        with pytest.raises(Ambiguous):
            await clone(driver, mark)
    # Done before the answer was lost, or the error was said.
    assert len(await driver.inventory()) == 2


async def test_lines_that_break(bad_server: BadServer, nobody: str, mark: Mark) -> None:
    answers = {
        await bad_server(reset): Ambiguous,
        await bad_server(silent): Ambiguous,
        await bad_server(saying("200 OK", "<html>")): Ambiguous,
        await bad_server(saying("502 Bad Gateway", "<html>")): Ambiguous,
        await bad_server(
            saying("422 Unprocessable Entity", '{"detail": [{"msg": "no"}]}')
        ): Rejected,
        nobody: Unavailable,
    }
    for url, kind in answers.items():
        driver = driver_at(url, "sk_shop")
        try:
            with pytest.raises(kind):
                await driver.delete("v1")
        finally:
            await driver.close()


@pytest.mark.parametrize(
    ("begins", "kind"),
    [
        (b"RIFF\x10\0\0\nWAVE", "audio/wav"),
        (b"ID3\4", "audio/mpeg"),
        (b"\xff\xfb\x90", "audio/mpeg"),
        (b"fLaC", "audio/flac"),
        (b"OggS", "audio/ogg"),
        (b"\0\0\0\x20ftypM4A ", "audio/mp4"),
    ],
)
def test_recordings_are_known_by_their_beginning(begins: bytes, kind: str) -> None:
    found = kind_of(begins + bytes(32))
    assert found is not None
    assert found[0] == kind
