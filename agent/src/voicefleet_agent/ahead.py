"""Makes sentences ahead: by the client's own voice, or here where that does not answer."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence

from voicefleet_agent import speech
from voicefleet_agent.phrases import Phrases
from voicefleet_agent.providers import ProviderFailed, Speaker

HERE_TIMEOUT = 60.0
"""Seconds; a greeting of 500 characters takes about 5 on a busy core."""


class SpeechFailed(Exception):
    """Nobody could speak the words."""


async def speak(made: Phrases, speaker: Speaker, texts: Sequence[str]) -> None:
    """Have `texts` spoken by the client's voice and kept; raises ProviderFailed, OSError."""
    for text in texts:
        if made.find(speaker.name, text) is None:
            pcm = b"".join([piece async for piece in speaker.speak(text)])
            await asyncio.to_thread(made.keep, speaker.name, text, pcm)


async def speak_here(made: Phrases, texts: Sequence[str]) -> None:
    """Have them spoken by a process of our own.

    Safe in several processes at once: one speaks, the others wait for its files.
    Raises SpeechFailed.
    """
    if all(made.find(speech.NAME, text) is not None for text in texts):
        return
    await asyncio.to_thread(made.folder.mkdir, parents=True, exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "voicefleet_agent.speech",
        str(made.folder),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        said = json.dumps(list(texts)).encode()
        _, stderr = await asyncio.wait_for(process.communicate(said), HERE_TIMEOUT)
    except BaseException as error:
        if process.returncode is None:
            process.kill()
            await process.wait()
        if isinstance(error, TimeoutError):
            raise SpeechFailed(f"no speech after {HERE_TIMEOUT:.0f} s") from error
        raise
    if process.returncode != 0:
        # The last line of a traceback names the error and not the words.
        reason = (stderr.decode(errors="replace").strip().splitlines() or ["no output"])[-1]
        raise SpeechFailed(f"exit status {process.returncode}: {reason}")


async def speak_somehow(made: Phrases, speaker: Speaker, texts: Sequence[str], locale: str) -> None:
    """The client's voice, else our own where that speaks the language; raises SpeechFailed."""
    try:
        await speak(made, speaker, texts)
    except (ProviderFailed, OSError) as error:
        if not locale.startswith(speech.LANGUAGE):
            raise SpeechFailed(f"no voice here speaks {locale}") from error
        await speak_here(made, texts)


def find(made: Phrases, speaker: Speaker, text: str) -> bytes | None:
    """What was made ahead, in the client's voice or in ours."""
    return made.find(speaker.name, text) or made.find(speech.NAME, text)
