"""The platform with a Kubernetes node of its own and a phone line, on ports of its own."""

from __future__ import annotations

import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import httpx
import psutil

from bench.machine import instant_gateways
from support.controlplane import ROOT
from support.invite import Invite
from support.phones import route
from support.stack import Stack, until
from voicefleet_api.calls import CallRecord
from voicefleet_infra import node, services
from voicefleet_infra.agent_gateway import agent_gateway
from voicefleet_infra.agents import podman_environment
from voicefleet_infra.edge import phone_line
from voicefleet_infra.images import AGENT, build_image
from voicefleet_infra.node.containerd import ctr
from voicefleet_infra.node.network import bridge_name, network_name, pod_network
from voicefleet_infra.platform import cache_dir
from voicefleet_infra.service import Service

Object = dict[str, Any]

CALLER = "+14155550{:03}"
"""Who rings; each does it once."""


class OneNode(Stack):
    """With a node, the portal, and gateways that answer at once in the place of the models'."""

    runtime = "kubernetes"

    def __init__(self) -> None:
        super().__init__()
        self.platform = replace(self.platform, runtime=self.runtime)
        self._callers = iter(range(1000))

    def _services(self) -> list[Service]:
        node.open_network(self.platform)
        gateways = (instant_gateways(self.platform), agent_gateway(self.platform))
        own = (*phone_line(self.platform), *gateways, *node.node_services(self.platform))
        return [*super()._services(), *own]

    def __enter__(self) -> Self:
        try:
            super().__enter__()
        except BaseException:
            node.remove_traces(self.platform)
            raise
        try:
            environment = podman_environment(self.platform)
            self.image = build_image(AGENT, ROOT, cache_dir(), env=environment)
            node.import_images(self.platform, self.image, environment)
            self._start(services.portal(self.platform, self._cluster.kubeconfig_of("portal")))
            self.start_operator()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *args: object) -> None:
        self.stop_operator(signal.SIGTERM)
        self.stop("kubelet")
        node.stop_pods(self.platform)
        try:
            for name in reversed([*self.pids]):
                self.stop(name)
            node.remove_traces(self.platform)
        finally:
            super().__exit__(*args)

    def install(self) -> None:
        """As the platform does it: the operator is no pod here."""
        self._cluster.install()

    def set_fleet(self, **telephony: Any) -> None:
        """It is as the platform makes it."""

    # --- the node -----------------------------------------------------------------------------

    def stop(self, name: str) -> None:
        """End one of the processes."""
        if pid := self.pids.pop(name, None):
            [process] = [each for each in self._processes if each.pid == pid]
            self._processes.remove(process)
            process.terminate()
            process.wait(60)

    def restart(self, *names: str) -> None:
        """End some of the node's processes, the last named first, and start them again."""
        made = {service.name: service for service in node.node_services(self.platform)}
        for name in reversed(names):
            self.stop(name)
        for name in names:
            self._start(made[name])

    def traces(self) -> list[str]:
        """Processes, mounts, interfaces and rules of the node's."""
        own = str(self.folder)
        commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
        processes = [" ".join(words) for words in commands if any(own in word for word in words)]
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        bridge = Path("/sys/class/net", bridge_name(self.platform))
        rules = subprocess.run(
            ["iptables", "-t", "nat", "-S"], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        return [
            *processes,
            *(line for line in mounts if own in line),
            *([bridge.name] if bridge.exists() else []),
            *(rule for rule in rules if pod_network(self.platform) in rule),
        ]

    def containers(self, client_id: str) -> list[str]:
        """containerd's containers of a client's pods."""
        chosen = f"labels.io.kubernetes.pod.namespace=={client_id}"
        return ctr(self.platform, "containers", "ls", "--quiet", chosen).split()

    def addresses(self) -> set[str]:
        """Of the pods' network, those that are given to a pod."""
        given = self.folder / "node" / "cni" / "addresses" / network_name(self.platform)
        return {file.name for file in given.glob("10.*")}

    def volumes(self) -> list[Path]:
        """Folders of clients' volumes."""
        return [*(self.folder / "node" / "volumes").glob("*")]

    # --- a client ------------------------------------------------------------------------------

    def pods(self, client_id: str) -> list[Object]:
        """The client's pods."""
        items: list[Object] = self.get("pods", f"--namespace={client_id}")["items"]
        return items

    def pod(self, client_id: str) -> Object:
        """The one that is ready; waits for it."""

        def ready() -> Object | None:
            found = [
                pod
                for pod in self.pods(client_id)
                for condition in pod["status"].get("conditions", [])
                if condition["type"] == "Ready" and condition["status"] == "True"
            ]
            return found[0] if len(found) == 1 else None

        try:
            pod: Object = until(ready, "no pod is ready", seconds=120)
        except AssertionError as error:
            shown = self.kubectl("describe", "pods", f"--namespace={client_id}")
            raise AssertionError(f"{error}\n{shown}\n{self.log()[-3000:]}") from None
        return pod

    def answers(self, name: str) -> CallRecord:
        """Ring the client, be answered, hang up; what the portal then has of the call."""
        status = self.client(name)["status"]
        number, caller = status["primaryNumber"], CALLER.format(next(self._callers))
        with Invite(route(self, number), number, self.platform.address, caller=caller) as call:
            call.wait(30)
            assert call.answered, (call.statuses, self.agent_log(status["clientID"]))
        return self.record(status["clientID"], caller)

    def record(self, client_id: str, caller: str) -> CallRecord:
        """What the portal has of a caller's call; waits for it."""

        def there() -> CallRecord | None:
            path = f"/api/clients/{client_id}/calls"
            listed = httpx.get(f"{self.platform.portal_url}{path}", timeout=60).json()["items"]
            calls = [CallRecord.model_validate(each) for each in listed]
            return next((call for call in calls if call.caller == caller), None)

        found: CallRecord = until(there, "the portal has no record of it", seconds=60)
        return found

    def agent_log(self, client_id: str) -> str:
        """What the client's agents have said."""
        names = [pod["metadata"]["name"] for pod in self.pods(client_id)]
        return "\n".join(self.kubectl("logs", name, f"-n{client_id}") for name in names)
