"""Brings the local platform up and takes it down; safe to repeat at any time."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil

from voicefleet_infra import node, services
from voicefleet_infra.agent_gateway import agent_gateway
from voicefleet_infra.agents import podman_environment, remove_agents, stop_agents
from voicefleet_infra.carrier import carrier, switch, voice
from voicefleet_infra.cluster import Cluster, sample
from voicefleet_infra.edge import phone_line
from voicefleet_infra.images import AGENT, build_image
from voicefleet_infra.overflow import overflow
from voicefleet_infra.platform import Platform, cache_dir, write_private
from voicefleet_infra.probes import clients_looked_at
from voicefleet_infra.service import Service
from voicefleet_infra.supervision import Supervisor
from voicefleet_infra.tools import (
    ToolMissing,
    build_go_programs,
    install_packages,
    repository,
    stale_go_programs,
)

Progress = Callable[[str], None]
Step = Callable[[str], "contextlib.AbstractContextManager[None]"]
_GO_PROGRAMS = ("livekit-server", "livekit-sip")
_UPPER = ("operator", "portal")


class PortTaken(Exception):
    """Somebody else listens where we want to."""


class Busy(Exception):
    """Somebody else is bringing the same platform up or down."""


class Up:
    """One run of `up`. `step` shows what takes its time; `progress` says a line."""

    def __init__(self, platform: Platform, step: Step, progress: Progress) -> None:
        self.platform = platform
        self.supervisor = Supervisor(platform)
        self.cluster = Cluster(platform)
        self._step = step
        self._progress = progress
        self.not_answering: list[str] = []

    def run(self, *, with_sample: bool = True) -> list[Service]:
        """Everything, from a bare machine to an Answering client; the services.

        Raises `ToolMissing`, `PortTaken`, `StartFailed`, `BuildFailed`, `KubectlFailed`, `Busy`.
        """
        with _alone(self.platform):
            return self._run(with_sample)

    def _run(self, with_sample: bool) -> list[Service]:
        if self.platform.has_node and os.geteuid() != 0:
            raise ToolMissing("a Kubernetes node needs root")
        remember(self.platform)
        with_images = self.platform.runtime == "podman" or self.platform.has_node
        programs = [*_GO_PROGRAMS, *self._cluster_programs()]
        with self._step("Looking for what this machine lacks"):
            needs = ["platform", *(["podman"] if with_images else [])]
            needs += ["node"] if self.platform.has_node else []
            if stale_go_programs(programs):
                needs.append("build")
            install_packages(self._progress, *needs)
        image, image_ready = "none", None
        with ThreadPoolExecutor() as pool:
            if with_images:
                # It waits for package registries where the Go programs use the processors.
                image_ready = pool.submit(self._image)
            with self._step("Building the control plane and LiveKit from Go modules"):
                build_go_programs(self._progress, programs)
            base = self._base_services()
            self._check_ports(base)
            if self.platform.has_node:
                node.open_network(self.platform)
            self.supervisor.apply([*base, *self._known_upper()])
            with self._step(f"Starting {', '.join(service.name for service in base)}"):
                self._start(pool, base)
            with self._step("Installing kinds, rights and policies"):
                self.cluster.install()
                for name in _UPPER:
                    self.cluster.kubeconfig_of(name)
                self.cluster.apply_fleet()
            if image_ready is not None:
                with self._step("Building the agent's image from Debian and PyPI"):
                    image = image_ready.result()
                    if self.platform.has_node:
                        environment = podman_environment(self.platform)
                        node.import_images(self.platform, image, environment)
        upper = self._upper(image)
        everything = [*base, *upper]
        self._remember(image, everything)
        self._check_ports(upper)
        with self._step("Starting the operator and the portal"):
            self.supervisor.apply(everything)
            for service in upper:
                self.supervisor.start(service)
        if with_sample:
            self._sample()
        return everything

    def _cluster_programs(self) -> Sequence[str]:
        if self.platform.cluster:
            return ()
        return ("kube-apiserver", *(node.PROGRAMS if self.platform.has_node else ()))

    def _base_services(self) -> list[Service]:
        own = () if self.platform.cluster else services.control_plane(self.platform)
        found = [
            *own,
            services.redis(self.platform),
            services.livekit(self.platform),
            *phone_line(self.platform),
            services.dns(self.platform),
            services.sandbox(self.platform),
            carrier(self.platform),
            switch(self.platform),
            voice(self.platform),
            *(services.gateway(self.platform, name) for name in services.GATEWAYS),
            agent_gateway(self.platform),
            overflow(self.platform),
        ]
        if self.platform.runtime == "podman":
            found.append(services.podman(self.platform))
        if self.platform.has_node:
            found += node.node_services(self.platform)
        return found

    def _start(self, pool: ThreadPoolExecutor, base: Sequence[Service]) -> None:
        """Side by side, but for those that need another: API server after etcd and the node after
        that, LiveKit after Redis. Nobody waits for the language model, which may have to be fetched
        first, nor for the overflow agent, which needs LiveKit and the gateways."""
        bridges = [f"livekit-sip{which}" for which in services.SIP_NODES]
        cluster = ("etcd", "kube-apiserver", *node.SERVICES)
        chains = (cluster, ("redis", "livekit", *bridges))
        by_name = {service.name: service for service in base}
        self.supervisor.launch(by_name.pop(services.LANGUAGE))
        last = by_name.pop("overflow")
        chained = {name for chain in chains for name in chain}
        alone = [(name,) for name in by_name if name not in chained]

        def start(chain: tuple[str, ...]) -> None:
            for service in (by_name[name] for name in chain if name in by_name):
                self.supervisor.start(service)

        for done in [pool.submit(start, chain) for chain in (*chains, *alone)]:
            done.result()
        self.supervisor.launch(last)

    def _image(self) -> str:
        environment = podman_environment(self.platform)
        return build_image(AGENT, repository(), cache_dir(), self._progress, environment)

    def _sample(self) -> None:
        manifest = sample()
        if not self.cluster.has_clients():
            with self._step(f"Applying the sample client {manifest.name}"):
                self.cluster.kubectl("apply", "-f", str(manifest))
            with self._step("Waiting until it answers the phone"):
                self._wait_for_all()
        else:
            with self._step("Waiting until your clients answer"):
                self._wait_for_all()

    def _wait_for_all(self, timeout: float = 180) -> None:
        """Clients that are meant to answer do; `not_answering` names those that did not in time.

        One that cannot (suspended, unpaid, its spec must be edited) is not waited for.
        """
        deadline = time.monotonic() + timeout
        while True:
            clients = self.cluster.clients()
            waiting = [c for c in clients if _pending(c)]
            # What a status said before the operator was started says nothing about now.
            if not waiting and clients_looked_at(self.platform.port("metrics")) >= len(clients):
                return
            if time.monotonic() > deadline:
                self.not_answering = [c["metadata"]["name"] for c in waiting]
                return
            time.sleep(0.3)

    # --- what is remembered between runs -------------------------------------------------------

    def _remember(self, image: str, everything: Sequence[Service]) -> None:
        write_private(self.platform.path("operator.json"), json.dumps({"image": image}))
        addresses = {service.name: service.address for service in everything}
        write_private(self.platform.path("services.json"), json.dumps(addresses))

    def _upper(self, image: str) -> list[Service]:
        """What works with the cluster, each under its own ServiceAccount."""
        operator, portal = (self.platform.path(f"{name}.kubeconfig") for name in _UPPER)
        return [
            services.operator(self.platform, operator, image),
            services.portal(self.platform, portal),
        ]

    def _known_upper(self) -> list[Service]:
        """Those of the last run stay in the supervisor's sections, or they would be stopped by
        the first `apply` of this one."""
        file = self.platform.path("operator.json")
        if not file.exists():
            return []
        if not all(self.platform.path(f"{name}.kubeconfig").exists() for name in _UPPER):
            return []
        return self._upper(json.loads(file.read_text())["image"])

    def _check_ports(self, wanted: Sequence[Service]) -> None:
        """Say who has a port that we want, before anything fails in a log."""
        states = self.supervisor.states()
        if not states:
            self.supervisor.end_orphans()
        ports = {
            self.platform.port(name): name
            for service in wanted
            if states.get(service.name) not in ("RUNNING", "STARTING", "STOPPING")
            for name in service.ports
        }
        for connection in psutil.net_connections(kind="inet"):
            port = connection.laddr[1] if connection.laddr else None
            name = ports.get(port) if port else None
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


@contextmanager
def _alone(platform: Platform) -> Iterator[None]:
    """One `up`, `down` or `clean` at a time on one state folder; raises `Busy`."""
    with (platform.folder() / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(f"another up, down or clean is at work on {platform.home}") from error
        yield


def _pending(client: dict[str, object]) -> bool:
    status = client.get("status") or {}
    conditions = {c["type"]: c for c in status.get("conditions", [])}  # type: ignore[attr-defined]
    answering = conditions.get("Answering", {})
    if answering.get("status") == "True" or conditions.get("Stalled", {}).get("status") == "True":
        return False
    settled = {"Suspended", "NoTelephony", "AwaitingPayment"}
    reasons = {answering.get("reason"), conditions.get("Ready", {}).get("reason")}
    return not settled & reasons


def remember(platform: Platform) -> None:
    """Keep its settings in its folder, for `known_platform`."""
    settings = {
        "basePort": platform.base_port,
        "runtime": platform.runtime,
        "cluster": str(platform.cluster) if platform.cluster else None,
    }
    write_private(platform.folder() / "platform.json", json.dumps(settings))


def known_platform(
    home: Path,
    base_port: int | None = None,
    runtime: str | None = None,
    cluster: Path | None = None,
) -> Platform:
    """The platform in that folder, as it was last brought up, unless told otherwise."""
    file = home / "platform.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    platform = Platform(home)
    cluster = cluster or (Path(known["cluster"]) if known.get("cluster") else None)
    return replace(
        platform,
        base_port=base_port or known.get("basePort", platform.base_port),
        runtime=runtime or known.get("runtime") or default_runtime(),
        cluster=cluster,
    )


def default_runtime() -> str:
    """Podman where it can be used, or be installed; else plain processes."""
    return "podman" if shutil.which("podman") or os.geteuid() == 0 else "process"


def addresses(platform: Platform) -> dict[str, str]:
    """Where each process of the last `up` is reached; for people."""
    file = platform.path("services.json")
    known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    return known


def down(platform: Platform) -> None:
    """Stop everything, clients' agents too; the state stays. Raises `Busy`, `StartFailed`."""
    if platform.home.exists():
        with _alone(platform):
            _stop(platform)


def _stop(platform: Platform) -> None:
    supervisor = Supervisor(platform)
    # The operator first, or it would start again what is stopped after it.
    if supervisor.running():
        supervisor.stop("operator")
        supervisor.stop("kubelet")
    stop_agents(platform)
    if platform.has_node:
        node.stop_pods(platform)
    supervisor.shutdown()
    supervisor.end_orphans()
    if platform.has_node:
        node.remove_traces(platform)


def clean(platform: Platform) -> None:
    """Stop everything and remove the state; what is cached outside of it stays."""
    if platform.home.exists():
        with _alone(platform):
            _stop(platform)
            remove_agents(platform)
            shutil.rmtree(platform.home)
