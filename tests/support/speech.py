"""What is said in a recording, by a local model (moonshine, tiny-en)."""

from __future__ import annotations

import wave
from pathlib import Path

from moonshine_voice import ModelArch, Transcriber, get_model_path
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
