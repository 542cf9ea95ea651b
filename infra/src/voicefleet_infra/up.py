"""Brings the local platform up and takes it down; safe to repeat at any time."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil

from voicefleet_infra import services
from voicefleet_infra.cluster import Cluster, sample
from voicefleet_infra.images.agent import build_agent_image
from voicefleet_infra.images.podman import write_containers_conf
from voicefleet_infra.platform import Platform, cache_dir, write_private
from voicefleet_infra.services import Service
from voicefleet_infra.supervision import Supervisor
from voicefleet_infra.tools import build_go_programs, install_packages, repository

Progress = Callable[[str], None]
Step = Callable[[str], "contextlib.AbstractContextManager[None]"]


class PortTaken(Exception):
    """Somebody else listens where we want to."""


class Up:
    """One run of `up`. `step` shows what takes its time; `progress` says a line."""

    def __init__(self, platform: Platform, step: Step, progress: Progress) -> None:
        self.platform = platform
        self.supervisor = Supervisor(platform)
        self.cluster = Cluster(platform)
        self._step = step
        self._progress = progress

    def run(self, *, with_sample: bool = True) -> list[Service]:
        """Everything, from a bare machine to an Answering client; the services."""
        self._remember_settings()
        with self._step("Looking for what this machine lacks"):
            install_packages(self._progress)
        first = ("kube-apiserver",)
        with self._step("Building the control plane and LiveKit from Go modules"):
            build_go_programs(self._progress, (*first, "livekit-server", "livekit-sip"))
        image = "none"
        base = self._base_services()
        self._check_ports()
        self.supervisor.apply(self._with_known_operator(base))
        with ThreadPoolExecutor() as pool:
            image_ready: Future[str] | None = None
            if self.platform.runtime == "podman":
                image_ready = pool.submit(self._image)
            with self._step("Starting etcd, kube-apiserver, Redis, LiveKit, SIP, DNS, sandbox"):
                self._start(pool, base)
            with self._step("Installing kinds, rights and policies"):
                self.cluster.install()
                kubeconfig = self.cluster.operator_kubeconfig()
                self.cluster.apply_fleet()
            if image_ready is not None:
                with self._step("Building the agent's image from Debian and PyPI"):
                    image = image_ready.result()
        operator = services.operator(self.platform, kubeconfig, image)
        everything = [*base, operator]
        self._remember_operator(image)
        with self._step("Starting the operator"):
            self.supervisor.apply(everything)
            self.supervisor.start(operator)
        if with_sample:
            self._sample()
        return everything

    def _base_services(self) -> list[Service]:
        etcd, apiserver = services.control_plane(self.platform)
        found = [
            etcd,
            apiserver,
            services.redis(self.platform),
            services.livekit(self.platform),
            services.livekit_sip(self.platform),
            services.dns(self.platform),
            services.sandbox(self.platform),
        ]
        if self.platform.runtime == "podman":
            found.append(services.podman(self.platform))
        return found

    def _start(self, pool: ThreadPoolExecutor, base: Sequence[Service]) -> None:
        """Side by side, but for those that need another: API server after etcd, LiveKit after
        Redis."""
        chains = (("etcd", "kube-apiserver"), ("redis", "livekit", "livekit-sip"))
        by_name = {service.name: service for service in base}
        chained = {name for chain in chains for name in chain}
        alone = [(name,) for name in by_name if name not in chained]

        def start(chain: tuple[str, ...]) -> None:
            for name in chain:
                self.supervisor.start(by_name[name])

        for done in [pool.submit(start, chain) for chain in (*chains, *alone)]:
            done.result()

    def _image(self) -> str:
        with podman_environment(self.platform):
            return build_agent_image(repository(), cache_dir(), self._progress)

    def _sample(self) -> None:
        manifest = sample()
        if not self.cluster.has_clients():
            with self._step(f"Applying the sample client {manifest.name}"):
                text = manifest.read_text()
                self.cluster.kubectl("apply", "--server-side", "-f", "-", stdin=text)
            with self._step("Waiting until it answers the phone"):
                self._wait_for_all()
        else:
            with self._step("Waiting until your clients answer"):
                self._wait_for_all()

    def _wait_for_all(self, timeout: float = 180) -> None:
        """Clients that are meant to answer do; one that cannot is said by name, not waited for."""
        deadline = time.monotonic() + timeout
        while True:
            waiting = [c for c in self.cluster.clients() if _pending(c)]
            if not waiting:
                return
            if time.monotonic() > deadline:
                names = ", ".join(c["metadata"]["name"] for c in waiting)
                self._progress(f"not answering yet: {names} (kubectl describe vc)")
                return
            time.sleep(0.3)

    # --- what is remembered between runs -------------------------------------------------------

    def _remember_settings(self) -> None:
        settings = {"basePort": self.platform.base_port, "runtime": self.platform.runtime}
        write_private(self.platform.folder() / "platform.json", json.dumps(settings))

    def _remember_operator(self, image: str) -> None:
        write_private(self.platform.path("operator.json"), json.dumps({"image": image}))

    def _with_known_operator(self, base: list[Service]) -> list[Service]:
        """The operator of the last run stays in the supervisor's sections, or it would be
        stopped by the first `apply` of this one."""
        file = self.platform.path("operator.json")
        kubeconfig = self.platform.path("operator.kubeconfig")
        if not file.exists() or not kubeconfig.exists():
            return base
        image = json.loads(file.read_text())["image"]
        return [*base, services.operator(self.platform, kubeconfig, image)]

    def _check_ports(self) -> None:
        """Say who has a port that we want, before anything fails in a log."""
        if self.supervisor.running():
            return
        wanted = {number: name for name, (number, _) in self.platform.ports().items()}
        for connection in psutil.net_connections(kind="inet"):
            port = connection.laddr[1] if connection.laddr else None
            name = wanted.get(port) if port else None
            if name is None or connection.status not in ("LISTEN", "NONE"):
                continue
            holder = "an unknown process"
            if connection.pid:
                with contextlib.suppress(psutil.Error):
                    holder = f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            raise PortTaken(
                f"port {port}, wanted for {name}, is taken by {holder};"
                " choose others with --base-port, for example --base-port 26000"
            )


def _pending(client: dict[str, object]) -> bool:
    status = client.get("status") or {}
    conditions = {c["type"]: c for c in status.get("conditions", [])}  # type: ignore[attr-defined]
    answering = conditions.get("Answering", {})
    if answering.get("status") == "True" or "Stalled" in conditions:
        return False
    settled = {"Suspended", "NoTelephony", "AwaitingPayment"}
    reasons = {answering.get("reason"), conditions.get("Ready", {}).get("reason")}
    return not settled & reasons


@contextmanager
def podman_environment(platform: Platform) -> Iterator[None]:
    """`podman` and `buildah` with the platform's configuration."""
    before = os.environ.get("CONTAINERS_CONF")
    config = write_containers_conf(platform.path("containers.conf"))
    os.environ["CONTAINERS_CONF"] = str(config)
    try:
        yield
    finally:
        if before is None:
            del os.environ["CONTAINERS_CONF"]
        else:
            os.environ["CONTAINERS_CONF"] = before


