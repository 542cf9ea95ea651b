"""Turns, limits and cancellation of the gateways, before a stand-in for llama.cpp."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from voicefleet_api import tokens
from voicefleet_models.gateway import Gateway, serving
from voicefleet_models.llm import Kept, Language

pytestmark = pytest.mark.integration
KEY = "0123456789abcdef0123456789abcdef"
CHAT = "/v1/chat/completions"


async def eventually(check: Callable[[], bool]) -> None:
    for _ in range(6000):
        if check():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it did not come to be")


class Llama:
    """Stands in for llama.cpp: an `Upstream` whose answers the test lets go."""

    def __init__(self, socket: Path, slots: int) -> None:
        self.slots = slots
        self.socket = socket
        self.seen: list[str] = []
        """What was asked, in order: the last message, or the slot that was erased."""
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.left: list[str] = []
        """Requests whose connection was closed before their end."""
        self.go = asyncio.Event()
        self.chunks = 2
        self.broken = False
        self.failing: set[str] = set()
        """Actions on slots."""

    async def load(self) -> None:
        """Nothing to load."""

    async def close(self) -> None:
        """Nothing to close."""

    def state(self) -> dict[str, Any]:
        return {"state": "Ready"}

    def body(self) -> dict[str, Any]:
        return {}

    def session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            "http://llama/", connector=aiohttp.UnixConnector(str(self.socket))
        )

    async def act(self, request: web.Request) -> web.Response:
        """Saving a slot writes its last words; restoring one shows what was written."""
        action, slot = request.query["action"], request.match_info["slot"]
        words = f"{action} {slot}"
        descriptor = (await request.json())["filename"]
        if action == "save":
            os.pwrite(int(descriptor), self.asked[-1]["messages"][-1]["content"].encode(), 0)
        if action == "restore":
            words += f" {os.pread(int(descriptor), 1000, 0).decode()}"
        self.seen.append(words)
        return web.json_response({}, status=500 if action in self.failing else 200)

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body, chunks = await request.json(), self.chunks
        words = body["messages"][-1]["content"]
        self.asked.append(body)
        self.seen.append(words)
        self.headers.append(dict(request.headers))
        response = web.StreamResponse()
        try:
            await response.prepare(request)
            await response.write(b"first ")
            await self.go.wait()
            for _ in range(chunks - 1):
                await response.write(b"x" * 1000)
            if self.broken and request.transport is not None:
                request.transport.abort()
        except asyncio.CancelledError:
            self.left.append(words)
            raise
        return response

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_post("/slots/{slot}", self.act)
        app.router.add_post(CHAT, self.chat)
        runner = web.AppRunner(app, handler_cancellation=True)
        await runner.setup()
        await web.UnixSite(runner, self.socket).start()
        yield
        await runner.cleanup()


class Talk:
    """A gateway before the stand-in, and requests to it."""

    def __init__(self, llama: Llama, session: aiohttp.ClientSession) -> None:
        self.llama, self._session = llama, session

    async def ask(
        self, client: str, words: str, headers: dict[str, str] | None = None, **more: Any
    ) -> tuple[int, str, str]:
        """Status, body and Retry-After."""
        token = {"Authorization": f"Bearer {tokens.mint(KEY, client)}", **(headers or {})}
        body = {"messages": [{"role": "user", "content": words}], **more}
        async with self._session.post(CHAT, json=body, headers=token) as answer:
            return answer.status, await answer.text(), answer.headers.get("Retry-After", "")

    def start(self, client: str, words: str, **more: Any) -> asyncio.Task[tuple[int, str, str]]:
        return asyncio.create_task(self.ask(client, words, **more))

    async def until(self, seen: list[str]) -> None:
        """The stand-in has seen these, the erased slots aside."""
        await eventually(lambda: [w for w in self.llama.seen if "erase" not in w] == seen)


@asynccontextmanager
async def talking(folder: Path, *, slots: int = 3, running: int = 1) -> AsyncIterator[Talk]:
    llama = Llama(folder / "llama.sock", slots)
    service = Language(llama, running=running)
    gateway, socket = Gateway(service, KEY), folder / "llm.sock"
    connector = aiohttp.UnixConnector(str(socket), limit=0)
    async with (
        llama.running(),
        serving(gateway, socket),
        aiohttp.ClientSession("http://llm", connector=connector) as session,
    ):
        await gateway.load()
        yield Talk(llama, session)
        llama.go.set()
        await service.close()


async def test_a_flood_delays_another_client_by_one_turn(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        tasks = [talk.start("flood", "flood0")]
        await talk.until(["flood0"])
        tasks += [talk.start("flood", f"flood{number}") for number in (1, 2, 3)]
        await asyncio.sleep(0.1)
        tasks.append(talk.start("other", "other0"))
        await asyncio.sleep(0.1)
        talk.llama.go.set()
        assert {status for status, *_ in await asyncio.gather(*tasks)} == {200}
        words = [words for words in talk.llama.seen if "erase" not in words]
        assert words[:2] == ["flood0", "other0"]


async def test_over_its_limit_a_client_is_told_to_wait_and_others_are_not(tmp_path: Path) -> None:
    async with talking(tmp_path, running=2) as talk:
        tasks = [talk.start("flood", "flood") for _ in range(4)]
        await talk.until(["flood"])
        assert (await talk.ask("flood", "more"))[::2] == (429, "1")
        talk.llama.go.set()
        assert (await talk.ask("other", "other"))[0] == 200
        assert {status for status, *_ in await asyncio.gather(*tasks)} == {200}
        assert (await talk.ask("flood", "again"))[0] == 200


async def test_what_is_no_longer_of_use_is_dropped_unasked(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        running = talk.start("one", "running")
        await talk.until(["running"])
        status, words, _ = await talk.ask("two", "late", {"Voicefleet-Deadline-Ms": "50"})
        assert (status, "deadline" in words) == (503, True)
        talk.llama.go.set()
        assert (await running)[0] == 200
        assert "late" not in talk.llama.seen


async def test_closing_the_connection_takes_the_request_back(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        running, queued = talk.start("one", "running"), talk.start("two", "queued")
        await talk.until(["running"])
        queued.cancel()
        running.cancel()
        await eventually(lambda: talk.llama.left == ["running"])
        talk.llama.go.set()
        assert (await talk.ask("three", "next"))[0] == 200
        assert "queued" not in talk.llama.seen


async def test_a_slot_is_erased_before_another_client_gets_it(tmp_path: Path) -> None:
    async with talking(tmp_path, slots=2) as talk:
        talk.llama.go.set()
        for client in ("one", "two", "one", "three", "one", "two"):
            await talk.ask(client, client)
        # Three takes the slot of two, which has gone unused for longest; two takes it back.
        erased = "erase 0, one, erase 1, two, one, erase 1, three, one, erase 1, two"
        assert talk.llama.seen == erased.split(", ")
        assert [asked["id_slot"] for asked in talk.llama.asked] == [0, 1, 0, 1, 0, 1]


AHEAD = {"Voicefleet-Priority": "ahead"}


async def test_what_was_read_ahead_is_in_the_clients_next_slot(tmp_path: Path) -> None:
    async with talking(tmp_path, slots=1) as talk:
        talk.llama.go.set()
        await talk.ask("one", "briefing of one", AHEAD)
        await talk.ask("one", "briefing of one", AHEAD)  # is kept already
        await talk.ask("two", "briefing of two", AHEAD)
        await talk.ask("one", "what a caller said")
        await talk.ask("two", "what else")
        await talk.ask("three", "who has none")
        assert talk.llama.seen == [
            *("erase 0", "briefing of one", "save 0", "briefing of one"),
            *("erase 0", "briefing of two", "save 0"),
            *("erase 0", "restore 0 briefing of one", "what a caller said"),
            *("erase 0", "restore 0 briefing of two", "what else"),
            *("erase 0", "who has none"),
        ]


@pytest.mark.parametrize("failing", ["save", "restore"])
async def test_what_is_not_kept_is_read_again(tmp_path: Path, failing: str) -> None:
    async with talking(tmp_path, slots=1) as talk:
        talk.llama.go.set()
        talk.llama.failing = {failing}
        for client in ("one", "two", "one", "two", "one"):
            assert (await talk.ask(client, client, AHEAD))[0] == 200
        assert talk.llama.seen[-3:] == ["erase 0", "one", "save 0"]


def test_the_longest_unused_is_forgotten() -> None:
    kept = Kept(limit=2000)
    for client in ("one", "two", "three"):
        descriptor = kept.make(client, client)
        assert descriptor is not None
        os.pwrite(descriptor, bytes(1000), 0)
    assert kept.find("one") is not None
    assert kept.make("one", "one") is None
    kept.shrink(using={"two"})
    assert [kept.find(client) is None for client in ("one", "two", "three")] == [False, False, True]


async def test_a_slow_reader_holds_up_nobody(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        talk.llama.chunks = 5000
        talk.llama.go.set()
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "llm.sock"))
        body = json.dumps({"messages": [{"role": "user", "content": "slow"}]})
        writer.write(
            f"POST {CHAT} HTTP/1.1\r\nHost: m\r\nContent-Length: {len(body)}\r\n"
            f"Authorization: Bearer {tokens.mint(KEY, 'slow')}\r\n\r\n{body}".encode()
        )
        await talk.until(["slow"])
        talk.llama.chunks = 2
        async with asyncio.timeout(60):
            assert (await talk.ask("other", "other"))[0] == 200
        assert b"200 OK" in await reader.readline()
        writer.close()
        await writer.wait_closed()


async def test_half_an_answer_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        talk.llama.broken = True
        talk.llama.go.set()
        with pytest.raises(aiohttp.ClientError):
            await talk.ask("one", "broken")
        talk.llama.broken = False
        assert (await talk.ask("one", "whole"))[0] == 200


async def test_a_silent_model_is_named(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        await asyncio.to_thread((tmp_path / "llama.sock").unlink)
        status, words, retry_after = await talk.ask("one", "hello")
        assert (status, retry_after) == (503, "5")
        assert "does not answer" in words


async def test_a_providers_server_gets_neither_token_nor_slot(tmp_path: Path) -> None:
    async with talking(tmp_path, slots=0) as talk:
        talk.llama.go.set()
        assert (await talk.ask("one", "hello", {"X-Forwarded-For": "1.2.3.4"}))[0] == 200
        [headers], [asked] = talk.llama.headers, talk.llama.asked
        assert not {"Authorization", "X-Forwarded-For"} & headers.keys()
        assert asked == {
            "messages": [{"role": "user", "content": "hello"}],
            "stream": False,
            "max_tokens": 256,
        }
