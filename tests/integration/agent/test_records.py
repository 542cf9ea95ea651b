"""From a call to the portal: real processes, real files, a receiver with faults."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from support.receiver import Fault, Receiver
from voicefleet_agent.records import Recorder, delivery
from voicefleet_agent.records import portal as portal_module
from voicefleet_agent.records.delivery import Delivery
from voicefleet_agent.records.portal import Unreachable
from voicefleet_agent.records.spool import Spool
from voicefleet_agent.settings import Settings
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.calls import CallRecord, TranscriptTurn

pytestmark = pytest.mark.integration

CONFIG = AgentConfig(
    client_id="vc-1", agent_name="a", livekit_url="ws://x", business_name="B", greeting="H"
)
ANSWERED: Any = SimpleNamespace(
    result="Answered", appointments=[], messages=[], slots={"name": "Ann"}, transferred_to=None
)
RATE = 8000
SECOND = bytes(2 * RATE)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("MODELS_TOKEN", "token")
    return Settings(
        config=tmp_path / "agent.json", data=tmp_path, models=tmp_path, health_host="127.0.0.1",
        health_port=0, max_call_seconds=60, drain_seconds=1,
    )  # fmt: skip


def talk(settings: Settings, words: str = "Hello") -> CallRecord:
    """A whole call."""
    recorder = Recorder(settings, CONFIG, caller="+12125550100")
    recorder.state("Greeting")
    recorder.said(TranscriptTurn(speaker="Caller", text=words, at=0.5))
    recorder.audio("caller", SECOND, RATE)
    recorder.audio("agent", SECOND, RATE)
    return recorder.finish("caller left", ANSWERED)


def portal_socket(settings: Settings) -> Path:
    return settings.data / "portal.sock"


def left(settings: Settings) -> list[str]:
    return sorted(path.name for path in settings.spool.iterdir())


CALL = """
import sys, time
from types import SimpleNamespace
from pathlib import Path
from voicefleet_agent.records import Recorder
from voicefleet_agent.settings import Settings
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.calls import TranscriptTurn
folder = Path(sys.argv[1])
settings = Settings(folder / "agent.json", folder, folder, "127.0.0.1", 0, 60, 1)
config = AgentConfig(
    client_id="vc-1", agent_name="a", livekit_url="ws://x", business_name="B", greeting="H"
)
recorder = Recorder(settings, config, caller="+12125550100")
recorder.state("Greeting")
outcome = SimpleNamespace(
    result="Answered", appointments=[], messages=[], slots={}, transferred_to=None
)
"""


def process(folder: Path, program: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", CALL + program, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


async def test_a_call_arrives_whole_and_leaves_nothing_behind(settings: Settings) -> None:
    record = talk(settings)
    worker = Delivery(settings)
    async with Receiver(portal_socket(settings)) as receiver:
        await worker.deliver()
        assert CallRecord.model_validate(receiver.calls[record.call_id]) == record
        for side in ("caller", "agent"):
            file = settings.data / f"{side}.wav"
            file.write_bytes(receiver.audio[record.call_id, side])
            with wave.open(str(file)) as sound:
                assert (sound.getframerate(), sound.getnframes()) == (RATE, RATE)
    assert left(settings) == []
    assert (worker.calls, worker.states["Greeting"]) == (1, 1)


async def test_what_happens_is_told_live(settings: Settings) -> None:
    async with Receiver(portal_socket(settings)) as receiver:
        recorder = Recorder(settings, CONFIG)
        recorder.state("Greeting")
        recorder.said(TranscriptTurn(speaker="Agent", text="Hello", at=0.1))
        recorder.finish("caller left", ANSWERED)
        await asyncio.wait_for(_until(lambda: len(receiver.events) == 3), 60)
    assert [event["sequence"] for event in receiver.events] == [0, 1, 2]
    assert receiver.events[0]["change"]["state"] == "Greeting"
    assert receiver.events[1]["turn"]["text"] == "Hello"


async def _until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.02)


async def test_without_a_receiver_calls_wait_and_go_out_in_order(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "POLL", 0.02)
    monkeypatch.setattr(delivery, "LONGEST_PAUSE", 0.1)
    records = [talk(settings, f"call {number}") for number in range(3)]
    worker = asyncio.create_task(Delivery(settings).run())
    try:
        await asyncio.sleep(0.3)
        assert not worker.done()
        async with Receiver(portal_socket(settings)) as receiver:
            receiver.faults = [500, 503, 429, 401]
            await asyncio.wait_for(_until(lambda: left(settings) == []), 60)
            assert list(receiver.calls) == [record.call_id for record in records]
            assert len(receiver.audio) == 6
    finally:
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)


@pytest.mark.parametrize("fault", ["lose reply", "slow"])
async def test_a_lost_reply_means_a_second_delivery_of_one_call(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    monkeypatch.setattr(portal_module, "_RECORD", portal_module._RECORD.__class__(total=0.3))
    record = talk(settings)
    worker = Delivery(settings)
    async with Receiver(portal_socket(settings)) as receiver:
        receiver.faults = [fault] * 2  # the HTTP client may repeat a request once by itself
        while receiver.faults:
            with pytest.raises(Unreachable):
                await worker.deliver()
            assert f"{record.call_id}.json" in left(settings)
        await worker.deliver()
        assert receiver.requests.count(("PUT", f"/v1/calls/{record.call_id}")) == 3
        assert list(receiver.calls) == [record.call_id]
    assert left(settings) == []


async def test_what_is_refused_holds_up_nobody_and_stays(settings: Settings) -> None:
    bad, good = talk(settings), talk(settings)
    worker = Delivery(settings)
    async with Receiver(portal_socket(settings)) as receiver:
        receiver.refused = {bad.call_id}
        await worker.deliver()
        assert list(receiver.calls) == [good.call_id]
        before = len(receiver.requests)
        await worker.deliver()
        assert len(receiver.requests) == before
    assert f"{bad.call_id}.json" in left(settings)


async def test_a_worker_killed_between_two_parts_delivers_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = talk(settings)
    async with Receiver(portal_socket(settings)) as receiver:

        async def killed(*_: object) -> None:
            raise asyncio.CancelledError

        with monkeypatch.context() as patch:
            patch.setattr(portal_module.Portal, "put_audio", killed)
            with pytest.raises(asyncio.CancelledError):
                await Delivery(settings).deliver()
        await Delivery(settings).deliver()
        assert len(receiver.audio) == 2
        assert list(receiver.calls) == [record.call_id]


async def test_a_call_that_is_killed_leaves_a_record_that_says_so(settings: Settings) -> None:
    call = process(
        settings.data,
        """
