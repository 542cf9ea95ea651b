"""What a client's agent takes of the machine: memory, processor time."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Footprint:
    """An agent's processes: the worker, and all that it has started."""

    calls: int
    """Answered so far."""
    pss_mib: float
    """Proportional set size: pages that several processes share count in parts."""
    processes: int
    threads: int
    descriptors: int

    @classmethod
    def of(cls, worker: psutil.Process, calls: int) -> Footprint:
        """Now."""
        found = [worker, *worker.children(recursive=True)]
        pss = threads = descriptors = 0
        for process in found:
            with suppress(psutil.NoSuchProcess):
                pss += process.memory_full_info().pss
                threads += process.num_threads()
                descriptors += process.num_fds()
        return cls(calls, pss / 2**20, len(found), threads, descriptors)


def processor_seconds(process: psutil.Process) -> float:
    """Processor time of a process and all it has started, those that have ended included."""
    total = 0.0
    for each in [process, *process.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            total += sum(each.cpu_times()[:4])
    return total
