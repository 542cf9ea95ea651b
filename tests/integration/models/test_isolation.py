"""One client tries to get at another's words, in every way that the protocol offers.

Before the real programs: llama.cpp with a small model, and Piper.
"""

from __future__ import annotations

import base64
import errno
import json
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import jwt
import psutil
import pytest

from support.gateways import Gateways, small_model
from voicefleet_api.tokens import PLATFORM
from voicefleet_models.upstreams import SLOTS

pytestmark = pytest.mark.integration
CHAT = "/v1/chat/completions"
AHEAD = {"Voicefleet-Priority": "ahead"}
SECRET = "Margaret Thistlewood of Larkspur Lane has an abscess."
PROMPT = f"You are the receptionist of a dentist. Remember: {SECRET} " + "Be brief. " * 15


@pytest.fixture(scope="module")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateways]:
    folder = tmp_path_factory.mktemp("models")
    settings = folder / "models.yaml"
    settings.write_text(f"languageModel: {{path: {small_model()}}}\n")
    options = (f"--models={settings}", f"--cache={folder / 'cache'}")
    with Gateways(folder, "llm", "tts", llm=options) as started:
        yield started


def open_files(pid: int) -> set[str]:
    """What the process's descriptors stand for; one may be closed while we look."""
    opened = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            opened.add(str(file.readlink()))
    return opened


def ask(gateways: Gateways, client: str | None, /, **more: Any) -> httpx.Response:
    messages = [{"role": "system", "content": PROMPT}, {"role": "user", "content": "Hello?"}]
    body = {"messages": messages, "max_tokens": 4, **more}
    return gateways.client("llm", client).post(CHAT, json=body)


def read_before(answer: httpx.Response) -> int:
    """Tokens of the prompt that llama.cpp had read already."""
    found: int = answer.json()["usage"]["prompt_tokens_details"]["cached_tokens"]
    return found


def test_only_its_own_words_are_read_before(gateways: Gateways) -> None:
    """What was read before is quicker: it would tell that somebody has said the same."""
    assert read_before(ask(gateways, "vc-0")) == 0
    assert read_before(ask(gateways, "vc-0")) > 50
    # One more client than slots: each of these gets one that is new or another's.
    for number in range(1, SLOTS + 1):
        assert read_before(ask(gateways, f"vc-{number}")) == 0
    assert read_before(ask(gateways, f"vc-{SLOTS}")) > 50


def test_what_was_read_ahead_is_its_own_too(gateways: Gateways) -> None:
    """It outlives the slot, for its client alone."""
    ahead = {"messages": [{"role": "system", "content": PROMPT}], "max_tokens": 1}
    first = gateways.client("llm", "ahead-0")
    assert first.post(CHAT, json=ahead, headers=AHEAD).status_code == 200
    for number in range(1, SLOTS + 1):
        assert read_before(ask(gateways, f"ahead-{number}")) == 0
    assert read_before(ask(gateways, "ahead-0")) > 50


def test_the_model_answers_in_the_asked_form_and_as_it_comes(gateways: Gateways) -> None:
    schema = {
        "type": "object",
        "properties": {"intent": {"enum": ["Book", "Cancel"]}},
        "required": ["intent"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "intent", "schema": schema}}
    answer = ask(gateways, "vc-1", max_tokens=32, response_format=form, temperature=0)
    assert json.loads(answer.json()["choices"][0]["message"]["content"])["intent"] in (
        "Book",
        "Cancel",
    )
    events = ask(gateways, "vc-1", stream=True).text.strip().split("\n\n")
    assert events[-1] == "data: [DONE]"
    assert len(events) > 3


def test_a_closed_connection_stops_the_model(gateways: Gateways) -> None:
    client = gateways.client("llm", "vc-1")
    body = {"messages": [{"role": "user", "content": "Count."}], "stream": True, "max_tokens": 1024}
    with client.stream("POST", CHAT, json={**body, "stop": None}) as answer:
        next(answer.iter_raw())
    # The slot is free again long before the thousand tokens would have been made.
    started = time.monotonic()
    assert ask(gateways, "vc-1").status_code == 200
    assert time.monotonic() - started < 30


def _alg_none(client: str) -> str:
    parts = ({"alg": "none", "typ": "JWT"}, {"sub": client})
    texts = [base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts]
    return f"{'.'.join(texts)}."


@pytest.mark.parametrize("name", ["llm", "tts"])
def test_without_its_token_nothing_is_answered(gateways: Gateways, name: str) -> None:
    path = {"llm": CHAT, "tts": "/v1/speech"}[name]
    forged = [
        "",
        "vc-1",
        _alg_none("vc-1"),
        jwt.encode({"sub": "vc-1"}, "another key that is long enough, too", "HS256"),
        jwt.encode({"sub": "vc-1", "exp": time.time() - 1}, gateways.key, "HS256"),
        jwt.encode({"sub": "vc-1\r\nX: y"}, gateways.key, "HS256"),
    ]
    client = gateways.client(name)
    for token in forged:
        answer = client.post(path, json={}, headers={"Authorization": f"Bearer {token}".strip()})
        assert answer.status_code == 401, token
    twice = [
        ("Authorization", f"Bearer {jwt.encode({'sub': sub}, gateways.key, 'HS256')}")
        for sub in ("vc-1", "vc-2")
    ]
    assert client.post(path, json={}, headers=twice).status_code == 401


