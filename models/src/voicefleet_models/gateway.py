"""What the three gateways have in common: who asks, whose turn it is, what is said and counted.

What a client sends or gets is never logged nor kept on disk: a log line has sizes and times.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest

from voicefleet_api import tokens
from voicefleet_models.queueing import FairQueue, TooLate, TooMany

logger = logging.getLogger("voicefleet.models")
T = TypeVar("T")

_MAX_DEADLINE_MS = 60_000
_REQUEST_SECONDS = 120.0
"""From a request's first byte to its answer's last, however slowly the client sends or reads."""
_MAX_HEADER = 64 << 10
"""Bytes of one header: what a speaker is likely to say stands in one."""
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
QUEUE_SECONDS = Histogram(
    "voicefleet_models_queue_seconds", "Waiting for a turn.", ["service"], buckets=_BUCKETS
)
COMPUTE_SECONDS = Histogram(
    "voicefleet_models_compute_seconds", "A turn itself.", ["service"], buckets=_BUCKETS
)
REQUESTS = Counter("voicefleet_models_requests_total", "Answers by status.", ["service", "status"])


class BadRequest(Exception):
    """The request cannot be served as it is; the text says what to change."""


class NotReady(Exception):
    """The model cannot answer now; the text says why."""


class Service(Protocol):
    """What differs between the gateways."""

    name: str
    path: str
    max_body: int
    """Bytes."""
    deadline_ms: int
    """Where the request does not say."""
    queue: FairQueue

    async def load(self) -> None:
        """Make the model ready; runs beside the server, and until it ends nothing is served."""
        ...

    async def close(self) -> None:
        """Let go of what `load` has taken."""
        ...

    def state(self) -> dict[str, Any]:
        """For /healthz: what is loaded."""
        ...

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer a request of an admitted client; raises `BadRequest`, `NotReady`, `TooLate`."""
        ...


@dataclass
class Times:
    """What a request's time went into, milliseconds."""

    deadline: float
    """In the event loop's time, seconds."""
    ahead: bool = False
    """No caller waits for it."""
    queue_ms: int = 0
    compute_ms: int = 0


CLIENT = web.RequestKey("client", str)
TIMES = web.RequestKey("times", Times)


@asynccontextmanager
async def turn(service: Service, request: web.Request) -> AsyncIterator[None]:
    """The client's turn on the model, measured; raises `TooLate`."""
    times = request[TIMES]
    waited = time.monotonic()
    async with service.queue.turn(request[CLIENT], times.deadline, ahead=times.ahead):
        begun = time.monotonic()
        times.queue_ms = round((begun - waited) * 1000)
        QUEUE_SECONDS.labels(service.name).observe(begun - waited)
        try:
            yield
        finally:
            seconds = time.monotonic() - begun
            times.compute_ms = round(seconds * 1000)
            COMPUTE_SECONDS.labels(service.name).observe(seconds)


async def whole(work: Callable[[], T]) -> T:
    """Run in a thread and wait for its end even when cancelled.

    A thread cannot be stopped: who lets go of its turn before would let two run at once.
    """
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


async def stream(
    service: Service,
    request: web.Request,
    content_type: str,
    produce: Callable[[Callable[[bytes], None]], Awaitable[None]],
) -> web.StreamResponse:
    """Answer with what `produce` puts, as it comes, made during the client's turn.

    A slow reader does not hold the turn: what is made waits in memory. A failure after the first
    chunk breaks the connection, so that nobody takes a part for the whole.
    """
    made: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def run() -> None:
        try:
            async with turn(service, request):
                await produce(made.put_nowait)
        finally:
            made.put_nowait(None)

    producer = asyncio.create_task(run())
    try:
        chunk = await made.get()
        if chunk is None:
            await producer
        response = web.StreamResponse(
            headers={
                "Content-Type": content_type,
                "Voicefleet-Queue-Ms": str(request[TIMES].queue_ms),
            }
        )
        await response.prepare(request)
        while chunk is not None:
            await response.write(chunk)
            chunk = await made.get()
        await asyncio.wait({producer})
        if (error := producer.exception()) is not None:
            _log_failure(error)
            if request.transport is not None:
                request.transport.abort()
        return response
    finally:
        producer.cancel()
        await asyncio.wait({producer})


