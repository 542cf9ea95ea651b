"""The process that job processes are forked from, itself forked from the worker.

`multiprocessing`'s fork server is a fresh interpreter: it imports the framework a second time,
which costs each client 110 MB and 2.5 s of processor time. Forked from the worker before the
worker has threads, it shares those pages, and the first call finds it warm.
"""

from __future__ import annotations

import gc
import importlib
import logging
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import multiprocessing.util
import os
from collections.abc import Sequence
from itertools import pairwise
from unittest import mock


def start() -> None:
    """Start the fork server; call once, with one thread running and everything imported.

    It is the standard one but for its birth: `ensure_running` starts it by
    `multiprocessing.util.spawnv_passfds(path, args, fds)` (CPython 3.11 to 3.13,
    Lib/multiprocessing/forkserver.py). Should it die, `ensure_running` starts a new one the
    standard way at the next call.
    """
    # What every job process would do for itself before its first call.
    importlib.import_module("livekit.agents.ipc._preload")
    # The voice activity detector: 2 MB, no thread (livekit-local-inference), shared by all calls.
    importlib.import_module("livekit.local_inference").init_vad()
    # Started the same way: must be there before, or it would be forked too.
    multiprocessing.resource_tracker.ensure_running()
    # What is alive now stays alive; a collection that touched it would unshare its pages.
    gc.collect()
    gc.freeze()
    with mock.patch.object(multiprocessing.util, "spawnv_passfds", _fork):
        multiprocessing.forkserver.ensure_running()


def _fork(_path: str, _args: Sequence[str], fds: Sequence[int]) -> int:
    """Become the fork server in a child; `fds` are its listener and its parent's lifeline."""
    pid = os.fork()
    if pid:
        return pid
    try:
        # Exactly what an exec would have left open, the parent's end of the lifeline not included.
        kept = sorted({0, 1, 2, *fds})
        for low, high in pairwise([*kept, os.sysconf("SC_OPEN_MAX")]):
            os.closerange(low + 1, high)
        # Job processes send their log records to the worker; it alone writes them.
        logging.getLogger().handlers.clear()
        listener, lifeline = fds
        multiprocessing.forkserver.main(listener, lifeline, [])
    finally:
        os._exit(0)