@pytest.mark.parametrize(
    "field",
    [
        {"id_slot": 0},
        {"slot_id": 0},
        {"cache_prompt": True},
        {"n_predict": 5},
        {"n_keep": 5},
        {"grammar": 'root ::= "x"'},
        {"lora": [{"id": 0}]},
        {"user": "vc-2"},
        {"client": "vc-2"},
        {"tools": []},
        {"logprobs": True},
        {"stop": ["a"] * 5},
        {"max_tokens": 100_000},
        {"messages": []},
        {"messages": [{"role": "tool", "content": "x"}]},
        {"messages": [{"role": "user", "content": "x", "name": "vc-2"}]},
        {"messages": [{"role": "user", "content": "x" * 25_000}]},
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}],
                }
            ]
        },
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"schema": {"type": "string", "pattern": "(a+)+$"}},
            }
        },
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"schema": {"type": "string", "maxLength": 10**9}},
            }
        },
    ],
    ids=lambda field: str(field)[:40],
)
def test_what_reaches_into_llama_cpp_is_refused(gateways: Gateways, field: dict[str, Any]) -> None:
    answer = ask(gateways, "vc-2", **field)
    assert answer.status_code == 400
    assert next(iter(field)).split("_")[0] in answer.json()["error"]["message"]


def test_only_the_gateways_own_paths_are_there(gateways: Gateways) -> None:
    paths = ["/slots", "/props", "/v1/models", "/completion", "/tokenize", "/lora-adapters", "/"]
    paths += ["/v1/chat/../../slots", "/v1/speech/../../etc/passwd", "/%2e%2e/slots", "//slots"]
    for name in ("llm", "tts"):
        client = gateways.client(name, "vc-2")
        for path in paths:
            assert client.get(path).status_code == 404, path
            assert client.post(path, json={}).status_code in (404, 405), path
    assert gateways.client("llm", "vc-2").post("/slots/0?action=save").status_code == 404


def test_how_busy_others_are_is_not_told(gateways: Gateways) -> None:
    assert gateways.client("llm").get("/metrics").status_code == 401
    assert gateways.client("llm", "vc-2").get("/metrics").status_code == 403
    shown = gateways.client("llm", PLATFORM).get("/metrics").text
    assert "voicefleet_models_queue_seconds" in shown
    assert "vc-" not in shown


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Transfer-Encoding: chunked, identity",
        "Content-Length : 5",
        "Content-Length: -5",
    ],
)
def test_a_request_cannot_hide_another(gateways: Gateways, head: str) -> None:
    """One that two programs could take for different requests (RFC 9112, section 6.3)."""
    token = jwt.encode({"sub": "vc-2"}, gateways.key, "HS256")
    hidden = "GET /healthz HTTP/1.1\r\nHost: m\r\n\r\n"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(gateways.socket("llm")))
        connection.sendall(
            f"POST {CHAT} HTTP/1.1\r\nHost: m\r\nAuthorization: Bearer {token}\r\n{head}\r\n\r\n"
            f"0\r\n\r\n{hidden}".encode()
        )
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    assert b" 400 " in answer.partition(b"\r\n")[0]
    assert answer.count(b"HTTP/1.") == 1


def test_silent_connections_take_nobody_the_line(gateways: Gateways) -> None:
    """As many as a pod may open; the gateway may open more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    started = time.monotonic()
    with ExitStack() as held:
        held.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1100):
            connection = held.enter_context(socket.socket(socket.AF_UNIX))
            connection.setblocking(False)
            # The kernel holds back a hundred that are not accepted yet.
            while connection.connect_ex(str(gateways.socket("tts"))) == errno.EAGAIN:
                assert time.monotonic() < started + 60, "it accepts no more"
                time.sleep(0.01)
        spoken = gateways.client("tts", "vc-1").post("/v1/speech", json={"text": "Hello."})
        assert spoken.status_code == 200


def test_nothing_of_what_was_said_is_kept(gateways: Gateways) -> None:
    ask(gateways, "vc-1")
    gateways.client("llm", "vc-1").post(CHAT, content=f"GET {SECRET}".encode())
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(gateways.socket("llm")))
        connection.sendall(f"{SECRET}\r\n\r\n".encode())
        connection.recv(65536)
    log = gateways.log("llm")
    assert '"clientID": "vc-1", "status": "200"' in log
    assert not [word for word in ("Thistlewood", "Larkspur", "dentist") if word in log]
    files = {file.name for file in gateways.folder.rglob("*") if file.is_file()}
    assert files == {"key", "models.yaml", "llm.log", "tts.log"}
    opened = open_files(gateways.pid("llm"))
    kept = [path for path in opened if path.startswith(("/tmp", "/var", "/dev/shm"))]
    assert all(path.endswith(".log") for path in kept), kept


def test_llama_cpp_itself_is_out_of_reach(gateways: Gateways) -> None:
    """It asks for no token: only our own user reaches the folder of its socket."""
    listening = Path("/proc/net/unix").read_text()
    pid = gateways.pid("llm")
    inodes = {file.removeprefix("socket:[").removesuffix("]") for file in open_files(pid)}
    paths = {
        Path(parts[7])
        for line in listening.splitlines()[1:]
        if len(parts := line.split()) > 7 and parts[6] in inodes
    }
    [own] = [path for path in paths if path.name == "llama.sock"]
    assert own.parent.stat().st_mode & 0o077 == 0
    assert not psutil.Process(pid).net_connections(kind="inet")
