"""Keeps the platform's processes running, by supervisord: start, restart after a crash, stop.

The services' sections are generated; a section that changed (or whose input files did) is
restarted by supervisor's own `update`, the others are left alone. That is what makes a second
`make up` harmless.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from supervisor.xmlrpc import SupervisorTransport

from voicefleet_infra.platform import Platform, write_private
from voicefleet_infra.service import Service

_BIN = Path(sys.executable).parent
_STARTED = ("RUNNING", "STARTING", "BACKOFF")
_ATTEMPTS = 4
"""Starts that `start` watches fail; supervisord itself goes on trying for minutes."""


class StartFailed(Exception):
    """A process did not become ready; the text has the end of its log."""


def _section(platform: Platform, service: Service) -> str:
    environment = {
        **service.environment,
        # supervisord compares sections, not files: this makes it see both.
        "VOICEFLEET_INPUTS": service.fingerprint(),
    }
    pairs = ",".join(f'{name}="{value}"' for name, value in sorted(environment.items()))
    log = platform.folder("logs") / f"{service.name}.log"
    return (
        f"[program:{service.name}]\n"
        f"command={shlex.join(service.command)}\n"
        f"environment={pairs}\n"
        "autostart=false\nautorestart=true\nstartsecs=1\nstartretries=20\n"
        f"stopwaitsecs={service.stop_seconds}\nstopasgroup=true\nkillasgroup=true\n"
        f"redirect_stderr=true\nstdout_logfile={log}\nstdout_logfile_maxbytes=20MB\n"
        "stdout_logfile_backups=2\n"
    )


class Supervisor:
    """supervisord of one platform."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._config = platform.path("supervisord.conf")
        self._socket = platform.folder("run") / "supervisor.sock"
        self._pid_file = platform.path("run", "supervisord.pid")

    def _write(self, services: Sequence[Service]) -> None:
        run = self._platform.folder("run")
        head = (
            f"[unix_http_server]\nfile={self._socket}\nchmod=0700\n"
            f"[supervisord]\npidfile={self._pid_file}\ndirectory={run}\n"
            f"logfile={self._platform.folder('logs') / 'supervisord.log'}\nloglevel=info\n"
            "[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory="
            "supervisor.rpcinterface:make_main_rpcinterface\n"
            f"[supervisorctl]\nserverurl=unix://{self._socket}\n"
        )
        sections = [_section(self._platform, service) for service in services]
        # A percent sign is supervisor's own in values.
        write_private(self._config, head + "\n".join(sections).replace("%", "%%"))

    @contextmanager
    def _rpc(self) -> Iterator[Any]:
        """supervisord's XML-RPC API (supervisord.org/api.html)."""
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        try:
            yield xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor
        finally:
            transport.close()

    def running(self) -> bool:
        """Whether supervisord itself is there."""
        try:
            with self._rpc() as rpc:
                rpc.getState()
        except (OSError, xmlrpc.client.Error):
            return False
        return True

    def apply(self, services: Sequence[Service]) -> None:
        """Make these the services; what is unchanged and running is left alone."""
        self._write(services)
        if not self.running():
            self._run("supervisord")
            self._wait_for_daemon()
            return
        self._run("supervisorctl", "update")

    def end_orphans(self) -> None:
        """End what a supervisord that was killed has left: it would hold our ports. Pods' shims are
        containerd's, which finds them again."""
        orphans = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                # supervisord tells each of its children where it listens itself.
                ours = process.environ().get("SUPERVISOR_SERVER_URL") == f"unix://{self._socket}"
                if ours and not process.name().startswith("containerd-shim"):
                    process.terminate()
                    orphans.append(process)
        _, alive = psutil.wait_procs(orphans, timeout=20)
        for process in alive:
            process.kill()

    def _wait_for_daemon(self) -> None:
        deadline = time.monotonic() + 10
        while not self.running():
            if time.monotonic() > deadline:
                raise StartFailed("supervisord did not start")
            time.sleep(0.05)

    def _run(self, program: str, *words: str) -> None:
        command = [str(_BIN / program), "-c", str(self._config), *words]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise StartFailed(f"{program}: {(done.stderr or done.stdout).strip()}")

    def states(self) -> dict[str, str]:
        """Service -> RUNNING, STOPPED, FATAL and so on; empty where nothing runs."""
        if not self.running():
            return {}
        with self._rpc() as rpc:
            return {info["name"]: info["statename"] for info in rpc.getAllProcessInfo()}

    def launch(self, service: Service) -> None:
        """Start a service if it does not run, and wait for nothing."""
        if self.states().get(service.name) not in _STARTED:
            with self._rpc() as rpc:
                rpc.startProcess(service.name, False)

    def start(self, service: Service, timeout: float = 60.0) -> None:
        """Start a service if it does not run, and wait until it is ready; raises `StartFailed`."""
        self.launch(service)
        deadline = time.monotonic() + timeout
        starts: set[int] = set()
        while not service.ready():
            with self._rpc() as rpc:
                info = rpc.getProcessInfo(service.name)
            starts.add(info["start"])
            given_up = info["statename"] == "FATAL" or len(starts) > _ATTEMPTS
            if given_up or time.monotonic() > deadline:
                raise StartFailed(f"{service.name} is not ready:\n{self.log_end(service.name)}")
            time.sleep(0.1)

    def log_end(self, name: str, size: int = 1500) -> str:
        """The last of a service's log."""
        log = self._platform.path("logs", f"{name}.log")
        return log.read_text(errors="replace")[-size:] if log.exists() else "(no log)"

    def stop(self, name: str) -> None:
        """Stop one service."""
        if self.states().get(name) in _STARTED:
            with self._rpc() as rpc:
                rpc.stopProcess(name)

    def shutdown(self) -> None:
        """Stop everything, and supervisord."""
        if not self.running():
            return
        pid = int(self._pid_file.read_text())
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 60
        while Path(f"/proc/{pid}").exists():
            if time.monotonic() > deadline:
                raise StartFailed("supervisord did not stop")
            time.sleep(0.1)
