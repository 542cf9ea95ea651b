"""`voicefleet tune` on the machine's real gateways; the language models are servers of the test's,
of which one takes its time and one makes things up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest
import yaml

from support.gateways import Gateways
from support.media import LiveKit
from voicefleet_agent.settings import read_timing
from voicefleet_api.endpointing import FILE
from voicefleet_cli.console import Exit
from voicefleet_cli.tune import SHIPPED
from voicefleet_infra.platform import Platform
from voicefleet_models.settings import read

pytestmark = pytest.mark.integration
COMMAND = Path(sys.executable).with_name("voicefleet")
TURNS = 5
"""Of the first caller; one of them is an open question."""
FACT = "Parking behind the building is free."


class Model(BaseHTTPRequestHandler):
    """An OpenAI-compatible server; the model's name says how it answers: slow, quick or wrong."""

    asked: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(body["model"])
        if body["model"] == "slow":
            time.sleep(0.8)
        answer = FACT if body["model"] != "wrong" else "We have no idea."
        text = '{"meaning": "question"}' if "response_format" in body else answer
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        piece = json.dumps({"choices": [{"delta": {"content": text}}]})
        self.wfile.write(f"data: {piece}\n\ndata: [DONE]\n\n".encode())

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Model) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    call = yaml.safe_load((SHIPPED / "calls.yaml").read_text())[0]
    call["turns"] = call["turns"][:TURNS]
    for turn in call["turns"]:
        turn["sound"] = str(SHIPPED / turn["sound"])
    call["noise"] = str(SHIPPED / call["noise"])
    folder = tmp_path / "recordings"
    folder.mkdir()
    (folder / "calls.yaml").write_text(yaml.safe_dump([call]))
    return folder


def models(file: Path, provider: str, model: str, **more: Any) -> Path:
    named = {"provider": provider, "model": model}
    file.write_text(yaml.safe_dump({"languageModel": named, **more}))
    return file


def command(home: Path, recordings: Path, *words: str) -> list[str]:
    return [str(COMMAND), "tune", f"--home={home}", f"--recordings={recordings}", *words]


def tune(home: Path, recordings: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(home, recordings, *words), capture_output=True, text=True, timeout=240
    )


def gateways_of(pid: int) -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process(pid).children(recursive=True)
        if "voicefleet_models" in child.cmdline()
    ]


def test_the_better_of_two_is_chosen_written_and_taken(
    provider: str, recordings: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    # Turns end late on purpose: a target that is met with a shorter silence alone.
    silences = {"completeMs": 1900, "briefMs": 1900, "unsureMs": 2900}
    present = models(home / "models.yaml", provider, "slow", endpointing=silences)
    before = present.read_text()
    quick = models(tmp_path / "quick.yaml", provider, "quick")
    wrong = models(tmp_path / "wrong.yaml", provider, "wrong")
    words = (
        f"--candidate={quick}",
        f"--candidate={wrong}",
        "--target-ms=1800",
        "--percentile=50",
        "--output=json",
    )

    dry = tune(home, recordings, *words, "--dry-run")
    assert dry.returncode == Exit.OK, dry.stderr
    assert present.read_text() == before
    assert json.loads(dry.stdout)["written"] is False

    done = tune(home, recordings, *words)
    assert done.returncode == Exit.OK, done.stderr
    report = json.loads(done.stdout)
    print(json.dumps(report, indent=1))
    assert report["target"] == {"ms": 1800, "percentile": 50, "met": True}
    asked = {o["configuration"]: o for o in report["options"] if o["tokensPerSecond"] is not None}
    by_name = {name.split()[0]: option for name, option in asked.items()}
    assert {name: option["right"] for name, option in by_name.items()} == {
        "slow": 1.0,
        "quick": 1.0,
        "wrong": 0.0,
    }
    # Two requests, each 0.8 s late.
    assert by_name["slow"]["p50Ms"] > by_name["quick"]["p50Ms"] + 1500
    assert [name for name, option in by_name.items() if option["chosen"]] == ["quick"]
    [chosen, late] = [
        next(o for o in report["options"] if o["stage"] == "answer" and test(o))
        for test in (lambda o: o["chosen"], lambda o: "1900/1900/2900" in o["configuration"])
    ]
    assert chosen["p50Ms"] < 1800 < 2000 < late["p50Ms"]

    written = read(present)
    assert written.to_yaml() == report["models"]
    assert written.language_model == read(quick).language_model
    assert (home / "models.yaml~").read_text() == before
    assert sorted(f.name for f in home.iterdir()) == ["models.yaml", "models.yaml~"]
    # The platform's gateway takes the file, and through it the agents do.
    folder = tmp_path / "sockets"
    folder.mkdir()
    with Gateways(folder, "stt", stt=(f"--models={present}",)):
        assert read_timing(folder).complete == written.endpointing.complete_ms / 1000  # type: ignore[union-attr]
        assert (folder / FILE).exists()


def test_measuring_only_changes_nothing_and_says_that_the_target_is_missed(
    provider: str, recordings: Path, tmp_path: Path
) -> None:
    present = models(tmp_path / "models.yaml", provider, "quick")
    before = present.read_text()
    measured = tune(tmp_path, recordings, "--measure", "--target-ms=200")
    assert measured.returncode == Exit.MISSED, measured.stderr
    assert "the target of 200 ms is missed" in measured.stdout
    assert "(1 open questions" in measured.stdout
    assert present.read_text() == before
    assert not (tmp_path / "models.yaml~").exists()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_whoever_stops_it_leaves_no_process_and_no_file(
    sent: signal.Signals, provider: str, recordings: Path, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        command(tmp_path, recordings), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not (started := gateways_of(process.pid)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(sent)
    _, stderr = process.communicate(timeout=90)
    assert process.returncode == Exit.FAILED
    assert "stopped; nothing was written" in stderr
    assert "Traceback" not in stderr
    assert not any(gateway.is_running() for gateway in started)
    assert not (tmp_path / "models.yaml").exists()


def test_a_model_that_cannot_be_loaded_is_said(recordings: Path, tmp_path: Path) -> None:
    (tmp_path / "models.yaml").write_text("languageModel: {path: /nowhere/none.gguf}")
    failed = tune(tmp_path, recordings, "--measure")
    assert failed.returncode == Exit.FAILED
    assert "the gateway llm does not start" in failed.stderr
    assert "none.gguf" in failed.stderr


def test_calls_under_way_are_not_disturbed(tmp_path: Path) -> None:
    server = LiveKit(tmp_path, key="voicefleet")
    home = tmp_path / "home"
    platform = Platform(home)
    base = server.port - (platform.port("livekit") - platform.base_port)
    platform.secret("livekit-secret", make=server.secret)
    (home / "platform.json").write_text(json.dumps({"basePort": base}))
    server.start()
    caller = subprocess.Popen(
        [
            sys.executable,
            str(Path(__file__).parents[2] / "support" / "caller.py"),
            server.url,
            "call",
            "nobody",
            '[{"sleep": 60}]',
            str(tmp_path / "heard.wav"),
        ],
        env={**os.environ, **server.env},
        stdout=subprocess.DEVNULL,
    )
    try:
        # A folder without recordings: whoever is not refused for the call is for that.
        deadline = time.monotonic() + 60
        while "calls are under way (1)" not in (stderr := tune(home, tmp_path).stderr):
            assert "calls.yaml" in stderr
            assert time.monotonic() < deadline
    finally:
        caller.kill()
        caller.wait()
        server.stop()
    assert "calls.yaml" in tune(home, tmp_path).stderr
