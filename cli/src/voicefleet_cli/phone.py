"""A telephone: baresip, which dials one SIP address, plays a file, presses keys and records what it
hears."""

from __future__ import annotations

import re
import select
import shutil
import subprocess
import tempfile
import time
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_RATE = 8000
_SLACK_SECONDS = 5
_FIRST_KEY, _NEXT_KEY, _COMMA = 1.0, 0.5, 2.0
"""Seconds: after the answer, between two keys, and of a comma, as in a phone's memory."""
KEYS = re.compile(r"[0-9*#,]*")


class NoPhone(Exception):
    """There is no baresip on this machine; the text says how to get it."""


class BadSound(Exception):
    """A sound file that cannot be played."""


@dataclass(frozen=True)
class Call:
    """How a call went. Seconds are counted from dialling."""

    uri: str
    answered: bool
    rang_after: float | None
    answered_after: float | None
    ended: str
    """What ended it: `hung up` is ours; else the other side's words, with a SIP status."""
    recording: Path | None


def dial(
    uri: str,
    *,
    caller: str,
    address: str,
    seconds: float,
    ring_seconds: float = 20,
    play: Path | None = None,
    record: Path | None = None,
    press: str = "",
    encrypted: bool = False,
) -> Call:
    """Call `uri` from this machine's `address` as `caller` (E.164); talk at most `seconds`.

    `play` is said as soon as the call is answered; `record` gets what the caller heard (WAV,
    16 bit, 8 kHz); `press` is typed (`KEYS`) and sent as RFC 4733 says. `encrypted` sound is SRTP
    or nothing. Raises `NoPhone`, `BadSound`.
    """
    baresip = shutil.which("baresip")
    if baresip is None:
        raise NoPhone("baresip is not installed; run: apt-get install baresip")
    with tempfile.TemporaryDirectory(prefix="voicefleet-phone-") as folder:
        home = Path(folder)
        sound = _sound(home, play, seconds + _SLACK_SECONDS)
        _configure(home, caller, address, sound, encrypted=encrypted)
        command = [baresip, "-f", str(home), "-n", address, "-e", f"/dial {uri}"]
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=home,
        ) as process:
            try:
                call = _follow(process, uri, seconds, ring_seconds, _due(press))
            finally:
                process.terminate()
                try:
                    process.wait(5)
                except subprocess.TimeoutExpired:
                    process.kill()
        kept = _keep_recording(home, record) if call.answered else None
    return Call(call.uri, call.answered, call.rang_after, call.answered_after, call.ended, kept)


def _configure(
    home: Path, caller: str, address: str, sound: Path, *, encrypted: bool = False
) -> None:
    # Accounts name an encryption that must be there.
    modules = ("g711", "srtp", "aufile", "aubridge", "sndfile", "account", "menu", "stdio")
    (home / "config").write_text(
        f"sip_listen {address}:0\nsip_verify_server no\n"
        f"audio_source aufile,{sound}\n"
        "audio_player aubridge,nil\naudio_alert aubridge,nil\nrtp_timeout 60\n"
        f"net_interface {address}\nsnd_path {home}\nmodule_path {_modules()}\n"
        + "".join(f"module {name}.so\n" for name in modules)
    )
    (home / "accounts").write_text(
        f"<sip:{caller}@{address}>;regint=0;audio_codecs=PCMU/8000/1,PCMA/8000/1"
        + (";mediaenc=srtp-mand\n" if encrypted else "\n")
    )
    (home / "contacts").write_text("")


def _modules() -> Path:
    """baresip's modules: in /usr/lib, or in the folder of the machine's architecture there."""
    for pattern in ("baresip/modules", "*/baresip/modules"):
        for folder in Path("/usr/lib").glob(pattern):
            return folder
    raise NoPhone("baresip has no modules in /usr/lib; run: apt-get install baresip")


def _sound(home: Path, play: Path | None, seconds: float) -> Path:
    """What the caller says, then silence for `seconds`: baresip hangs up where its file ends.

    Silence alone where there is nothing to say. Raises `BadSound`.
    """
    sound = home / "said.wav"
    with wave.open(str(sound), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        if play is not None:
            for samples in telephone_samples(play):
                file.writeframes(samples)
        file.writeframes(bytes(2 * int(_RATE * seconds)))
    return sound


def telephone_samples(play: Path) -> Iterator[bytes]:
    """A sound file of any kind, at the telephone's rate: 8 kHz, one channel, 16 bit."""
    # Slow to load, and seldom needed.
    import av

    resampler = av.AudioResampler(format="s16", layout="mono", rate=_RATE)
    try:
        with av.open(str(play)) as container:
            for frame in container.decode(audio=0):
                for part in resampler.resample(frame):
                    yield part.to_ndarray().tobytes()
            for part in resampler.resample(None):
                yield part.to_ndarray().tobytes()
    except (av.error.FFmpegError, IndexError) as error:
        raise BadSound(f"{play} cannot be played: {error}") from error


def _due(press: str) -> list[tuple[float, bytes]]:
    """Each key and its time, in seconds from the answer."""
    at, due = _FIRST_KEY, []
    for key in press:
        if key == ",":
            at += _COMMA
        else:
            due.append((at, key.encode()))
            at += _NEXT_KEY
    return due


def _follow(
    process: subprocess.Popen[bytes],
    uri: str,
    seconds: float,
    ring_seconds: float,
    due: list[tuple[float, bytes]],
) -> Call:
    """Read what baresip says, and press what is due, until the call has ended or lasted enough."""
    started = time.monotonic()
    rang: float | None = None
    answered: float | None = None
    text = ""
    if process.stdout is None or process.stdin is None:
        raise RuntimeError("the phone has no input or output")
    while True:
        elapsed = time.monotonic() - started
        if answered is not None and elapsed - answered >= seconds:
            return Call(uri, True, rang, answered, "hung up", None)
        if answered is not None and due and elapsed - answered >= due[0][0]:
            process.stdin.write(due.pop(0)[1])
            process.stdin.flush()
        if answered is None and elapsed >= ring_seconds:
            return Call(uri, False, rang, None, f"no answer in {ring_seconds:g} s", None)
        ready, _, _ = select.select([process.stdout], [], [], 0.05)
        if ready:
            chunk = process.stdout.read1(4096).decode(errors="replace")  # type: ignore[attr-defined]
            if not chunk:
                return Call(uri, answered is not None, rang, answered, _ending(text), None)
            text += re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", chunk)
            if rang is None and re.search(r"180 Ringing|183 Session", text):
                rang = time.monotonic() - started
            if answered is None and "Call established" in text:
                answered = time.monotonic() - started
            if re.search(r"session closed|terminated \(|Call with .* terminated", text):
                return Call(uri, answered is not None, rang, answered, _ending(text), None)


def _ending(text: str) -> str:
    status = re.search(r"session closed:? (.*)|\b([3-6]\d\d [A-Z][A-Za-z ]+)", text)
    return (
        next((group.strip() for group in status.groups() if group), "ended")
        if status
        else ("ended")
    )


def _keep_recording(home: Path, record: Path | None) -> Path | None:
    """sndfile writes one file for each direction; what was decoded is what the caller heard."""
    heard = sorted(home.glob("dump-*-dec.wav"))
    if record is None or not heard:
        return None
    record.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(heard[-1], record)
    return record
