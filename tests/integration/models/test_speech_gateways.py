"""The real speech models behind their gateways: what one says, the other hears."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from support.gateways import Gateways
from support.speech import says
from support.stack import until
from voicefleet_models.tts import Cache

pytestmark = pytest.mark.integration

MANY = json.dumps(["a" * 80] * 200)
SENTENCE = "I would like to book an appointment for Thursday, please."
SECRET = "Margaret Thistlewood has an abscess."
L16 = {"Content-Type": "audio/l16;rate=16000"}
Samples = npt.NDArray[np.int16]


@pytest.fixture(scope="module")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateways]:
    with Gateways(tmp_path_factory.mktemp("models"), "stt", "tts") as started:
        yield started


def resampled(samples: Samples, rate: int, wanted: int) -> Samples:
    """By linear interpolation, as rough as a telephone."""
    length = len(samples) * wanted // rate
    at = np.arange(length) * rate / wanted
    return np.interp(at, np.arange(len(samples)), samples).astype(np.int16)


@pytest.fixture(scope="module")
def spoken(gateways: Gateways) -> Samples:
    """`SENTENCE` as it comes through a telephone: 8 kHz, then 16 kHz again."""
    answer = gateways.client("tts", "vc-speaker").post("/v1/speech", json={"text": SENTENCE})
    assert answer.headers["content-type"] == "audio/l16;rate=22050;channels=1"
    narrow = resampled(np.frombuffer(answer.content, "<i2"), 22_050, 8_000)
    return resampled(narrow, 8_000, 16_000)


def letters(text: str) -> str:
    return "".join(filter(str.isalpha, text.lower()))


def test_telephone_speech_is_understood(gateways: Gateways, spoken: Samples) -> None:
    client = gateways.client("stt", "vc-one")
    heard = client.post("/v1/transcriptions", content=spoken.tobytes(), headers=L16).json()
    assert says(letters(heard["text"]), SENTENCE)
    assert heard["audioSeconds"] == pytest.approx(len(spoken) / 16_000, abs=0.001)
    assert heard["computeMs"] > 0
    brief = client.post(
        "/v1/transcriptions?endOfTurn=false", content=spoken.tobytes(), headers=L16
    ).json()
    assert (brief["text"], brief["endOfTurn"]) == (heard["text"], None)
    # In the middle of a sentence the speaker is less likely to have ended than after it.
    part = spoken[: len(spoken) // 2]
    unfinished = client.post("/v1/transcriptions", content=part.tobytes(), headers=L16).json()
    assert 0 <= unfinished["endOfTurn"] < heard["endOfTurn"] <= 1


def test_what_is_likely_decides_between_readings(gateways: Gateways, spoken: Samples) -> None:
    """Stephen and Steven sound the same."""
    said = gateways.client("tts", "vc-speaker").post(
        "/v1/speech", json={"text": "Ask for Stephen."}
    )
    pcm = resampled(np.frombuffer(said.content, "<i2"), 22_050, 16_000).tobytes()
    client = gateways.client("stt", "vc-one")
    best = {}
    for likely in ("Stephen", "Steven"):
        headers = L16 | {"Voicefleet-Likely": json.dumps([likely])}
        heard = client.post("/v1/transcriptions", content=pcm, headers=headers).json()
        scores = [reading["score"] for reading in heard["readings"]]
        assert scores == sorted(scores, reverse=True)
        assert heard["text"] == heard["readings"][0]["text"]
        best[likely] = heard["text"]
    assert best == {"Stephen": "Ask for Stephen.", "Steven": "Ask for Steven."}


@pytest.mark.parametrize(
    "text",
    [
        " ".join([SENTENCE, "And then I would like to ask about your prices."] * 2),
        "The name is Ann Lee, the number is five five five, zero one four two, and you rent it.",
    ],
)
def test_the_first_words_are_not_held_up_by_the_next(gateways: Gateways, text: str) -> None:
    client = gateways.client("tts", "vc-one")
    with client.stream("POST", "/v1/speech", json={"text": text}) as answer:
        chunks = [len(chunk) for chunk in answer.iter_raw()]
    assert len(chunks) >= 4
    assert max(chunks) < sum(chunks) / 2


@pytest.mark.parametrize(
    ("name", "request_", "words"),
    [
        ("stt", {"content": b"", "headers": L16}, "16-bit samples"),
        ("stt", {"content": b"abc", "headers": L16}, "16-bit samples"),
        ("stt", {"content": b"ab", "headers": {"Content-Type": "audio/wav"}}, "rate=16000"),
        ("stt", {"content": b"ab", "headers": L16, "params": {"language": "es"}}, "language"),
        ("stt", {"content": b"ab", "headers": L16 | {"Voicefleet-Likely": "yes"}}, "JSON list"),
        ("stt", {"content": b"ab", "headers": L16 | {"Voicefleet-Likely": "[1]"}}, "JSON list"),
        ("stt", {"content": b"ab", "headers": L16 | {"Voicefleet-Likely": MANY}}, "12,000"),
        ("tts", {"content": b"hello"}, "JSON"),
        ("tts", {"json": {"text": ""}}, "text"),
        ("tts", {"json": {"text": "a" * 1001}}, "text"),
        ("tts", {"json": {"text": "…"}}, "nothing to say"),
        ("tts", {"json": {"text": "hi", "voice": "../../etc/passwd"}}, "voice"),
        ("tts", {"json": {"text": "hi", "path": "/tmp/x"}}, "path"),
        ("tts", {"json": {"text": "hi"}, "headers": {"Voicefleet-Deadline-Ms": "-1"}}, "whole"),
    ],
)
def test_a_bad_request_is_told_what_to_change(
    gateways: Gateways, name: str, request_: dict[str, object], words: str
) -> None:
    path = {"stt": "/v1/transcriptions", "tts": "/v1/speech"}[name]
    answer = gateways.client(name, "vc-one").post(path, **request_)  # type: ignore[arg-type]
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


def test_more_than_half_a_minute_is_too_much(gateways: Gateways) -> None:
    client = gateways.client("stt", "vc-one")
    answer = client.post("/v1/transcriptions", content=bytes(31 * 32_000), headers=L16)
    assert answer.status_code == 413


def test_one_client_does_not_profit_from_what_another_had_said(gateways: Gateways) -> None:
    """A quick answer would tell that somebody has had the same words spoken."""
    one, two = gateways.client("tts", "vc-one"), gateways.client("tts", "vc-two")
    first = one.post("/v1/speech", json={"text": SECRET})
    again = one.post("/v1/speech", json={"text": SECRET})
    other = two.post("/v1/speech", json={"text": SECRET})
    assert again.content == first.content
    computed = [line for line in gateways.log("tts").splitlines() if '"status": "200"' in line]
    assert '"computeMs": 0' in computed[-2]
    assert '"computeMs": 0' not in computed[-1]
    assert other.status_code == 200


def test_nothing_of_what_was_said_is_kept(gateways: Gateways, spoken: Samples) -> None:
    gateways.client("tts", "vc-one").post("/v1/speech", json={"text": SECRET})
    gateways.client("tts", "vc-one").post("/v1/speech", json={"text": SECRET, "voice": SECRET})
    gateways.client("tts", "vc-one").post(
        "/v1/speech", json={"text": SECRET, "voice": "kokoro/jm_kumo"}
    )
    for model in ("moonshine", "whisper"):
        gateways.client("stt", "vc-one").post(
            "/v1/transcriptions", content=spoken.tobytes(), headers=L16, params={"model": model}
        ).raise_for_status()
    written = [file for file in gateways.folder.rglob("*") if file.is_file()]
    assert {file.name for file in written} == {"key", "stt.log", "tts.log"}
    for name in ("stt", "tts"):
        log = gateways.log(name)
        assert "request" in log
        assert not [word for word in ("Thistlewood", "appointment", "abscess") if word in log]
        opened = {
            str(file.resolve())
            for file in Path(f"/proc/{gateways.pid(name)}/fd").iterdir()
            if file.exists()
        }
        # Of files, only its log and what the models are read from.
        assert not [
            path for path in opened if path.startswith(("/tmp", "/var")) and ".log" not in path
        ]


def test_the_cache_is_bounded_and_by_client() -> None:
    cache = Cache(total=10, per_client=6)
    cache.put("one", "v", "a", b"123")
    cache.put("one", "v", "b", b"456")
    assert cache.get("two", "v", "a") is None
    cache.put("one", "v", "c", b"7")
    assert cache.get("one", "v", "a") is None
    assert cache.get("one", "v", "b") == b"456"
    cache.put("two", "v", "a", b"123456")
    assert cache.get("two", "v", "a") == b"123456"
    cache.put("two", "v", "b", b"1234567")
    assert cache.get("two", "v", "b") is None
    cache.put("three", "v", "a", b"123456")
    assert cache.get("one", "v", "b") is None
    assert cache.get("two", "v", "a") is None


def test_a_caller_goes_before_sentences_made_ahead(gateways: Gateways) -> None:
    """Twelve clients that start at once have their sentences made; a caller is served between."""
    ahead = {"Voicefleet-Priority": "ahead", "Voicefleet-Deadline-Ms": "60000"}
    ended: list[str] = []

    def speak(client: str, headers: dict[str, str]) -> None:
        speech = gateways.client("tts", client)
        # None is in the cache.
        body = {"text": f"{SENTENCE} I am {client}."}
        speech.post("/v1/speech", json=body, headers=headers, timeout=60).raise_for_status()
        ended.append(client)

    with ThreadPoolExecutor(13) as callers:
        jobs = [callers.submit(speak, f"vc-ahead{number}", ahead) for number in range(12)]
        until(lambda: ended, "no sentence is made ahead")
        jobs.append(callers.submit(speak, "vc-calls", {}))
        for job in jobs:
            job.result()
    assert ended.index("vc-calls") < 6, ended


def test_an_unknown_priority_is_refused(gateways: Gateways) -> None:
    headers = {"Voicefleet-Priority": "high"}
    answer = gateways.client("tts", "vc-one").post(
        "/v1/speech", json={"text": "Hello."}, headers=headers
    )
    assert answer.status_code == 400
    assert "caller (someone is on the line) or ahead" in answer.json()["error"]["message"]
