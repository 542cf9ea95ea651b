"""The worker: registered with LiveKit under the client's agent name, and truthful about it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import math
import signal
import sys
import time
from functools import partial
from typing import Any

import aiohttp
from aiohttp import web
from livekit.agents import AgentServer, JobExecutorType, JobRequest
from livekit.agents.ipc.job_executor import JobExecutor, JobStatus

from voicefleet_agent import ahead, overflow, phrases, rescue, speech, talk
from voicefleet_agent.caldav import keep_synced
from voicefleet_agent.call import answer
from voicefleet_agent.live import Live
from voicefleet_agent.logs import LOGGER
from voicefleet_agent.phrases import Phrases
from voicefleet_agent.providers import ProviderFailed
from voicefleet_agent.records import Journal
from voicefleet_agent.records.delivery import Delivery, own_token
from voicefleet_agent.rescue import Rescue
from voicefleet_agent.settings import Settings
from voicefleet_agent.tally import Tally
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.callers import caller_in
from voicefleet_api.dispatch import OVERFLOW, DispatchMetadata

CONFIG_POLL = 1.0
"""Seconds between two looks at the configuration file (one `stat`)."""
HOUSE_POLL = 1.0
"""Seconds between two tries to become the one that looks after the volume."""
RETRY_AHEAD = 20.0
"""Seconds until a voice that did not speak ahead is asked again."""

log = logging.getLogger(LOGGER)


class Worker(AgentServer):
    """LiveKit's `AgentServer`, with what it does not tell: whether it is registered; and a call
    that has lost its process gets another.

    Its own health page says OK from the first moment, before registration and while it tries to
    reconnect; only after `max_retry` failures it says 503, and then the process ends.
    `_run_ws` is entered once LiveKit has confirmed the registration, and left when the
    connection is gone.
    """

    registered = False
    begun = False
    """It has been registered: before that there are no jobs to ask for."""

    def __init__(self, *, overflow: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self._rescue = Rescue(overflow=overflow)

    async def _update_job_status(self, proc: JobExecutor) -> None:
        await super()._update_job_status(proc)
        lost = proc.running_job
        if lost is None or proc.status is not JobStatus.FAILED or self._closed:
            return
        try:
            successor = await self._rescue.successor(lost)
            if successor is not None:
                await self._proc_pool.launch_job(successor)
        except Exception as error:
            log.error("call lost", extra={"action": "CallLost", "error": type(error).__name__})

    async def _run_ws(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.registered = self.begun = True
        log.info("registered", extra={"action": "Registered", "workerID": self.id})
        try:
            await super()._run_ws(ws)
        finally:
            self.registered = False
            log.info("registration lost", extra={"action": "RegistrationLost"})


def no_load() -> float:
    """Load as LiveKit sees it.

    The framework's figure is the machine's CPU use, and above its threshold no call is sent:
    with many clients on one machine, one client's call would make all of them unavailable,
    though each has capacity of its own. How many calls a client takes at once is for its
    telephony limits to say.
    """
    return 0.0


def is_ours(metadata: str, room: str) -> bool:
    """Whether a caller is one of ours, where two versions share them.

    What cannot be read is ours: two voices are better than none.
    """
    try:
        callers = DispatchMetadata.model_validate_json(metadata or "{}").callers
    except ValueError:
        log.error("dispatch not understood", extra={"action": "DispatchInvalid"})
        return True
    return callers is None or callers.include(caller_in(room))


def build(config: AgentConfig, settings: Settings, tally: Tally) -> Worker:
    """A worker that is not running yet."""
    worker = Worker(
        overflow=config.overflow,
        ws_url=config.livekit_url,
        # A process a call: it can be killed, and its memory goes back when the caller hangs up.
        job_executor_type=JobExecutorType.PROCESS,
        # Whoever comes to the overflow agent has waited for another one already.
        num_idle_processes=int(config.overflow),
        load_fnc=no_load,
        load_threshold=math.inf,
        # LiveKit may be away for as long as it likes; the pause between attempts ends at 10 s.
        max_retry=sys.maxsize,
        drain_timeout=settings.drain_seconds,
        shutdown_process_timeout=5.0,
        # Its own health page is not used (see Worker), and cannot be switched off.
        host="127.0.0.1",
        port=0,
    )

    async def overflows(request: JobRequest) -> bool:
        client = overflow.client_of(request.job.metadata)
        if client is None:
            log.error("dispatch not understood", extra={"action": "DispatchInvalid"})
            return False
        async with rescue.livekit_api() as livekit:
            needed = await overflow.is_needed(livekit, request.room.name)
        if needed:
            extra = {"action": "OverflowNeeded", "callee": client.client_id}
            log.warning("no agent of the client's has joined", extra=extra)
        return needed

    async def take(request: JobRequest) -> None:
        if config.overflow:
            ours, attributes = await overflows(request), {OVERFLOW: "true"}
        else:
            ours, attributes = is_ours(request.job.metadata, request.room.name), {}
        if ours:
            tally.accept(request.id)
            await request.accept(attributes=attributes)
        else:
            await request.reject()

    worker.rtc_session(answer, agent_name=config.agent_name, on_request=take)
    return worker


async def serve_health(
    worker: Worker, delivery: Delivery, tally: Tally, config: AgentConfig, settings: Settings
) -> web.AppRunner:
    """`GET /`: 200 while registered and taking calls, else 503; a JSON object either way.

    `GET /healthz`: 200 while the event loop runs; a restart would not help it.
    """
    started_at = time.time()

    async def health(_: web.Request) -> web.Response:
        ready = worker.registered and not worker.draining
        under_way = {info.job.id for info in worker.active_jobs} if worker.begun else set()
        tally.look(under_way)
        return web.json_response(
            {
                "registered": ready,
                "agentName": config.agent_name,
                "startedAt": started_at,
                "activeCalls": len(under_way),
                "endedCalls": tally.ended,
                "failedCalls": tally.failed,
                "answerMilliseconds": tally.answer_ms,
                "deliveredCalls": delivery.calls,
                "callStates": delivery.states,
            },
            status=200 if ready else 503,
        )

    async def alive(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_get("/", health)
    app.router.add_get("/healthz", alive)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, settings.health_host, settings.health_port).start()
    return runner


async def keep_phrases_ready(settings: Settings, tried: asyncio.Event) -> None:
    """Speak ahead what can be, whenever the configuration changes; `tried` after the first words.

    A call reads the file itself, so a broken file or a failing voice costs nothing here but the
    head start; both are logged, and tried again when the file changes.
    """
    live: Live | None = None
    seen: AgentConfig | None = None
    speaking: asyncio.Task[None] | None = None
    try:
        while True:
            with contextlib.suppress(OSError, ValueError):
                live = live or Live(settings)
                live.look()
                if live.config != seen:
                    seen = live.config
                    if speaking is not None:
                        speaking.cancel()
                    greeted = await _make_greeting(live, settings)
                    speaking = asyncio.create_task(_speak_ahead(live, settings, greeted))
            tried.set()
            await asyncio.sleep(CONFIG_POLL)
    finally:
        if speaking is not None:
            speaking.cancel()
        if live is not None:
            await live.aclose()


def _first_words(config: AgentConfig) -> list[str]:
    return [*config.opening, *([config.experiment.greeting] if config.experiment else [])]


async def _make_greeting(live: Live, settings: Settings) -> bool:
    try:
        made = Phrases(settings.phrases)
        await ahead.speak_somehow(
            made, live.providers.ahead, _first_words(live.config), live.config.locale
        )
    except ahead.SpeechFailed as error:
        log.error(
            "greeting not ready",
            extra={"action": "GreetingFailed", "error": type(error).__name__},
        )
        return False
    log.info("greeting ready", extra={"action": "GreetingReady"})
    return True


async def _speak_ahead(live: Live, settings: Settings, greeted: bool) -> None:
    """First what must be sayable in need, by whoever can; then all the rest by the client's voice.

    Tried again until the voice has said all of it.
    """
    made, speaker = Phrases(settings.phrases), live.providers.ahead
    essential = phrases.essential(live.config.locale)
    needed = [*_first_words(live.config), *essential, *talk.prepared(live, settings)]
    while True:
        try:
            greeted = greeted or await _make_greeting(live, settings)
            await ahead.speak_somehow(made, speaker, essential, live.config.locale)
            await ahead.speak(made, speaker, needed)
            made.prune({speaker.name, speech.NAME}, needed)
            log.info("phrases ready", extra={"action": "PhrasesReady", "count": len(needed)})
            await live.providers.warm()
            await live.providers.brief(talk.briefing(live, settings))
            return
        except (ProviderFailed, OSError, ahead.SpeechFailed) as error:
            log.warning(
                "phrases not ready",
                extra={"action": "PhrasesFailed", "error": type(error).__name__},
            )
        await asyncio.sleep(RETRY_AHEAD)


async def keep_house(
    worker: Worker, delivery: Delivery, config: AgentConfig, settings: Settings
) -> None:
    """Take over what a worker before has left, deliver records, sync the calendar: of two workers
    on the volume, one at a time."""
    settings.housekeeping.parent.mkdir(parents=True, exist_ok=True)
    with settings.housekeeping.open("ab") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(HOUSE_POLL)
        left = rescue.take_over_left(
            Journal(settings.spool),
            config,
            lambda: worker.registered,
            lambda entry: overflow.metadata(settings, entry) if config.overflow else "",
        )
        await asyncio.gather(left, keep_synced(settings), delivery.run())


async def run(config: AgentConfig, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; then finish the calls in progress and return."""
    tally = Tally(settings.tally)
    worker = build(config, settings, tally)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    started = asyncio.Event()
    worker.on("worker_started", started.set)
    token = partial(overflow.token, settings) if config.overflow else own_token
    delivery = Delivery(settings, patience=rescue.PATIENCE, token=token)
    health = await serve_health(worker, delivery, tally, config, settings)
    tried = asyncio.Event()
    greeting = asyncio.create_task(keep_phrases_ready(settings, tried))
    keeping = asyncio.create_task(keep_house(worker, delivery, config, settings))

    async def serve() -> None:
        # Not registered before it has something to say: a first caller would hear silence.
        await tried.wait()
        await worker.run()

    serving = asyncio.create_task(serve())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set() and not started.is_set():
            serving.cancel()
        elif stop.is_set():
            log.info("draining", extra={"action": "Draining"})
            with contextlib.suppress(TimeoutError):
                await worker.drain()
            await worker.aclose()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
    finally:
        for task in (greeting, keeping, stopping):
            task.cancel()
        await health.cleanup()
