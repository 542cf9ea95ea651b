"""A pod without sockets: it has the machine's models and the portal through the agent gateway."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from support.ports import free_port
from support.receiver import Receiver
from support.stack import until
from voicefleet_agent.providers.http import Endpoint
from voicefleet_agent.providers.local import LocalSpeaker
from voicefleet_agent.reach import by_gateway
from voicefleet_agent.records.portal import Portal
from voicefleet_api import tokens
from voicefleet_gateway.gateway import AgentGateway
from voicefleet_gateway.livekit import LiveKit
from voicefleet_gateway.services import Services
from voicefleet_infra.pki import Authority
from voicefleet_infra.probes import tcp_open

pytestmark = pytest.mark.integration

KEY = "k" * 48
OWN = "vc-0000000001"
AT_ONCE = 64
"""What a client may have open."""


class Voice:
    """In place of the speech gateway: says back what it was asked, and when it was left."""

    def __init__(self, where: Path | int) -> None:
        """`where` is a socket or a port."""
        self._where = where
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self.waiting = asyncio.Semaphore(0)
        self.left = asyncio.Event()
        self.go_on = asyncio.Event()
        app = web.Application()
        app.router.add_post("/v1/speech", self._speech)
        app.router.add_get("/v1/slow", self._slow)
        app.router.add_get("/v1/broken", self._broken)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, handler_cancellation=True)

    async def __aenter__(self) -> Voice:
        await self._runner.setup()
        if isinstance(self._where, Path):
            await web.UnixSite(self._runner, str(self._where)).start()
        else:
            await web.TCPSite(self._runner, "127.0.0.1", self._where).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _speech(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.path_qs, {**request.headers}, await request.read()))
        answer = web.StreamResponse(headers={"Content-Type": "audio/l16;rate=16000;channels=1"})
        await answer.prepare(request)
        await answer.write(bytes(640))
        await self.go_on.wait()
        await answer.write(bytes(640))
        return answer

    async def _slow(self, request: web.Request) -> web.Response:
        self.waiting.release()
        try:
            await asyncio.sleep(60)
        finally:
            self.left.set()
        return web.Response()

    async def _broken(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "1000"})
        await answer.prepare(request)
        await answer.write(b"half")
        assert request.transport is not None
        request.transport.abort()
        return answer

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(text="everybody's")


@pytest.fixture(params=["socket", "address"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Path | int:
    """Of the speech gateway."""
    return tmp_path / "tts.sock" if request.param == "socket" else free_port()


@pytest.fixture
async def gateway(tmp_path: Path, where: Path | int) -> AsyncIterator[TestServer]:
    """Without a LiveKit behind it."""
    addresses = {} if isinstance(where, Path) else {"tts": URL(f"http://127.0.0.1:{where}")}
    async with aiohttp.ClientSession() as session:
        services = Services(tmp_path, aiohttp.ClientTimeout(), addresses)
        away = LiveKit("ws://127.0.0.1:1", "ws://127.0.0.1:1", "key", "s" * 48, session)
        server = TestServer(AgentGateway(away, services, KEY).app(), handler_cancellation=True)
        async with server:
            yield server
        await services.aclose()


@pytest.fixture
async def voice(where: Path | int) -> AsyncIterator[Voice]:
    async with Voice(where) as running:
        yield running


def address(gateway: TestServer) -> str:
    """As agents are told it."""
    return f"ws://127.0.0.1:{gateway.port}"


async def asked(
    gateway: TestServer, path: str, token: str | None = None, method: str = "GET"
) -> tuple[int, str]:
    """Status and text of an answer; the path goes out as it is written."""
    headers = {"Authorization": f"Bearer {token or tokens.mint(KEY, OWN)}"}
    url = URL(f"http://127.0.0.1:{gateway.port}{path}", encoded=True)
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, headers=headers) as answer,
    ):
        return answer.status, await answer.text()


async def test_sound_comes_as_it_is_made(gateway: TestServer, voice: Voice) -> None:
    token = tokens.mint(KEY, OWN)
    endpoint = Endpoint(by_gateway(address(gateway), "tts"), token)
    pieces = LocalSpeaker(endpoint, "piper/one").speak("Good morning")
    first = await asyncio.wait_for(anext(pieces), 60)
    assert not voice.go_on.is_set()
    voice.go_on.set()
    assert len(first) + sum([len(piece) async for piece in pieces]) == 1280
    [(path, headers, body)] = voice.asked
    assert path == "/v1/speech"
    assert json.loads(body) == {"text": "Good morning", "voice": "piper/one"}
    assert headers["Authorization"] == f"Bearer {token}"
    assert headers["Voicefleet-Deadline-Ms"] == "1500"
    await endpoint.aclose()


async def test_a_record_and_its_sound_arrive(gateway: TestServer, tmp_path: Path) -> None:
    token, sound = tokens.mint(KEY, OWN), tmp_path / "caller.wav"
    sound.write_bytes(os.urandom(3_000_000))
    async with (
        Receiver(tmp_path / "portal.sock", token) as receiver,
        Portal(by_gateway(address(gateway), "portal"), token) as portal,
    ):
        await portal.put_record("one", b'{"callID": "one"}')
        await portal.put_audio("one", "caller", sound)
        assert receiver.calls == {"one": {"callID": "one"}}
        assert receiver.audio["one", "caller"] == sound.read_bytes()


async def test_whoever_hangs_up_is_not_worked_for(gateway: TestServer, voice: Voice) -> None:
    waiting = asyncio.create_task(asked(gateway, "/services/tts/v1/slow"))
    await voice.waiting.acquire()
    waiting.cancel()
    await asyncio.wait_for(voice.left.wait(), 60)


async def test_an_answer_that_breaks_off_does_not_look_whole(
    gateway: TestServer, voice: Voice
) -> None:
    async with asyncio.timeout(60):
        with pytest.raises(aiohttp.ClientError):
            await asked(gateway, "/services/tts/v1/broken")


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/services/operator/v1/x", 403, "there is no service 'operator' for agents"),
        ("/services/tts/metrics", 401, "the token names no client"),
        # The service is asked for what was written, and knows no such path.
        ("/services/tts/v1/../metrics", 404, "Not Found"),
        ("/services/tts/v1/..%2fmetrics", 404, "Not Found"),
        ("/services/tts/v1/%2e%2e/metrics", 404, "Not Found"),
        ("/services/stt/v1/x", 503, "the service stt cannot be reached"),
    ],
)
async def test_nothing_else_of_the_services_is_reached(
    gateway: TestServer, voice: Voice, path: str, status: int, words: str
) -> None:
    found, text = await asked(gateway, path)
    assert (found, words in text, "everybody" in text) == (status, True, False), text


@pytest.mark.parametrize(
    ("token", "status"),
    [
        ("x.y.z", 401),
        (tokens.mint("o" * 48, OWN), 401),
        # Who owns the machine reads metrics, and has the sockets.
        (tokens.mint(KEY, tokens.PLATFORM), 403),
    ],
)
async def test_whose_token_it_is_is_looked_at(
    gateway: TestServer, voice: Voice, token: str, status: int
) -> None:
    found, _ = await asked(gateway, "/services/tts/v1/speech", token, "POST")
    assert (found, voice.asked) == (status, [])


async def test_what_one_client_has_open_is_counted(gateway: TestServer, voice: Voice) -> None:
    open_ = [asyncio.create_task(asked(gateway, "/services/tts/v1/slow")) for _ in range(AT_ONCE)]
    for _ in open_:
        await voice.waiting.acquire()
    status, text = await asked(gateway, "/services/tts/v1/slow")
    assert (status, "too much open" in text) == (429, True)
    for task in open_:
        task.cancel()
    await asyncio.wait(open_)


PROGRAM = """
import sys
from voicefleet_agent import trust
trust.extend()
import asyncio, aiohttp
async def main():
    async with aiohttp.ClientSession() as session:
        async with session.get(sys.argv[1] + "/healthz") as answer:
            print(answer.status)
