"""What came of the calls that this worker took: by it the operator judges a new version.

A call counts from the moment it is accepted, not by its record: that it leaves one is what may
fail. Its process leaves one small file when it is over; where it has not, it is gone.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from statistics import median

START_SECONDS = 30.0
"""After which an accepted call that no process has is lost."""
_REMEMBERED = 200
"""Calls of which the wait for an answer is kept."""


def note(folder: Path, job_id: str, *, failed: bool, answer_ms: float | None) -> None:
    """A call is over; raises OSError. `answer_ms`: its median wait for an answer."""
    partial = folder / f".{job_id}"
    partial.write_text(json.dumps({"failed": failed, "answer": answer_ms}))
    partial.replace(folder / job_id)


class Tally:
    """The worker's side. Begins at nothing: it is about this process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._accepted: dict[str, float] = {}
        self._answers: deque[float] = deque(maxlen=_REMEMBERED)
        self.ended = 0
        self.failed = 0
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.iterdir():
            left.unlink()

    def accept(self, job_id: str) -> None:
        """A call is taken."""
        self._accepted[job_id] = time.monotonic()

    @property
    def answer_ms(self) -> float | None:
        """Median wait for an answer."""
        return median(self._answers) if self._answers else None

    def look(self, under_way: Collection[str]) -> None:
        """Count what has ended; `under_way` are the jobs that have a process."""
        lost = time.monotonic() - START_SECONDS
        for job_id, at in [*self._accepted.items()]:
            file = self._folder / job_id
            with suppress(FileNotFoundError):
                seen = json.loads(file.read_text())
                file.unlink()
                self._end(job_id, failed=seen["failed"])
                if seen["answer"] is not None:
                    self._answers.append(seen["answer"])
                continue
            if at < lost and job_id not in under_way:
                self._end(job_id, failed=True)

    def _end(self, job_id: str, *, failed: bool) -> None:
        del self._accepted[job_id]
        self.ended += 1
        self.failed += failed
