"""Operator, agent gateway and portal, by our own Helm chart, rendered object by object so that the
policies see each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from voicefleet_infra.components.cloud.objects import SYSTEM, limits, within


@dataclass(frozen=True)
class OperatorArgs:
    """What is installed."""

    chart: str
    """Folder of the chart: `deploy/chart` of this repository."""
    image: str
    """The operator's, without its tag."""
    agent_image: str
    """Of clients' agents, without its tag."""
    gateway_image: str
    """The agent gateway's, without its tag."""
    portal_image: str
    """The portal's, without its tag."""
    tag: str
    """Of all."""
    livekit: str
    """ws:// address."""
    livekit_secret: str
    """With its key, in `voicefleet-system`."""
    log_level: str = "INFO"
    values: Mapping[str, Any] = field(default_factory=dict)
    """More of the chart's values; what is here wins."""


class Operator(pulumi.ComponentResource):
    """The controller with its kinds, rights and admission policies, and what agents reach, in
    `voicefleet-system`; `AgentGateway` has what that needs."""

    namespace: str = SYSTEM

    def __init__(
        self, name: str, args: OperatorArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("voicefleet:cloud:Operator", name, None, opts)
        kubernetes.helm.v4.Chart(
            name,
            name="voicefleet",
            chart=args.chart,
            namespace=SYSTEM,
            values={
                "image": {"repository": args.image, "tag": args.tag},
                "agent": {"image": {"repository": args.agent_image, "tag": args.tag}},
                "settings": {"LOG_LEVEL": args.log_level},
                "resources": limits("1", "512Mi"),
                "agentGateway": {
                    "enabled": True,
                    "image": {"repository": args.gateway_image, "tag": args.tag},
                    "livekit": {"url": args.livekit, "secret": args.livekit_secret},
                    "resources": limits("1", "256Mi"),
                },
                "portal": {
                    "image": {"repository": args.portal_image, "tag": args.tag},
                    "resources": limits("1", "512Mi"),
                },
                **args.values,
            },
            opts=within(self, opts),
        )
        self.register_outputs({"namespace": self.namespace})
