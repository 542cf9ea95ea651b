"""The agent's OpenAI-compatible provider against a real Ollama.

The model is small and says what it likes; what is tested is that its words come, in the form that
was asked for, in time or not at all.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from support.gateways import small_model
from support.ports import free_port
from support.stack import until
from voicefleet_agent.providers.build import Providers
from voicefleet_agent.providers.chain import FIRST_PIECE_SECONDS, Component, Resting
from voicefleet_agent.providers.http import Endpoint
from voicefleet_agent.providers.openai import OpenAIModel
from voicefleet_agent.reach import Reach
from voicefleet_agent.settings import Settings
from voicefleet_api.pipeline import Pipeline
from voicefleet_dialogue.acts import ModelUnavailable
from voicefleet_infra.tools import binary

pytestmark = pytest.mark.integration

NAME = "receptionist"
MODELFILE = '''FROM {model}
TEMPLATE """{{{{ range .Messages }}}}<|im_start|>{{{{ .Role }}}}
{{{{ .Content }}}}<|im_end|>
{{{{ end }}}}<|im_start|>assistant
"""
PARAMETER stop <|im_end|>
PARAMETER num_ctx 2048
'''
SCHEMA = {
    "type": "object",
    "properties": {"intent": {"enum": ["Book", "Cancel"]}},
    "required": ["intent"],
}


@dataclass(frozen=True)
class Ollama:
    """A server and the processes that it started."""

    url: str
    process: psutil.Process

    def freeze(self, number: signal.Signals) -> None:
        """SIGSTOP or SIGCONT for all of it."""
        for process in (self.process, *self.process.children(recursive=True)):
            process.send_signal(number)


@pytest.fixture(scope="module")
def ollama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ollama]:
    program = binary("ollama")
    if not program.exists():
        pytest.skip("ollama is not built (make provision)")
    folder = tmp_path_factory.mktemp("ollama")
    (folder / "Modelfile").write_text(MODELFILE.format(model=small_model()))
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "OLLAMA_HOST": f"127.0.0.1:{port}",
        "OLLAMA_NUM_PARALLEL": "1",
        "OLLAMA_KEEP_ALIVE": "-1",
    }
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx.get(url, timeout=2).is_success
        except httpx.HTTPError:
            return False

    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [program, "serve"], env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        until(answers, "ollama does not serve")
        subprocess.run(
            [program, "create", NAME, "-f", folder / "Modelfile"],
            env=environment,
            check=True,
            capture_output=True,
            timeout=120,
        )
        # Loads it.
        httpx.post(f"{url}/api/generate", json={"model": NAME}, timeout=120).raise_for_status()
        yield Ollama(url, psutil.Process(server.pid))
    finally:
        server.terminate()
        server.wait(60)


@pytest.fixture
async def model(ollama: Ollama) -> AsyncIterator[OpenAIModel]:
    endpoint = Endpoint(Reach(ollama.url))
    yield OpenAIModel(endpoint, NAME, f"OpenAI/{NAME}")
    await endpoint.aclose()


class Meter:
    """What was counted."""

    def __init__(self) -> None:
        self.counted: list[tuple[str, str, str]] = []

    def used(self, component: Component, provider: str, amount: float) -> None:
        self.counted.append(("used", component, provider))

    def failed(self, component: Component, provider: str) -> None:
        self.counted.append(("failed", component, provider))


@pytest.fixture
async def chain(
    ollama: Ollama, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Providers, Meter]]:
    """As a client's pipeline makes it."""
    monkeypatch.setenv("VOICEFLEET_MODELS", str(tmp_path))
    chosen = {"llm": [{"provider": "OpenAI", "url": ollama.url, "model": NAME}]}
    meter = Meter()
    made = Providers(Pipeline.model_validate(chosen), Settings.from_env(), Resting(), meter)
    yield made, meter
    await made.aclose()


async def test_an_answer_comes_in_pieces(model: OpenAIModel) -> None:
    pieces = [p async for p in model.complete("Be brief.", "Say hello to me.", max_tokens=24)]
    assert len(pieces) > 2
    assert "".join(pieces).strip()


async def test_an_answer_has_the_form_that_was_asked_for(model: OpenAIModel) -> None:
    user = "I would like to see the dentist."
    pieces = [p async for p in model.complete("Sort.", user, schema=SCHEMA, max_tokens=32)]
    assert json.loads("".join(pieces))["intent"] in ("Book", "Cancel")


async def test_a_model_that_is_not_there_is_said(ollama: Ollama) -> None:
    endpoint = Endpoint(Reach(ollama.url))
    try:
        absent = OpenAIModel(endpoint, "absent", "OpenAI/absent")
        with pytest.raises(ModelUnavailable, match="HTTP 404"):
            [p async for p in absent.complete("", "Hello.", max_tokens=1)]
    finally:
        await endpoint.aclose()


async def test_whoever_turns_away_leaves_the_model_to_others(
    ollama: Ollama, model: OpenAIModel
) -> None:
    """It has one slot: were the long answer still being made, the next would wait for its end."""
    started = time.monotonic()
    long = model.complete("", "Write a very long story about the sea.", max_tokens=1500)
    await anext(aiter(long))
    first = time.monotonic() - started
    await long.aclose()
    started = time.monotonic()
    assert [p async for p in model.complete("", "Hello.", max_tokens=1)]
    print(f"first piece after {first:.1f} s; the next answer {time.monotonic() - started:.1f} s")
    assert time.monotonic() - started < first + 5


async def test_one_that_does_not_answer_is_given_up(
    ollama: Ollama, chain: tuple[Providers, Meter]
) -> None:
    providers, meter = chain
    ollama.freeze(signal.SIGSTOP)
    try:
        started = time.monotonic()
        with pytest.raises(ModelUnavailable):
            async with asyncio.timeout(3 * FIRST_PIECE_SECONDS):
                [p async for p in providers.model.complete("", "Hello.", max_tokens=4)]
        assert time.monotonic() - started == pytest.approx(FIRST_PIECE_SECONDS, abs=1)
    finally:
        ollama.freeze(signal.SIGCONT)
    assert meter.counted == [("failed", "LLM", f"OpenAI/{NAME}")]
