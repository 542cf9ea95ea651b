"""`python -m voicefleet_operator`: the controller as a process."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

from prometheus_client import start_http_server

from voicefleet_operator import logs
from voicefleet_operator.controller import Loop
from voicefleet_operator.kube import Kube
from voicefleet_operator.settings import Settings
from voicefleet_operator.shell.watch import Watcher, connection

logger = logging.getLogger("voicefleet_operator")


async def serve(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT (0), or until something that must run has ended (1)."""
    running = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(number, stop.set)
    async with Kube(connection()) as kube:
        loop = Loop(kube, settings)
        watcher = Watcher(loop.event, running)
        work = asyncio.create_task(loop.run(), name="controller")
        stopping = asyncio.create_task(stop.wait(), name="signal")
        watcher.start()
        ended = asyncio.create_task(watcher.ended.wait(), name="watcher")
        logger.info("started", extra={"action": "Start"})
        await asyncio.wait({work, stopping, ended}, return_when=asyncio.FIRST_COMPLETED)
        failed = not stopping.done()
        if work.done() and not work.cancelled() and work.exception() is not None:
            logger.error("the controller failed", exc_info=work.exception())
        watcher.stop()
        for task in (work, stopping, ended):
            task.cancel()
        await asyncio.gather(work, stopping, ended, return_exceptions=True)
        logger.info("stopped", extra={"action": "Stop"})
    return 1 if failed else 0


def main() -> int:
    """Entry point; settings come from the environment."""
    settings = Settings()
    logs.configure(settings.log_level)
    if settings.metrics_port is not None:
        start_http_server(settings.metrics_port, addr="127.0.0.1")
    return asyncio.run(serve(settings))


if __name__ == "__main__":
    sys.exit(main())