def known_platform(home: Path, base_port: int | None, runtime: str | None) -> Platform:
    """The platform in that folder, as it was last brought up, unless told otherwise."""
    file = home / "platform.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    platform = Platform(home)
    return replace(
        platform,
        base_port=base_port or known.get("basePort", platform.base_port),
        runtime=runtime or known.get("runtime") or default_runtime(),
    )


def default_runtime() -> str:
    """Podman where it can be used, or be installed; else plain processes."""
    return "podman" if shutil.which("podman") or os.geteuid() == 0 else "process"


def down(platform: Platform) -> None:
    """Stop everything, clients' agents too; the state stays."""
    supervisor = Supervisor(platform)
    # The operator first, or it would start again what is stopped after it.
    if supervisor.running():
        supervisor.stop("operator")
    _agents(platform, "stop")
    supervisor.shutdown()


def clean(platform: Platform) -> None:
    """Stop everything and remove the state; what is cached outside of it stays."""
    down(platform)
    _agents(platform, "rm")
    if platform.home.exists():
        shutil.rmtree(platform.home)


def _agents(platform: Platform, verb: str) -> None:
    """Stop or remove clients' agents, of this platform alone."""
    clients = platform.path("clients")
    ids = [path.name for path in clients.iterdir()] if clients.exists() else []
    for pid_file in clients.glob("*/pid") if clients.exists() else []:
        with contextlib.suppress(OSError, ValueError, psutil.Error):
            psutil.Process(int(pid_file.read_text().split()[0])).terminate()
    if platform.runtime != "podman" or not ids or not shutil.which("podman"):
        return
    with podman_environment(platform):
        pods = [f"vf-{client_id}" for client_id in ids]
        words = ["stop", "--time=5"] if verb == "stop" else ["rm", "--force"]
        for pod in pods:
            subprocess.run(["podman", "pod", *words, pod], capture_output=True, check=False)
            if verb == "rm":
                for kind in ("network", "volume", "secret"):
                    _remove_podman(kind, pod)


def _remove_podman(kind: str, prefix: str) -> None:
    listed = subprocess.run(
        ["podman", kind, "ls", "--format", "{{.Name}}"], capture_output=True, text=True
    )
    for name in listed.stdout.split():
        if name.startswith(prefix):
            subprocess.run(["podman", kind, "rm", name], capture_output=True, check=False)
