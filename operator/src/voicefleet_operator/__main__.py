"""`python -m voicefleet_operator`: the controller as a process."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

from voicefleet_operator import logs, metrics
from voicefleet_operator.controller import Loop
from voicefleet_operator.kube import Kube
from voicefleet_operator.settings import Settings
from voicefleet_operator.shell.health import Health
from voicefleet_operator.shell.health import serve as serve_health
from voicefleet_operator.shell.leadership import Leadership
from voicefleet_operator.shell.watch import Watcher, connection

logger = logging.getLogger("voicefleet_operator")


async def serve(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT (0), or until something that must run has ended (1).

    A lost lease ends the process on the spot: another may be acting already.
    """
    stop, running = asyncio.Event(), asyncio.get_running_loop()
    metrics.TASKS.set_function(lambda: len(asyncio.all_tasks(running)))
    for number in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(number, stop.set)
    stopping = asyncio.create_task(stop.wait(), name="signal")
    # The lease has a session of its own: it is written by whoever does not hold it yet.
    async with Kube(connection) as own:
        leadership = Leadership(own, seconds=settings.lease_seconds, identity=settings.identity)
        health = Health(leadership, settings.stalled_seconds)
        if settings.metrics_port is not None:
            checks = {"/healthz": health.live, "/readyz": health.ready}
            serve_health(settings.metrics_address, settings.metrics_port, checks)
        waiting = asyncio.create_task(leadership.acquire(), name="lease")
        await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            waiting.cancel()
            return 0
        keeping = asyncio.create_task(leadership.keep(), name="lease")
        async with Kube(connection, may_write=lambda: leadership.held) as kube:
            health.loop = Loop(kube, settings)
            metrics.QUEUE_OLDEST.set_function(health.loop.queue.oldest)
            failed = await _work(health.loop, stopping, keeping, settings.grace_seconds)
        keeping.cancel()
        await leadership.release()
    logger.info("stopped", extra={"action": "Stop"})
    return 1 if failed else 0


async def _work(
    loop: Loop, stopping: asyncio.Task[bool], keeping: asyncio.Task[None], grace: float
) -> bool:
    """Lead until told to stop, and finish what is in flight; whether something has failed."""
    watcher = Watcher(loop.event, asyncio.get_running_loop())
    work = asyncio.create_task(loop.run(), name="controller")
    watcher.start()
    ended = asyncio.create_task(watcher.ended.wait(), name="watcher")
    logger.info("started", extra={"action": "Start"})
    vital = {work, ended, keeping}
    await asyncio.wait({*vital, stopping}, return_when=asyncio.FIRST_COMPLETED)
    drained = asyncio.create_task(loop.queue.drain(), name="drain")
    if not any(task.done() for task in vital):
        logger.info("stopping", extra={"action": "Stop"})
        await asyncio.wait({*vital, drained}, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
    if keeping.done():
        logger.critical("the lease is lost; ending at once", extra={"action": "Stop"})
        logging.shutdown()
        os._exit(1)
    if work.done() and not work.cancelled() and work.exception() is not None:
        logger.error("the controller failed", exc_info=work.exception())
    watcher.stop()
    for task in (work, ended, drained):
        task.cancel()
    await asyncio.gather(work, ended, drained, return_exceptions=True)
    return not stopping.done()


def main() -> int:
    """Entry point; settings come from the environment."""
    settings = Settings()
    logs.configure(settings.log_level)
    return asyncio.run(serve(settings))


if __name__ == "__main__":
    sys.exit(main())