for number in range(100):
    recorder.said(TranscriptTurn(speaker="Caller", text=f"turn {number}", at=number))
    recorder.audio("caller", bytes(16000), 8000)
    if number == 4:
        time.sleep(0.5)
        print("on", flush=True)
    time.sleep(0.05)
""",
    )
    assert call.stdout is not None
    assert call.stdout.readline() == b"on\n", call.communicate(timeout=60)
    worker = Delivery(settings)
    async with Receiver(portal_socket(settings)) as receiver:
        await worker.deliver()
        assert receiver.calls == {}  # under way
        call.send_signal(signal.SIGKILL)
        call.communicate(timeout=60)
        await worker.deliver()
        [record] = receiver.calls.values()
        assert (record["ended"], record["success"]) == ("agent ended", False)
        assert [turn["text"] for turn in record["transcript"][:5]] == [
            f"turn {number}" for number in range(5)
        ]
        file = settings.data / "killed.wav"
        file.write_bytes(receiver.audio[record["callID"], "caller"])
        with wave.open(str(file)) as sound:
            assert sound.getnframes() >= 2 * RATE
            assert len(sound.readframes(10**9)) == 2 * sound.getnframes()
    assert left(settings) == []


async def test_killed_while_it_writes_the_record_is_whole(settings: Settings) -> None:
    """Killed in the middle of its last write: what was written before is the record."""
    call = process(
        settings.data,
        """
