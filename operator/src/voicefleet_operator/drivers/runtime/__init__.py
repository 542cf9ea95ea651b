"""Runtime drivers: where a client's agent runs."""

from __future__ import annotations

from pathlib import Path

from voicefleet_operator.drivers.runtime.base import RuntimeDriver
from voicefleet_operator.kube import Kube

__all__ = ["RuntimeDriver", "make_runtime"]


def make_runtime(
    class_name: str,
    *,
    kube: Kube,
    state_dir: Path,
    podman_socket: Path,
    image: str,
    models_folder: Path | None = None,
) -> RuntimeDriver:
    """The driver of a runtime class: kubernetes, podman, process or stub; ValueError for others.

    `kube`: the cluster that the operator watches, where the pods of `kubernetes` are, too.
    `state_dir`: clients' configuration (and data, of processes), with `podman_socket` and
    `models_folder` (the model gateways' sockets) where agents run on this machine. `image`: the
    agent's.
    """
    match class_name:
        case "kubernetes":
            from voicefleet_operator.drivers.runtime.kubernetes import KubernetesRuntime

            return KubernetesRuntime(kube, image)
        case "podman":
            from voicefleet_operator.drivers.runtime.podman import PodmanRuntime

            return PodmanRuntime(state_dir, podman_socket, image, models_folder)
        case "process":
            from voicefleet_operator.drivers.runtime.process import ProcessRuntime

            return ProcessRuntime(state_dir, models_folder)
        case "stub":
            from voicefleet_operator.drivers.runtime.stub import StubRuntime

            return StubRuntime()
    raise ValueError(f"no such runtime class: {class_name!r}")
