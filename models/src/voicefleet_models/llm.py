"""The language gateway: OpenAI's chat completions, from llama.cpp here or from a provider.

llama.cpp keeps what it has read of a conversation in slots. A slot belongs to one client, and is
erased before another gets it: neither the words nor the time of an answer tell of a neighbour.
There are more clients than slots: what a client had read ahead, which is its briefing and no
caller's words, is kept for it, and read into its next slot in milliseconds instead of seconds.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, Literal, Protocol

import aiohttp
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, model_validator

from voicefleet_models.gateway import CLIENT, TIMES, BadRequest, NotReady, stream
from voicefleet_models.queueing import FairQueue, TooLate
from voicefleet_models.requests import parse

MAX_TOKENS = 1024
_SCHEMA_BYTES = 8_192
_REPETITIONS = 256
_SLOT = aiohttp.ClientTimeout(total=10)
_KEPT_BYTES = 512 << 20
"""Of all clients; a token of the default model takes 28 KiB."""
SAVED = "/proc/self/fd/"
"""Where llama.cpp is to save slots (`slot_save_path`)."""


class _Strict(BaseModel):
    """What is not named here is refused: llama.cpp has fields that reach another's slot."""

    model_config = ConfigDict(extra="forbid")


class Message(_Strict):
    """Text only: parts of other kinds can name addresses to be fetched."""

    role: Literal["system", "user", "assistant"]
    content: str = Field(max_length=24_000)


class JSONSchema(_Strict):
    """OpenAI's `response_format.json_schema`."""

    name: str = Field(default="answer", max_length=64)
    strict: bool | None = None
    schema_: dict[str, Any] = Field(alias="schema")

    @model_validator(mode="after")
    def _is_harmless(self) -> JSONSchema:
        if len(json.dumps(self.schema_)) > _SCHEMA_BYTES:
            raise ValueError(f"the schema is larger than {_SCHEMA_BYTES} bytes")
        _check_schema(self.schema_)
        return self


def _check_schema(schema: object) -> None:
    """llama.cpp makes a grammar of it, whose size these decide."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "pattern" and isinstance(value, str):
                raise ValueError("pattern is not supported; use enum, format or maxLength")
            if isinstance(value, int) and value > _REPETITIONS and key.startswith(("min", "max")):
                raise ValueError(f"{key} is more than {_REPETITIONS}")
            _check_schema(value)
    elif isinstance(schema, list):
        for item in schema:
            _check_schema(item)


class ResponseFormat(_Strict):
    """OpenAI's `response_format`."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JSONSchema | None = None


class StreamOptions(_Strict):
    """OpenAI's `stream_options`."""

    include_usage: bool = False


class ChatRequest(_Strict):
    """The fields of OpenAI's API that are passed on."""

    messages: list[Message] = Field(min_length=1, max_length=64)
    model: str = Field(default="", max_length=128, exclude=True)
    """Any: there is one."""
    max_tokens: int = Field(default=256, ge=1, le=MAX_TOKENS, alias="max_completion_tokens")
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: int | None = None
    stop: list[str] | str | None = Field(default=None, max_length=4)
    stream: bool = False
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_limit(cls, data: Any) -> Any:
        """`max_tokens` is the older name of `max_completion_tokens`."""
        if isinstance(data, dict) and "max_tokens" in data:
            data = {"max_completion_tokens": data["max_tokens"], **data}
            del data["max_tokens"]
        return data


class Upstream(Protocol):
    """What answers: llama.cpp here, or a provider."""

    slots: int
    """Of llama.cpp; 0 where there are none to be told about."""

    async def load(self) -> None:
        """Make it ready."""
        ...

    async def close(self) -> None:
        """Let go of what `load` has taken."""
        ...

    def state(self) -> dict[str, Any]:
        """For /healthz."""
        ...

    def session(self) -> aiohttp.ClientSession:
        """Connections to it, with all that every request needs; the caller closes it."""
        ...

    def body(self) -> dict[str, Any]:
        """What it wants in every request beside OpenAI's fields."""
        ...


class Slots:
    """Which client has which of llama.cpp's slots; the longest unused goes to a new client."""

    def __init__(self, count: int) -> None:
        self._owners: OrderedDict[int, str] = OrderedDict.fromkeys(range(count), "")
        self._busy: set[int] = set()

    @contextmanager
    def held(self, client: str) -> Iterator[tuple[int, bool]]:
        """A slot, and whether it must be erased (then call `give` once it is)."""
        free = [slot for slot in self._owners if slot not in self._busy]
        own = [slot for slot in free if self._owners[slot] == client]
        slot = (own or free)[0]
        self._owners.move_to_end(slot)
        self._busy.add(slot)
        try:
            yield slot, not own
        finally:
            self._busy.remove(slot)

    def busy(self) -> set[str]:
        """Clients whose slot is in use."""
        return {self._owners[slot] for slot in self._busy}

    def give(self, slot: int, client: str) -> None:
        """It is erased, and the client's from now on."""
        self._owners[slot] = client