import voicefleet_agent.records.sentiment
recorder.said(TranscriptTurn(speaker="Agent", text="word " * 6_000_000, at=1))
recorder.finish("caller left", outcome)
print("survived")
""",
    )
    deadline = time.monotonic() + 60
    while not list(settings.spool.glob("*.json*")):  # under its own name, or another first
        assert call.poll() is None
        assert time.monotonic() < deadline
        await asyncio.sleep(0)
    call.kill()
    assert call.communicate(timeout=60)[0] == b""
    spool = Spool(settings.spool)
    [call_id] = spool.recover()
    assert spool.waiting() == [call_id]
    assert left(settings) == [f"{call_id}.json"]
    record = CallRecord.model_validate_json(spool.record(call_id).read_bytes())
    assert record.ended == "agent ended"
    assert len(record.transcript[0].text) == 30_000_000


@pytest.mark.parametrize(
    ("limit", "kept", "sound"), [(40_000, 1, 0), (0, 0, 0)], ids=["sound", "everything"]
)
async def test_a_full_disk_costs_sound_first_and_no_call(
    settings: Settings, limit: int, kept: int, sound: int
) -> None:
    """No file may grow past `limit`: the kernel refuses, as a full disk does."""
    call = process(
        settings.data,
        f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
for number in range(20):
    recorder.said(TranscriptTurn(speaker="Caller", text=f"turn {{number}}", at=number))
    recorder.audio("caller", bytes(16000), 8000)
    recorder.audio("agent", bytes(16000), 8000)
record = recorder.finish("caller left", outcome)
print(len(record.transcript))
""",
    )
    out, err = call.communicate(timeout=60)
    assert (out, call.returncode) == (b"20\n", 0), err
    async with Receiver(portal_socket(settings)) as receiver:
        await Delivery(settings).deliver()
    whole = [r for r in receiver.calls.values() if r["ended"] == "caller left"]
    assert (len(whole), len(receiver.audio)) == (kept, sound)
    assert b"Traceback" not in err


TMPFS = """
import asyncio
from voicefleet_agent.records.delivery import Delivery
from voicefleet_agent.records.spool import Spool
for number in range(3):
    recorder.audio("caller", bytes(16000), 8000)
    time.sleep(0.1)
for number in range(20):
    recorder.said(TranscriptTurn(speaker="Caller", text=f"turn {number}" + 2500 * "x", at=number))
recorder.finish("caller left", outcome)
async def deliver():
    from support.receiver import Receiver
    async with Receiver(settings.data / "portal.sock") as receiver:
        await Delivery(settings).deliver()
    print([(call["ended"], len(call["transcript"])) for call in receiver.calls.values()])
    print([path.name for path in settings.spool.iterdir()], receiver.audio)
asyncio.run(deliver())
"""


async def test_a_full_file_system_costs_sound_and_no_record(settings: Settings) -> None:
    """A tmpfs of 128 KiB, with the sound of an earlier call and, at first, of this one: both go."""
    mounted = settings.data / "mounted"
    mounted.mkdir()
    script = (
        f"mount -t tmpfs -o size=128k none {mounted} && mkdir {mounted}/spool"
        f" && head -c 30000 /dev/zero > {mounted}/spool/old.caller.wav"
        f' && exec "$0" -c "$1" {mounted}'
    )
    # Whatever goes before our packages stays before them.
    path = [each for each in (os.environ.get("PYTHONPATH"), str(Path(__file__).parents[2])) if each]
    done = await asyncio.to_thread(
        subprocess.run,
        ["unshare", "--mount", "--map-root-user", "sh", "-c", script, sys.executable, CALL + TMPFS],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path), "MODELS_TOKEN": "token"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == b"[('caller left', 20)]\n[] {}\n", done.stderr
    assert b"Traceback" not in done.stderr


async def test_what_is_corrupt_holds_up_nobody(settings: Settings) -> None:
    """Files as a bad disk leaves them: half a record, no record at all, a header of noise."""
    spool = settings.spool
    spool.mkdir()
    (spool / "torn.json").write_bytes(b'{"callID": "torn", "transc')
    (spool / "folder.json").mkdir()
    (spool / "killed.lock").touch()
    (spool / "killed.part").write_bytes(b"\xff" * 100)
    (spool / "killed.caller.wav").write_bytes(b"\xff" * 100)
    record = talk(settings)
    async with Receiver(portal_socket(settings)) as receiver:
        await Delivery(settings).deliver()
        assert list(receiver.calls) == [record.call_id]
    assert not list(spool.glob(f"{record.call_id}*"))
    assert (spool / "torn.json").exists()


async def test_logs_carry_states_and_no_words(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "voicefleet.agent")
    talk(settings, "my secret illness")
    async with Receiver(portal_socket(settings)):
        await Delivery(settings).deliver()
    told = json.dumps([record.__dict__ for record in caplog.records], default=str)
    assert "CallState" in told
    assert "illness" not in told
    assert "2125550100" not in told
