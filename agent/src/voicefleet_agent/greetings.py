"""The first words of a call, spoken ahead of time and kept as a file.

A call then starts with sound that already exists: no model in the worker or in the job's process,
nothing between the caller and the greeting but LiveKit.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
import wave
from pathlib import Path

from voicefleet_agent.speech import SAMPLE_RATE, VOICE

SYNTHESIS_TIMEOUT = 60.0
"""Seconds; a greeting of 500 characters takes about 5 on a busy core."""


class SpeechFailed(Exception):
    """The voice could not speak the words."""


def path_for(folder: Path, text: str) -> Path:
    """The file of these words in this voice."""
    key = hashlib.sha256(f"{VOICE}\0{SAMPLE_RATE}\0{text}".encode()).hexdigest()
    return folder / f"{key}.wav"


async def ensure(folder: Path, text: str) -> Path:
    """The greeting's file, made now if it is not there.

    Safe in several processes at once: one speaks, the others wait for its file.
    Raises SpeechFailed.
    """
    path = path_for(folder, text)
    if path.exists():
        return path
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "voicefleet_agent.speech",
        str(path),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, stderr = await asyncio.wait_for(process.communicate(text.encode()), SYNTHESIS_TIMEOUT)
    except BaseException as error:
        if process.returncode is None:
            process.kill()
            await process.wait()
        if isinstance(error, TimeoutError):
            raise SpeechFailed(f"no speech after {SYNTHESIS_TIMEOUT:.0f} s") from error
        raise
    if process.returncode != 0:
        # The last line of a traceback names the error and not the words.
        reason = (stderr.decode(errors="replace").strip().splitlines() or ["no output"])[-1]
        raise SpeechFailed(f"exit status {process.returncode}: {reason}")
    return path


def prune(folder: Path, keep: Path) -> None:
    """Remove what earlier words left behind; a job has read its file whole by then."""
    for old in folder.iterdir():
        if old.stem != keep.stem:
            old.unlink(missing_ok=True)


def load(path: Path) -> bytes:
    """The file's 16-bit mono PCM at `SAMPLE_RATE`; raises OSError or wave.Error."""
    with wave.open(str(path), "rb") as wav:
        if (wav.getframerate(), wav.getnchannels(), wav.getsampwidth()) != (SAMPLE_RATE, 1, 2):
            raise wave.Error("unexpected format")
        return wav.readframes(wav.getnframes())