class Kept:
    """What clients had read ahead, as llama.cpp saves a slot; the longest unused is forgotten.

    In files of this process's memory (memfd), which no disk sees and which end with it. llama.cpp
    runs in this process and opens them as `/proc/self/fd/…`.
    """

    def __init__(self, limit: int = _KEPT_BYTES) -> None:
        self._limit = limit
        self._files: OrderedDict[str, tuple[int, str]] = OrderedDict()

    def find(self, client: str) -> int | None:
        """The descriptor of the client's own file."""
        if client not in self._files:
            return None
        self._files.move_to_end(client)
        return self._files[client][0]

    def make(self, client: str, read: str) -> int | None:
        """A descriptor for what the client had `read` just now; None where that is kept."""
        if self._files.get(client, (0, None))[1] == read:
            return None
        self.forget(client)
        descriptor = os.memfd_create("voicefleet-llm")
        self._files[client] = descriptor, read
        return descriptor

    def shrink(self, using: Collection[str]) -> None:
        """Keep to the limit, by what none of these clients is `using`."""
        size = sum(os.fstat(descriptor).st_size for descriptor, _ in self._files.values())
        for client in [client for client in self._files if client not in using]:
            if size <= self._limit:
                return
            size -= os.fstat(self._files[client][0]).st_size
            self.forget(client)

    def forget(self, client: str) -> None:
        """Nothing of the client's is kept any more."""
        if client in self._files:
            os.close(self._files.pop(client)[0])


class Language:
    """A `gateway.Service`. Two answers are made at a time: a second client need not wait for the
    end of the first one's; of one client there is one."""

    name = "llm"
    path = "/v1/chat/completions"
    max_body = 128 << 10
    deadline_ms = 30_000

    def __init__(self, upstream: Upstream, *, running: int = 2) -> None:
        self.queue = FairQueue(running=running, per_client=4)
        self._upstream = upstream
        self._slots = Slots(upstream.slots)
        self._kept = Kept()
        self._session: aiohttp.ClientSession | None = None

    async def load(self) -> None:
        await self._upstream.load()
        self._session = self._upstream.session()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
        await self._upstream.close()

    def state(self) -> dict[str, Any]:
        return self._upstream.state()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Pass the request on, in the client's slot, and the answer back as it comes."""
        asked = parse(ChatRequest, await request.read())
        body = asked.model_dump(by_alias=True, exclude_none=True, exclude={"max_tokens"})
        body |= {"max_tokens": asked.max_tokens, **self._upstream.body()}
        client, deadline = request[CLIENT], request[TIMES].deadline

        async def answer(put: Callable[[bytes], None]) -> None:
            try:
                if not self._upstream.slots:
                    await self._ask(body, deadline, put)
                    return
                with self._slots.held(client) as (slot, strange):
                    if strange:
                        await self._act(slot, "erase")
                        self._slots.give(slot, client)
                        await self._restore(client, slot)
                    await self._ask({**body, "id_slot": slot, "cache_prompt": True}, deadline, put)
                    if request[TIMES].ahead:
                        await self._keep(client, slot, asked)
            except aiohttp.ClientError:
                raise NotReady("the language model does not answer") from None

        kind = "text/event-stream" if asked.stream else "application/json"
        return await stream(self, request, kind, answer)

    async def _restore(self, client: str, slot: int) -> None:
        """What the client had read ahead, into its slot, which is erased."""
        if (kept := self._kept.find(client)) is None:
            return
        try:
            await self._act(slot, "restore", kept)
        except aiohttp.ClientResponseError:
            self._kept.forget(client)
            await self._act(slot, "erase")

    async def _keep(self, client: str, slot: int, asked: ChatRequest) -> None:
        """Nobody waits for it, and nothing depends on it but the time of an answer."""
        kept = self._kept.make(client, hashlib.sha256(asked.model_dump_json().encode()).hexdigest())
        if kept is None:
            return
        try:
            await self._act(slot, "save", kept)
        except aiohttp.ClientResponseError:
            self._kept.forget(client)
        self._kept.shrink(self._slots.busy())

    async def _act(self, slot: int, action: str, descriptor: int | None = None) -> None:
        """`erase` the slot, or `save` it to or `restore` it from a descriptor."""
        query, body = {"action": action}, {"filename": str(descriptor)}
        post = self._connected().post(f"slots/{slot}", params=query, json=body, timeout=_SLOT)
        async with post as done:
            done.raise_for_status()

    async def _ask(
        self, body: dict[str, Any], deadline: float, put: Callable[[bytes], None]
    ) -> None:
        try:
            async with asyncio.timeout_at(deadline) as limit:
                async with self._connected().post("v1/chat/completions", json=body) as answer:
                    if answer.status in (400, 413):
                        raise BadRequest("messages: more than the language model can take in")
                    answer.raise_for_status()
                    async for chunk in answer.content.iter_any():
                        limit.reschedule(None)
                        put(chunk)
        except TimeoutError:
            raise TooLate from None

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise NotReady("the language model is not loaded yet")
        return self._session
