"""The lab's own promise: nothing stays behind, not even after a kill."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from support.netns import Lab

pytestmark = pytest.mark.integration

KILLED = """
from pathlib import Path
from support.netns import Lab
with Lab() as lab:
    process = lab.host("lonely").start(["sleep", "600"], Path("/dev/null"))
    print(process.pid, flush=True)
    process.wait()
"""


def test_what_a_killed_lab_left_is_removed_by_the_next() -> None:
    with Lab() as lab:
        lab.host("here")
    lab_process = subprocess.Popen(
        [sys.executable, "-c", KILLED], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE
    )
    with lab_process:
        assert lab_process.stdout is not None
        inside = psutil.Process(int(lab_process.stdout.readline()))
        lab_process.send_signal(signal.SIGKILL)
    assert inside.is_running()
    left = {f"vf-{lab_process.pid}-{host}" for host in ("switch", "lonely")}
    assert left <= _namespaces()
    with Lab():
        assert not left & _namespaces()
        inside.wait(5)
    assert not [name for name in _namespaces() if name.startswith(f"vf-{lab_process.pid}-")]


def _namespaces() -> set[str]:
    return {entry.name for entry in Path("/var/run/netns").iterdir()}
