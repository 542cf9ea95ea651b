"""What makes pods of Deployments, and says where they run."""

from __future__ import annotations

from voicefleet_infra.controlplane import Component, component, write_control_plane
from voicefleet_infra.platform import Platform
from voicefleet_infra.probes import http_ok
from voicefleet_infra.service import Service, built_from
from voicefleet_infra.tools import binary


def controllers(platform: Platform) -> Service:
    """kube-controller-manager, each controller under its own ServiceAccount."""
    files = write_control_plane(platform)
    own = component(platform, "system:kube-controller-manager")
    return _service(
        platform,
        "kube-controller-manager",
        "controllers",
        own,
        "--use-service-account-credentials",
        f"--service-account-private-key-file={files.token_key}",
        f"--root-ca-file={files.ca}",
    )


def scheduler(platform: Platform) -> Service:
    """kube-scheduler."""
    own = component(platform, "system:kube-scheduler")
    return _service(platform, "kube-scheduler", "scheduler", own)


def _service(
    platform: Platform, name: str, port_name: str, own: Component, *options: str
) -> Service:
    port = platform.port(port_name)
    context = write_control_plane(platform).client_context()
    return Service(
        name,
        (
            str(binary(name)),
            f"--kubeconfig={own.kubeconfig}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            f"--tls-cert-file={own.certificate}",
            f"--tls-private-key-file={own.key}",
            "--leader-elect=false",
            "--profiling=false",
            *options,
        ),
        f"https://127.0.0.1:{port}",
        lambda: http_ok(port, "/healthz", context),
        inputs=(own.certificate, *built_from(name)),
        ports=(port_name,),
    )
