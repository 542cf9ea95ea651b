"""WAV files (16-bit mono PCM) that grow while a call goes on and survive its process.

The standard library's `wave` writes the sizes in the header at the end, or at every write; here
`seal` sets them from the file's own size, whoever has written it.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

HEADER = 44
_GAP = 0.2
"""Seconds of nothing that are a pause and no jitter."""


class Writer:
    """Appends; pauses become silence, so that both sides of a call can be laid side by side.

    A file that is there is one that a process before this one has left, in the same call."""

    def __init__(self, path: Path, rate: int) -> None:
        self._rate = rate
        self._file = path.open("ab", buffering=0)
        if self._file.tell() < HEADER:
            self._file.truncate(0)
            self._file.write(_header(rate, 0))
        elif self._file.tell() % 2:
            self._file.write(b"\0")  # the process before this one was killed in the middle
        self._samples = (self._file.tell() - HEADER) // 2

    def write(self, pcm: bytes, rate: int, at: float) -> None:
        """Samples that began `at` seconds into the call; raises OSError, ValueError."""
        if rate != self._rate:
            raise ValueError(f"the sound came at {self._rate} Hz so far, now at {rate}")
        missing = int(at * rate) - self._samples
        if missing > _GAP * rate:
            pcm = bytes(2 * missing) + pcm
        # Unbuffered: what is not in the file when the process is killed is lost.
        written = self._file.write(pcm)
        if written != len(pcm):
            raise OSError("not all of the sound was written")
        self._samples += len(pcm) // 2

    def close(self) -> None:
        """Durable from here on; `seal` comes next."""
        try:
            os.fsync(self._file.fileno())
        finally:
            self._file.close()


def seal(path: Path) -> None:
    """Set the sizes in the header, if there is such a file and it has one; raises OSError."""
    try:
        with path.open("r+b") as file:
            header = file.read(HEADER)
            if len(header) == HEADER and header.startswith(b"RIFF"):
                size = (path.stat().st_size - HEADER) // 2 * 2
                file.seek(0)
                file.write(_header(struct.unpack_from("<I", header, 24)[0], size))
    except FileNotFoundError:
        return


def _header(rate: int, size: int) -> bytes:
    """RIFF/WAVE with format 1 (PCM), one channel, 16 bits."""
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16, b"data", size),
    )
