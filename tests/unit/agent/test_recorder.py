from __future__ import annotations

import errno
import os
import wave
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from voicefleet_agent.records import Recorder, sentiment
from voicefleet_agent.records import recorder as recorder_module
from voicefleet_agent.records import spool as spool_module
from voicefleet_agent.records.spool import OpenCall, Spool
from voicefleet_agent.settings import Settings
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.calls import CallRecord, Message, StageLatencies, TranscriptTurn

pytestmark = pytest.mark.unit

CONFIG = AgentConfig(
    client_id="vc-1", agent_name="a", livekit_url="ws://x", business_name="B", greeting="H"
)
RATE = 8000


def outcome(result: str = "Answered", **changes: Any) -> Any:
    empty: dict[str, Any] = {"appointments": [], "messages": [], "slots": {}}
    return SimpleNamespace(**{"result": result, "transferred_to": None, **empty, **changes})


def turn(text: str = "Hello", **latency: float) -> TranscriptTurn:
    return TranscriptTurn(
        speaker="Caller", text=text, at=1, latency=StageLatencies(**latency) if latency else None
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "agent.json", tmp_path, tmp_path, "127.0.0.1", 0, 60, 1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Seconds since the call began."""
    now = [100.0]
    monkeypatch.setattr(recorder_module.time, "monotonic", lambda: now[0])

    def at(seconds: float) -> None:
        now[0] = 100.0 + seconds

    return at


def kept(settings: Settings, record: CallRecord) -> CallRecord:
    data = (settings.spool / f"{record.call_id}.json").read_bytes()
    return CallRecord.model_validate_json(data)


def test_the_record_says_what_was_fed(settings: Settings, clock: Callable[[float], None]) -> None:
    recorder = Recorder(settings, CONFIG, caller="+12125550100", called="+12125550199")
    recorder.state("Greeting")
    clock(1.5)
    recorder.state("Listening")
    recorder.state("Listening")
    for stt in (100, 400, 200):
        recorder.said(turn(stt=stt, total=3 * stt))
    recorder.said(turn())
    for amount in (1.5, 2.5):
        recorder.used("STT", "Local", amount, cost_minor=0.25)
    recorder.used("TTS", "Piper", 30)
    recorder.failed("STT", "Local")
    recorder.interrupted()
    clock(9)
    message = Message(text="Call me")
    told = outcome("Message", messages=[message], slots={"name": "Ann"})
    record = recorder.finish("caller left", told)
    assert record == kept(settings, record)
    assert [(c.state, c.at) for c in record.states] == [
        ("Greeting", 0), ("Listening", 1.5), ("Ended", 9)
    ]  # fmt: skip
    assert record.latency == StageLatencies(stt=200, total=600)
    uses = {(u.component, u.provider): u for u in record.providers}
    stt = uses["STT", "Local"]
    assert (stt.requests, stt.failures, stt.amount, stt.cost_minor) == (2, 1, 4, 0.5)
    assert uses["TTS", "Piper"].amount == 30
    assert (record.interruptions, record.duration_seconds) == (1, 9)
    assert (record.outcome, record.success, record.ended) == ("Message", True, "caller left")
    assert (record.messages, record.slots) == ([message], {"name": "Ann"})
    assert (record.caller, record.called) == ("+12125550100", "+12125550199")
    assert recorder.finish("again", outcome("Failed")) == record


def test_a_failed_call_is_no_success(settings: Settings) -> None:
    assert not Recorder(settings, CONFIG).finish("no speech", outcome("Failed")).success


def test_until_it_is_over_the_record_says_that_the_agent_ended(settings: Settings) -> None:
    recorder = Recorder(settings, CONFIG)
    recorder.said(turn("My name is Ann"))
    recorder.progress(outcome("Booked", slots={"name": "Ann"}))
    recorder._disk.submit(lambda: None).result(5)
    part = CallRecord.model_validate_json(
        (settings.spool / f"{recorder.call_id}.part").read_bytes()
    )
    assert (part.ended, part.success, part.outcome) == ("agent ended", False, "Booked")
    assert part.transcript[0].text == "My name is Ann"
    assert part.slots == {"name": "Ann"}
    assert Spool(settings.spool).recover() == []  # under way
    recorder.finish("caller left", outcome())


def test_both_sides_can_be_laid_side_by_side(
    settings: Settings, clock: Callable[[float], None]
) -> None:
    """A second of sound that ends at 3 s stands from 2 s to 3 s, after silence."""
    recorder = Recorder(settings, CONFIG)
    loud = b"\x01\x40" * RATE
    for ends in (3, 4, 4.05 + 1, 8):  # the third is a little late: that is jitter
        clock(ends)
        recorder.audio("agent", loud, RATE)
    recorder.finish("caller left", outcome())
    with wave.open(str(settings.spool / f"{recorder.call_id}.agent.wav")) as sound:
        frames = sound.readframes(sound.getnframes())
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (RATE, 1, 2)
    seconds = [frames[2 * RATE * n : 2 * RATE * (n + 1)] for n in range(8)]
    assert [any(second) for second in seconds] == [0, 0, 1, 1, 1, 0, 0, 1]
    assert seconds[2] == loud
    assert len(frames) == 8 * 2 * RATE


def test_small_pieces_lose_nothing(settings: Settings, clock: Callable[[float], None]) -> None:
    recorder = Recorder(settings, CONFIG)
    pieces = [bytes([number % 251, 1]) * (RATE // 50) for number in range(175)]
    for number, piece in enumerate(pieces, start=1):
        clock(number / 50)
        recorder.audio("caller", piece, RATE)
    recorder.finish("caller left", outcome())
    with wave.open(str(settings.spool / f"{recorder.call_id}.caller.wav")) as sound:
        assert sound.readframes(10**9) == b"".join(pieces)


def sounding(spool: Spool, call_id: str, size: int) -> None:
    call = OpenCall(spool, call_id)
    call.sound("caller", bytes(size), RATE, 0)
    call.complete(b"{}")


def test_the_oldest_sound_goes_first_and_no_record(tmp_path: Path) -> None:
    spool = Spool(tmp_path, audio_limit=250_000)
    for number, call_id in enumerate("abc"):
        sounding(spool, call_id, 100_000)
        os.utime(tmp_path / f"{call_id}.caller.wav", (number, number))
        os.utime(tmp_path / f"{call_id}.json", (number, number))
    spool.trim()
    assert sorted(p.name for p in tmp_path.glob("*.wav")) == ["b.caller.wav", "c.caller.wav"]
    assert spool.waiting() == ["a", "b", "c"]


def test_a_call_that_would_fill_the_spool_alone_loses_its_own_sound(tmp_path: Path) -> None:
    spool = Spool(tmp_path, audio_limit=1_500_000)
    sounding(spool, "old", 1_000_000)
    call = OpenCall(spool, "long")
    for _ in range(3):
        call.sound("caller", bytes(1_100_000), RATE, 0)
    call.complete(b"{}")
    assert list(tmp_path.glob("*.wav")) == []
    assert sorted(spool.waiting()) == ["long", "old"]


def test_records_are_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "RECORD_LIMIT", 2)
    spool = Spool(tmp_path)
    for number, call_id in enumerate("abc"):
        sounding(spool, call_id, 10)
        os.utime(tmp_path / f"{call_id}.json", (number, number))
    spool.trim()
    assert spool.waiting() == ["b", "c"]
    assert not (tmp_path / "a.caller.wav").exists()


def test_a_record_gets_the_room_of_older_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full until two calls' sound is gone."""
    spool = Spool(tmp_path)
    for call_id in "ab":
        sounding(spool, call_id, 1000)
    call = OpenCall(spool, "c")
    sync = os.fsync

    def full(descriptor: int) -> None:
        if list(tmp_path.glob("*.wav")):
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    call.complete(b'{"whole": true}')
    assert (tmp_path / "c.json").read_bytes() == b'{"whole": true}'


@pytest.mark.parametrize(
    ("said", "seemed"),
    [
        (["Great, thank you so much", "Tuesday please"], "Positive"),
        (["This is ridiculous and awful", "nobody ever calls me back!"], "Negative"),
        (["Tuesday at ten", "my number is 555 0100"], "Neutral"),
        ([], "Neutral"),
    ],
)
def test_how_the_caller_seemed(said: list[str], seemed: str) -> None:
    assert sentiment.judge(said) == seemed
