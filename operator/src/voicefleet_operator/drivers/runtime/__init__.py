"""Runtime drivers: where a client's agent runs."""

from __future__ import annotations

from pathlib import Path

from voicefleet_operator.drivers.runtime.base import RuntimeDriver

__all__ = ["RuntimeDriver", "make_runtime"]


def make_runtime(
    class_name: str,
    *,
    state_dir: Path,
    podman_socket: Path,
    image: str,
    models_folder: Path | None = None,
) -> RuntimeDriver:
    """The driver of a runtime class: podman, process or stub; raises ValueError for others.

    `state_dir`: clients' configuration (and data, of processes). `podman_socket` and `image`
    are Podman's only. `models_folder`: the model gateways' sockets.
    """
    match class_name:
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