asyncio.run(main())
"""


def test_a_pod_believes_the_fleets_own_certificates(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "pki")
    certificate, key = authority.issue("gateway")
    for name in ("livekit", "clients"):
        (tmp_path / name).write_text("s" * 48)
    port = free_port()
    gateway = subprocess.Popen(
        [
            sys.executable, "-m", "voicefleet_gateway", "--host=127.0.0.1", f"--port={port}",
            "--livekit=ws://127.0.0.1:1", "--room-url=ws://127.0.0.1:1", "--livekit-key=key",
            f"--livekit-secret-file={tmp_path / 'livekit'}",
            f"--secret-file={tmp_path / 'clients'}",
            f"--tls-certificate={certificate}", f"--tls-key={key}",
        ]
    )  # fmt: skip

    def pod(secrets: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, f"https://127.0.0.1:{port}"],
            env={**os.environ, "VOICEFLEET_SECRETS": str(secrets), "TMPDIR": str(tmp_path)},
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    secrets, none = tmp_path / "secrets", tmp_path / "none"
    for folder in (secrets, none):
        folder.mkdir()
    (secrets / "ca.pem").write_text(authority.certificate.read_text())
    try:
        until(lambda: tcp_open(port), "the gateway does not listen")
        found = pod(secrets)
        assert found.stdout == "200\n", found.stderr
        assert "CERTIFICATE_VERIFY_FAILED" in pod(none).stderr
    finally:
        gateway.terminate()
        gateway.wait(60)
