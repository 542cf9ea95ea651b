"""The telephone of `voicefleet call`, against sipp as the other side."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import wave
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.ports import free_port
from support.tones import loudness, tone
from voicefleet_cli.phone import BadSound, dial
from voicefleet_infra.platform import machine_address

pytestmark = pytest.mark.integration

CALLER = "+15005550006"
NUMBER = "+14155550100"
REFUSES = """<?xml version="1.0"?><scenario name="refuses"><recv request="INVITE"/>
<send retrans="500"><![CDATA[
SIP/2.0 {status}
[last_Via:]
[last_From:]
[last_To:];tag=[call_number]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send><recv request="ACK"/></scenario>
"""
SILENT = """<?xml version="1.0"?><scenario name="silent"><recv request="INVITE"/>
<pause milliseconds="60000"/></scenario>
"""


@pytest.fixture
def address() -> str:
    for program in ("baresip", "sipp"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    own = machine_address()
    if own == "127.0.0.1":
        pytest.skip("baresip does not call from loopback, and this machine has no other address")
    return own


@contextmanager
def other_side(folder: Path, address: str, *options: str) -> Iterator[str]:
    """sipp that takes calls; its SIP address."""
    port = free_port()
    process = subprocess.Popen(
        ["sipp", *options, "-i", address, "-p", str(port), "-nostdin"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _until_bound(address, port)
        yield f"sip:{NUMBER}@{address}:{port}"
    finally:
        process.kill()
        process.wait()


def _until_bound(address: str, port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket(type=socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((address, port))
            except OSError:
                return
        time.sleep(0.05)
    raise AssertionError("sipp does not listen")


def scenario(folder: Path, text: str) -> str:
    file = folder / "scenario.xml"
    file.write_text(text)
    return str(file)


def test_what_is_said_is_heard(tmp_path: Path, address: str) -> None:
    """The other side echoes: the tone comes back, and then silence until we hang up."""
    said = tone(tmp_path / "said.wav", 600, seconds=2, rate=16000)
    heard = tmp_path / "folder" / "heard.wav"
    with other_side(tmp_path, address, "-sn", "uas", "-rtp_echo") as uri:
        call = dial(uri, caller=CALLER, address=address, seconds=4, play=said, record=heard)
    assert call.answered
    assert call.ended == "hung up"
    assert call.recording == heard
    with wave.open(str(heard)) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (8000, 1, 2)
        samples = array("h", sound.readframes(sound.getnframes()))
    assert len(samples) / 8000 == pytest.approx(4, abs=0.7), "it hung up with its file"
    assert loudness(samples[4000:12000], 600, 8000) > 0.9
    assert max(map(abs, samples[-8000:])) < 200


@pytest.mark.parametrize("status", ["486 Busy Here", "404 Not Found", "603 Decline"])
def test_a_refusal_is_told_with_its_code(tmp_path: Path, address: str, status: str) -> None:
    file = scenario(tmp_path, REFUSES.format(status=status))
    with other_side(tmp_path, address, "-sf", file) as uri:
        call = dial(uri, caller=CALLER, address=address, seconds=3, record=tmp_path / "heard.wav")
    assert not call.answered
    assert call.ended == status
    assert call.recording is None


def test_nobody_answers(tmp_path: Path, address: str) -> None:
    with other_side(tmp_path, address, "-sf", scenario(tmp_path, SILENT)) as uri:
        call = dial(uri, caller=CALLER, address=address, seconds=3, ring_seconds=2)
    assert not call.answered
    assert call.ended == "no answer in 2 s"


def test_what_is_no_sound_is_not_dialled(tmp_path: Path, address: str) -> None:
    file = tmp_path / "words.txt"
    file.write_text("good morning")
    with pytest.raises(BadSound, match=r"words\.txt cannot be played"):
        dial("sip:nobody@192.0.2.1", caller=CALLER, address=address, seconds=1, play=file)
