"""The voices and transcribers beside the machine's first ones: real, loaded when asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import psutil
import pytest

from support.gateways import Gateways
from support.speech import says, speak

pytestmark = pytest.mark.integration
SENTENCE = "I would like to book an appointment for Thursday, please."
L16 = {"Content-Type": "audio/l16;rate=16000"}
KOKORO, WHISPER = "kokoro/jm_kumo", "whisper"


@pytest.fixture(scope="module")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateways]:
    with Gateways(tmp_path_factory.mktemp("models"), "stt", "tts") as started:
        yield started


def loaded(gateways: Gateways, name: str) -> list[str]:
    found: list[str] = gateways.client(name).get("/healthz").json()["loaded"]
    return found


def megabytes(gateways: Gateways, name: str) -> float:
    """Proportional: what is shared counts in parts."""
    return float(psutil.Process(gateways.pid(name)).memory_full_info().pss / 2**20)


def letters(text: str) -> str:
    return "".join(filter(str.isalpha, text.lower()))


def heard(gateways: Gateways, pcm: bytes, **query: str) -> str:
    answer = gateways.client("stt", "vc-one").post(
        "/v1/transcriptions", content=pcm, headers=L16, params={"endOfTurn": "false", **query}
    )
    return letters(answer.raise_for_status().json()["text"])


def spoken(gateways: Gateways, text: str, voice: str) -> bytes:
    """At 16 kHz."""
    answer = gateways.client("tts", "vc-one").post(
        "/v1/speech", json={"text": text, "voice": voice}
    )
    assert answer.raise_for_status().headers["content-type"] == "audio/l16;rate=24000;channels=1"
    resampler = av.AudioResampler(format="s16", layout="mono", rate=16_000)
    frame = av.AudioFrame.from_ndarray(
        np.frombuffer(answer.content, "<i2")[None], format="s16", layout="mono"
    )
    frame.rate = 24_000
    frames = [*resampler.resample(frame), *resampler.resample(None)]
    return b"".join(part.to_ndarray().tobytes() for part in frames)


def test_another_voice_is_loaded_when_it_is_asked_for(gateways: Gateways) -> None:
    assert not [name for name in loaded(gateways, "tts") if name.startswith("kokoro")]
    before = megabytes(gateways, "tts")
    assert says(heard(gateways, spoken(gateways, SENTENCE, KOKORO)), SENTENCE)
    print(f"the speech gateway: {before:.0f} MiB, with Kokoro {megabytes(gateways, 'tts'):.0f}")
    assert KOKORO in loaded(gateways, "tts")


def test_its_pauses_are_no_longer_than_a_speakers(gateways: Gateways) -> None:
    """The model puts a third of a second before the words, which a caller would wait for."""
    pcm = np.frombuffer(spoken(gateways, "Good morning.", KOKORO), "<i2")
    loud = np.flatnonzero(np.abs(pcm.astype(int)) > 300) / 16_000
    assert loud[0] < 0.05
    assert len(pcm) / 16_000 - loud[-1] < 0.25


def test_where_there_is_nothing_to_say_it_says_so(gateways: Gateways) -> None:
    answer = gateways.client("tts", "vc-one").post(
        "/v1/speech", json={"text": "…", "voice": KOKORO}
    )
    assert answer.status_code == 400
    assert "nothing to say" in answer.json()["error"]["message"]


def test_an_unknown_name_is_told_what_there_is(gateways: Gateways) -> None:
    answer = gateways.client("tts", "vc-one").post(
        "/v1/speech", json={"text": "Hello.", "voice": "kokoro/nobody"}
    )
    assert answer.status_code == 400
    message = answer.json()["error"]["message"]
    assert "piper/en_US-joe-medium" in message
    assert KOKORO in message
    answer = gateways.client("stt", "vc-one").post(
        "/v1/transcriptions", content=b"ab", headers=L16, params={"model": "nobody"}
    )
    assert answer.status_code == 400
    assert "moonshine, whisper" in answer.json()["error"]["message"]


def test_whisper_is_loaded_when_it_is_asked_for(gateways: Gateways, tmp_path: Path) -> None:
    pcm = speak(SENTENCE, tmp_path / "said.wav").read_bytes()[44:]
    assert says(heard(gateways, pcm), SENTENCE)
    assert loaded(gateways, "stt") == ["moonshine"]
    before = megabytes(gateways, "stt")
    assert says(heard(gateways, pcm, model=WHISPER), SENTENCE)
    print(f"the ears: {before:.0f} MiB, with Whisper {megabytes(gateways, 'stt'):.0f}")
    assert loaded(gateways, "stt") == ["moonshine", WHISPER]


def test_silence_has_no_words(gateways: Gateways) -> None:
    assert heard(gateways, bytes(32_000), model=WHISPER) == ""


def test_each_client_gets_its_own_words(gateways: Gateways, tmp_path: Path) -> None:
    """At the same time, of both models."""
    sentences = [SENTENCE, "The kitchen sink is leaking.", "Are you open on Sunday?"]
    sounds = [
        speak(text, tmp_path / f"{i}.wav").read_bytes()[44:] for i, text in enumerate(sentences)
    ]

    def ask(job: int) -> tuple[int, str]:
        client = gateways.client("stt", f"vc-{job}")
        model = ("moonshine", WHISPER)[job % 2]
        answer = client.post(
            "/v1/transcriptions",
            content=sounds[job % 3],
            headers={**L16, "Voicefleet-Deadline-Ms": "60000"},
            params={"model": model},
        )
        return job, letters(answer.raise_for_status().json()["text"])

    with ThreadPoolExecutor(6) as clients:
        for job, text in clients.map(ask, range(6)):
            assert says(text, sentences[job % 3]), (job, text)


def test_a_spanish_sentence_is_spoken_in_spanish(gateways: Gateways) -> None:
    """As an English transcriber writes it down: of English sounds it makes "por lama"."""
    sound = spoken(gateways, "Gracias por llamar. Adiós.", "kokoro/es/jm_kumo")
    text = heard(gateways, sound, model=WHISPER)
    assert re.fullmatch(r"gra[ct]iaspor[jy]am+ara[dr]i[oó]s", text), text