class Gateway:
    """A service behind its address; `key` is the one that tokens are signed with."""

    def __init__(self, service: Service, key: str) -> None:
        tokens.mint(key, tokens.PLATFORM)  # a bad key is better found now
        self._service = service
        self._key = key
        self._ready = False

    def app(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=self._service.max_body)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_post(self._service.path, self._answer)
        return app

    async def load(self) -> None:
        """Load the model; from then on requests are served."""
        started = time.monotonic()
        await self._service.load()
        self._ready = True
        logger.info("ready", extra={"seconds": round(time.monotonic() - started, 2)})

    async def _healthz(self, request: web.Request) -> web.Response:
        status = 200 if self._ready else 503
        body = {"service": self._service.name, "ready": self._ready, **self._service.state()}
        return web.json_response(body, status=status)

    async def _metrics(self, request: web.Request) -> web.Response:
        try:
            subject = self._client(request)
        except tokens.Unauthorized as error:
            return _error(401, str(error))
        if subject != tokens.PLATFORM:
            return _error(403, "how busy the machine is, is not for clients to know")
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    def _client(self, request: web.Request) -> str:
        given = request.headers.getall("Authorization", [])
        if len(given) > 1:
            raise tokens.Unauthorized("there is more than one header Authorization")
        return tokens.bearer(self._key, given[0] if given else None)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        now = asyncio.get_running_loop().time()
        request[TIMES] = Times(deadline=now)
        response: web.StreamResponse | None = None
        try:
            response = await self._checked(request, now)
            return response
        finally:
            status = str(response.status) if response is not None else "cancelled"
            REQUESTS.labels(self._service.name, status).inc()
            times = request[TIMES]
            logger.info(
                "request",
                extra={
                    "clientID": request.get(CLIENT),
                    "status": status,
                    "queueMs": times.queue_ms,
                    "computeMs": times.compute_ms,
                },
            )

    async def _checked(self, request: web.Request, now: float) -> web.StreamResponse:
        """The answer, or what went wrong in the protocol's words."""
        try:
            client = request[CLIENT] = self._client(request)
            request[TIMES].deadline = now + self._deadline_ms(request) / 1000
            request[TIMES].ahead = _is_ahead(request)
            if not self._ready:
                raise NotReady("the model is not loaded yet")
            with self._service.queue.admitted(client):
                async with asyncio.timeout(_REQUEST_SECONDS):
                    return await self._service.serve(request)
        except tokens.Unauthorized as error:
            return _error(401, str(error), {"WWW-Authenticate": "Bearer"})
        except BadRequest as error:
            return _error(400, str(error))
        except web.HTTPRequestEntityTooLarge:
            return _error(413, f"the body is larger than {self._service.max_body} bytes")
        except TooMany:
            words = "this client has too many requests under way; wait for their answers"
            return _error(429, words, {"Retry-After": "1"})
        except TooLate:
            return _error(503, "there was no answer before the deadline")
        except NotReady as error:
            return _error(503, str(error), {"Retry-After": "5"})
        except TimeoutError:
            return _error(408, f"the request has not ended in {_REQUEST_SECONDS:.0f} s")
        except Exception as error:
            _log_failure(error)
            return _error(500, "the gateway failed; its log says where")

    def _deadline_ms(self, request: web.Request) -> int:
        given = request.headers.get("Voicefleet-Deadline-Ms")
        if given is None:
            return self._service.deadline_ms
        if not (given.isascii() and given.isdigit() and 0 < int(given) <= _MAX_DEADLINE_MS):
            raise BadRequest(
                f"Voicefleet-Deadline-Ms: want whole milliseconds from 1 to {_MAX_DEADLINE_MS}"
            )
        return int(given)


def _is_ahead(request: web.Request) -> bool:
    given = request.headers.get("Voicefleet-Priority", "caller")
    if given not in ("caller", "ahead"):
        raise BadRequest("Voicefleet-Priority: want caller (someone is on the line) or ahead")
    return given == "ahead"


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"error": {"message": message}}, status=status, headers=headers)


def _log_failure(error: BaseException) -> None:
    """Where it failed and of what kind; its words may have what a caller said."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    at = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames]
    logger.error("failed", extra={"error": type(error).__name__, "at": at})


@asynccontextmanager
async def serving(gateway: Gateway, where: Path | tuple[str, int]) -> AsyncIterator[None]:
    """Answers on a socket, or at host and port; a request whose connection is closed is cancelled.

    Who may reach it may connect: the token decides the rest.
    """
    runner = web.AppRunner(
        gateway.app(), handler_cancellation=True, access_log=None, max_field_size=_MAX_HEADER
    )
    await runner.setup()
    try:
        if isinstance(where, Path):
            await web.UnixSite(runner, where).start()
            await asyncio.to_thread(where.chmod, 0o666)
        else:
            await web.TCPSite(runner, *where).start()
        yield
    finally:
        await runner.cleanup()


async def run(service: Service, key: str, where: Path | tuple[str, int]) -> None:
    """Serve until SIGTERM or SIGINT; raises what loading the model raises."""
    gateway = Gateway(service, key)
    # One pod may hold a thousand connections (its own limit) on which it asks nothing.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serving(gateway, where):
        loading = asyncio.create_task(gateway.load())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({loading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            await loading
            await stopping
        loading.cancel()
    await service.close()
