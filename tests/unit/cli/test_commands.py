"""What the `voicefleet` command says, and with which exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner, Result

from voicefleet_cli import call as call_command
from voicefleet_cli.abandon import _left
from voicefleet_cli.console import Exit
from voicefleet_cli.main import app
from voicefleet_cli.phone import Call, _ending
from voicefleet_infra.platform import BASE_PORT, Platform

pytestmark = pytest.mark.unit

NUMBER = "+14155550100"
COMMANDS = (
    "up", "down", "clean", "status", "plan", "call", "loadtest", "ab", "ledger", "doctor", "tune",
    "simulate",
)  # fmt: skip


def run(home: Path, *words: str) -> Result:
    return CliRunner().invoke(
        app, list(words), env={"VOICEFLEET_HOME": str(home), "COLUMNS": "200"}
    )


def test_help_names_every_command_and_the_exit_codes(tmp_path: Path) -> None:
    shown = run(tmp_path, "--help").output
    assert [command for command in COMMANDS if f" {command} " not in shown] == []
    for code in Exit:
        assert f"{code.value} " in shown


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(tmp_path: Path, command: str) -> None:
    result = run(tmp_path, command, "--help")
    assert result.exit_code == Exit.OK
    # A sentence on the command and one on each option.
    for line in result.output.splitlines():
        if "--" in line and "[default" not in line:
            assert len(line.split()) > 3, line


@pytest.mark.parametrize("words", [("status",), ("ledger",), ("calls",), ("call", NUMBER)])
def test_a_platform_that_does_not_run_is_said(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "platform.json").write_text('{"basePort": 1}')
    result = run(tmp_path, *words)
    assert result.exit_code == Exit.NOT_RUNNING
    assert "start it with: voicefleet up" in result.output


def test_down_where_nothing_runs_is_well_and_leaves_nothing(tmp_path: Path) -> None:
    assert run(tmp_path / "nothing", "down").exit_code == Exit.OK
    assert not (tmp_path / "nothing").exists()


def test_clean_asks_first(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("")
    assert CliRunner().invoke(app, ["clean", "--home", str(tmp_path)], input="n\n").exit_code == 1
    assert (tmp_path / "kept").exists()
    assert run(tmp_path, "clean", "--yes").exit_code == Exit.OK
    assert not tmp_path.exists()


def test_an_unknown_runtime_is_refused(tmp_path: Path) -> None:
    result = run(tmp_path, "up", "--runtime", "vm")
    assert result.exit_code == Exit.FAILED
    assert "podman, kubernetes or process" in result.output


# --- calls ------------------------------------------------------------------------------------


@pytest.fixture
def carrier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The sandbox's routes: number -> what it would do. Whoever is not in it does not exist."""
    routes: dict[str, Any] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            number = parse_qs(urlsplit(self.path).query)["number"][0]
            body = json.dumps(routes.get(number, {"error": "nobody"})).encode()
            self.send_response(200 if number in routes else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(Platform, "sandbox_url", property(lambda _: url))
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield routes
        server.shutdown()
        thread.join()


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> dict[str, Call]:
    """SIP address -> how the call to it goes; no other may be rung."""
    ends: dict[str, Call] = {}
    monkeypatch.setattr(Platform, "address", "192.0.2.1")
    monkeypatch.setattr(call_command, "dial", lambda uri, **_: ends[uri])
    return ends


def how(uri: str, ended: str, *, answered: bool = False) -> Call:
    return Call(uri, answered, 0.1, 0.5 if answered else None, ended, None)


EDGE = f"sip:{NUMBER}@192.0.2.1:{BASE_PORT + 70}"


def test_an_answer(tmp_path: Path, carrier: dict[str, Any], rung: dict[str, Call]) -> None:
    carrier[NUMBER] = {"forwardTo": None, "secure": None}
    rung[EDGE] = how(EDGE, "hung up", answered=True)
    result = run(tmp_path, "call", NUMBER)
    assert result.exit_code == Exit.OK
    assert "answered after 0.5 s" in result.output


def test_no_answer(tmp_path: Path, carrier: dict[str, Any], rung: dict[str, Call]) -> None:
    carrier[NUMBER] = {"forwardTo": "+15005550001", "secure": False}
    rung[EDGE] = how(EDGE, "486 Busy Here")
    result = run(tmp_path, "call", NUMBER)
    assert result.exit_code == Exit.NOT_ANSWERED
    assert "not answered: 486 Busy Here" in result.output
    assert "the carrier's last resort is +15005550001" in result.output


@pytest.mark.parametrize("secure", [True, False])
def test_the_telephone_encrypts_where_the_number_s_trunk_does(
    tmp_path: Path, carrier: dict[str, Any], monkeypatch: pytest.MonkeyPatch, secure: bool
) -> None:
    carrier[NUMBER] = {"forwardTo": None, "secure": secure}
    asked: dict[str, Any] = {}
    monkeypatch.setattr(
        call_command, "dial", lambda uri, **how_: asked.update(how_) or how(uri, "hung up")
    )
    run(tmp_path, "call", NUMBER)
    assert asked["encrypted"] is secure


@pytest.mark.usefixtures("carrier", "rung")
def test_a_number_that_nobody_has(tmp_path: Path) -> None:
    result = run(tmp_path, "call", NUMBER)
    assert result.exit_code == Exit.NOT_ANSWERED
    assert f"nobody has {NUMBER}" in result.output


@pytest.mark.parametrize(
    ("said", "ending"),
    [
        (
            "call: SIP Progress: 180 Ringing (/)\nme: session closed: 486 Busy Here\n",
            "486 Busy Here",
        ),
        ("Call with sip:x terminated (duration: 3 secs)\n", "ended"),
    ],
)
def test_endings_are_read_from_the_phones_words(said: str, ending: str) -> None:
    assert _ending(said) == ending


# --- plan -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "is not YAML"),
        ("kind: VoiceClient", "without kind or metadata.name"),
        ("[1, 2]", "without kind or metadata.name"),
    ],
)
def test_plan_says_what_is_wrong_with_a_file(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(text)
    result = run(tmp_path, "plan", "-f", str(file))
    assert result.exit_code == Exit.FAILED
    assert words in result.output


# --- abandon ----------------------------------------------------------------------------------


def test_abandon_names_the_voice_that_stays_behind() -> None:
    status = {"billing": {"subscriptionID": "sub_1"}, "voice": {"voiceID": "v1"}}
    assert _left({"status": status}) == [
        "Stripe subscription sub_1: 0.00 a month is charged",
        "ElevenLabs voice v1: made of a person's recording",
    ]


def test_keys_that_no_phone_has_are_refused(tmp_path: Path) -> None:
    result = run(tmp_path, "call", NUMBER, "--press", "0a")
    assert result.exit_code == Exit.FAILED
    assert "a comma waits two seconds" in result.output


def test_keys_are_pressed_in_a_chat(tmp_path: Path) -> None:
    sample = Path(__file__).parents[3] / "crds" / "samples" / "salon.yaml"
    words = ["chat", "--home", str(tmp_path), "-f", str(sample)]
    result = CliRunner().invoke(app, words, input="[1]\n[2]\n")
    assert "What would you like to have done?\n> [2]\nIs there a stylist" in result.output
