"""How long the model gateways take, and how much memory: `python tests/bench/models.py`.

Starts gateways of its own with the models that the platform uses (the language model is fetched if
need be) and prints percentiles of N requests, one after the other, with the machine's load. Speech
comes from the speech gateway, at 8 kHz as a telephone brings it. It asserts nothing.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import numpy.typing as npt
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.gateways import Gateways
from voicefleet_infra.platform import cache_dir

L16 = {"Content-Type": "audio/l16;rate=16000"}
SECONDS = {1: "Yes, that works.", 3: "I need an appointment for Thursday at three, please."}
SECONDS[8] = f"{SECONDS[3]} My name is Margaret, and I have had a toothache since last weekend."
CLAUSE = "Thursday at three is free,"
SENTENCE = "You are booked for Thursday the twelfth at three in the afternoon."
FACTS = "You are the receptionist of Bright Smile, a dental practice. " + " ".join(
    f"Fact {number}: treatment {number} costs {number * 10} dollars." for number in range(1, 25)
)
QUESTIONS = ("Do you treat children?", "Where can I park?", "What does treatment seven cost?")
Samples = npt.NDArray[np.int16]


def percentiles(measure: Callable[[int], float], times: int) -> str:
    """p50 and p95 of `measure`, which returns seconds, in milliseconds."""
    found = sorted(measure(number) for number in range(times))
    p95 = found[min(len(found) - 1, int(len(found) * 0.95))]
    return f"{statistics.median(found) * 1000:.0f} / {p95 * 1000:.0f} ms"


def narrow(pcm: bytes, seconds: float) -> bytes:
    """22,050 Hz to 8 kHz to 16 kHz, cut or filled with silence."""
    samples = np.frombuffer(pcm, "<i2")
    for rate, wanted in ((22_050, 8_000), (8_000, 16_000)):
        length = len(samples) * wanted // rate
        at = np.arange(length) * rate / wanted
        samples = np.interp(at, np.arange(len(samples)), samples).astype(np.int16)
    wanted = int(seconds * 16_000)
    return np.pad(samples[:wanted], (0, max(0, wanted - len(samples)))).tobytes()


def speak(client: httpx.Client, text: str, number: int) -> tuple[float, bytes]:
    """Seconds to the first sound, and all of it; never from the cache."""
    started = time.monotonic()
    # A space more each time: the same words, and another text.
    with client.stream("POST", "/v1/speech", json={"text": text + " " * number}) as answer:
        chunks = answer.iter_raw()
        first = next(chunks)
        seconds = time.monotonic() - started
        return seconds, first + b"".join(chunks)


def ask(client: httpx.Client, question: str) -> tuple[float, float]:
    """Seconds to the first token and to the end of the first sentence."""
    messages = [{"role": "system", "content": FACTS}, {"role": "user", "content": question}]
    body = {"messages": messages, "stream": True, "max_tokens": 48, "stop": [".", "?", "!"]}
    started, first = time.monotonic(), 0.0
    with client.stream("POST", "/v1/chat/completions", json=body) as answer:
        answer.raise_for_status()
        for line in answer.iter_lines():
            if not first and '"content":"' in line:
                first = time.monotonic() - started
    return first, time.monotonic() - started


def memory(pid: int) -> str:
    """Proportional set size (proc(5), smaps_rollup)."""
    return f"{psutil.Process(pid).memory_full_info().pss >> 20} MiB"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=20)
    times = parser.parse_args().times
    load = os.getloadavg()[0]
    cache = (f"--cache={cache_dir() / 'models'}",)
    rows: list[tuple[str, str]] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Gateways(Path(folder), "stt", "tts", "llm", llm=cache, seconds=600) as gateways,
    ):
        stt, tts, llm = (gateways.client(name, "vc-bench") for name in ("stt", "tts", "llm"))
        idle = {name: memory(gateways.pid(name)) for name in ("stt", "tts", "llm")}
        for seconds, words in SECONDS.items():
            audio = narrow(speak(tts, words, 0)[1], seconds)

            def hear(_: int, audio: bytes = audio) -> float:
                started = time.monotonic()
                stt.post("/v1/transcriptions", content=audio, headers=L16).raise_for_status()
                return time.monotonic() - started

            rows.append((f"transcription of {seconds} s", percentiles(hear, times)))
        for name, text in (("clause", CLAUSE), ("sentence", SENTENCE)):
            first = percentiles(lambda number, text=text: speak(tts, text, number + 1)[0], times)
            rows.append((f"first sound of a {name} of {len(text)} characters", first))
        cold = ask(llm, QUESTIONS[0])
        rows.append(("language model, first token, nothing read before", f"{cold[0]:.1f} s"))
        asked = [ask(llm, QUESTIONS[number % 3]) for number in range(1, times + 1)]
        for at, name in enumerate(("first token", "first sentence")):
            found = percentiles(lambda number, at=at: asked[number][at], times)
            rows.append((f"language model, {name}, facts read before", found))
        for name, before in idle.items():
            after = memory(gateways.pid(name))
            rows.append((f"memory of {name} (PSS), loaded / after this", f"{before} / {after}"))
    print(f"load {load:.1f} before, {os.getloadavg()[0]:.1f} after; {times} times each\n")
    print("| what | p50 / p95 |\n|---|---|")
    for what, took in rows:
        print(f"| {what} | {took} |")


if __name__ == "__main__":
    main()
