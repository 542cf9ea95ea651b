"""Operator, agent gateway, portal and models, by our own Helm chart, rendered object by object so
that the policies see each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pulumi
import pulumi_kubernetes as kubernetes

from voicefleet_infra.components.cloud.objects import SYSTEM, limits, within
from voicefleet_infra.components.mergepatch import merged


@dataclass(frozen=True)
class LanguageModel:
    """What agents' open questions are answered by, and who passes them on, with speech beside."""

    image: str
    """Of the gateways to models, without its tag."""
    provider: str
    """Base address of an OpenAI-compatible server in the cluster, with its port."""
    model: str


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
    language_model: LanguageModel | None
    """None: agents have neither it nor our speech, but vendors'."""
    log_level: str = "INFO"
    values: Mapping[str, Any] = field(default_factory=dict)
    """Changes to the chart's values, as a JSON Merge Patch (RFC 7396)."""


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
            values=merged(_values(args), args.values),
            opts=within(self, opts),
        )
        self.register_outputs({"namespace": self.namespace})


def _values(args: OperatorArgs) -> dict[str, Any]:
    return {
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
        "models": _models(args.language_model, args.tag),
    }


def _models(wanted: LanguageModel | None, tag: str) -> dict[str, Any]:
    if wanted is None:
        return {"enabled": False}
    return {
        "enabled": True,
        "image": {"repository": wanted.image, "tag": tag},
        "settings": {"languageModel": {"provider": wanted.provider, "model": wanted.model}},
        "egressPorts": [{"port": urlsplit(wanted.provider).port}],
        # As many threads as the chart's settings have.
        "resources": {
            "stt": limits("2", "1536Mi"),
            "tts": limits("2", "1Gi"),
            "llm": limits("1", "512Mi"),
        },
    }
