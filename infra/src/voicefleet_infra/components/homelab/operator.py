"""What works with the cluster: the controller and the portal, each under its own account."""

from __future__ import annotations

from dataclasses import replace

import pulumi

from voicefleet_infra import services
from voicefleet_infra.components.homelab.controlplane import ControlPlane
from voicefleet_infra.components.homelab.programs import Lab, Programs


class Operator(pulumi.ComponentResource):
    """The controller. It starts clients' pods beside the lab's, through Podman's socket."""

    metrics: str
    """URL of Prometheus' metrics, on loopback."""
    programs: Programs

    def __init__(
        self,
        lab: Lab,
        control_plane: ControlPlane,
        opts: pulumi.ResourceOptions,
        *,
        models: bool,
        log_level: str,
    ) -> None:
        """`models`: whether clients' agents have the machine's gateways."""
        super().__init__("voicefleet:homelab:Operator", "operator", None, opts)
        platform = lab.platform
        kubeconfig = platform.path("operator.kubeconfig")
        service = services.operator(platform, kubeconfig, lab.agent_image)
        environment = {**service.environment, "VOICEFLEET_LOG_LEVEL": log_level}
        if not models:
            # The key stays: what it signs is what the agent gateway knows a client by, too.
            del environment["VOICEFLEET_MODELS_FOLDER"]
        service = replace(service, environment=environment)
        self.metrics = service.address
        self.programs = Programs(
            "operator",
            lab,
            [service],
            [f"127.0.0.1:{platform.port('metrics')}"],
            pulumi.ResourceOptions(parent=self),
            given={kubeconfig: control_plane.account("operator", self).content},
            # It knows a pod whose process is gone from one that runs.
            sees_processes=True,
        )
        self.register_outputs({"metrics": self.metrics})


class Portal(pulumi.ComponentResource):
    """Where clients' calls are kept and shown; on loopback, since nobody logs in."""

    url: str
    programs: Programs

    def __init__(self, lab: Lab, control_plane: ControlPlane, opts: pulumi.ResourceOptions) -> None:
        super().__init__("voicefleet:homelab:Portal", "portal", None, opts)
        platform = lab.platform
        kubeconfig = platform.path("portal.kubeconfig")
        self.url = platform.portal_url
        self.programs = Programs(
            "portal",
            lab,
            [services.portal(platform, kubeconfig)],
            [f"127.0.0.1:{platform.port('portal')}"],
            pulumi.ResourceOptions(parent=self),
            given={kubeconfig: control_plane.account("portal", self).content},
        )
        self.register_outputs({"url": self.url})
