"""A home lab as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
import yaml

from voicefleet_infra.components.homelab.controlplane import ControlPlane
from voicefleet_infra.components.homelab.ollama import Ollama
from voicefleet_infra.components.homelab.operator import Operator, Portal
from voicefleet_infra.components.homelab.parts import (
    AgentGateway,
    Dns,
    LiveKit,
    Models,
    Overflow,
    Redis,
    Sandbox,
)
from voicefleet_infra.components.homelab.programs import Lab
from voicefleet_infra.components.homelab.unit import systemd_unit
from voicefleet_infra.components.kubernetes import Clientless
from voicefleet_infra.components.podman import Pod
from voicefleet_infra.platform import Platform, write_private


@dataclass(frozen=True)
class HomeLabArgs:
    """One machine's lab."""

    platform: Platform
    """Its folder, ports, and cluster, if there is one."""
    socket: str
    """Podman's API, a path."""
    image: str
    """Of the platform's programs."""
    agent_image: str
    """Of clients' agents."""
    sandbox: bool = True
    """Stand-ins for vendors."""
    models: bool = True
    """Gateways to the machine's models; portal and overflow agent need them."""
    ollama_model: str = ""
    """What the language model's gateway asks of Ollama; empty: the gateway's own model."""
    fleet: Mapping[str, Any] = field(default_factory=dict)
    """Changes to the Fleet's spec, as a JSON Merge Patch (RFC 7396)."""
    tunnel: pulumi.Resource | None = None
    """The box's end of a relay's tunnel; telephony listens there."""
    log_level: str = "INFO"
    """Of the operator."""
    memory_mib: Mapping[str, int] = field(default_factory=dict)
    """Limits of containers, by part (programs.MEMORY_MIB)."""


class HomeLab(pulumi.ComponentResource):
    """Redis, LiveKit with its phone line and agent gateway, DNS, control plane and operator on one
    machine's Podman;
    sandbox, models with portal and overflow agent, and Ollama where asked for."""

    kubeconfig: str
    addresses: dict[str, str]
    """Where each part is reached; for people."""
    unit: pulumi.Output[str]
    """A systemd unit that starts everything after a reboot."""

    def __init__(
        self, name: str, args: HomeLabArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("voicefleet:homelab:HomeLab", name, None, opts)
        lab = Lab(name, args.platform, args.socket, args.image, args.agent_image, args.memory_mib)
        own = pulumi.ResourceOptions(parent=self)
        pods: list[Pod] = []

        def after(*needed: pulumi.Resource) -> pulumi.ResourceOptions:
            return pulumi.ResourceOptions(parent=self, depends_on=list(needed))

        redis, dns = Redis(lab, own), Dns(lab, own)
        control_plane = ControlPlane(
            lab, own, sandbox=args.sandbox, overflow=args.models, changes=args.fleet
        )
        livekit = LiveKit(lab, after(redis, *([args.tunnel] if args.tunnel else [])))
        gateway = AgentGateway(lab, after(livekit))
        self.addresses = {"redis": redis.address, "dns": dns.address}
        self.addresses |= {"livekit": livekit.url, "sip": livekit.sip, "agents": gateway.url}
        if control_plane.programs:
            pods.append(control_plane.programs.pod)
        pods += [part.programs.pod for part in (redis, dns, livekit, gateway)]
        needed: list[pulumi.Resource] = [control_plane, gateway, dns]
        if args.sandbox:
            sandbox = Sandbox(lab, own)
            self.addresses["sandbox"] = sandbox.url
            pods.append(sandbox.programs.pod)
            needed.append(sandbox)
        if args.ollama_model:
            ollama = Ollama(lab, args.ollama_model, own)
            self.addresses["ollama"] = ollama.url
            pods.append(ollama.pod)
            _ask_ollama(args.platform, ollama.url, args.ollama_model)
        if args.models:
            models = Models(lab, own)
            portal = Portal(lab, control_plane, after(models))
            self.addresses["portal"] = portal.url
            overflow = Overflow(lab, after(models, livekit))
            pods += [part.programs.pod for part in (models, portal, overflow)]
            needed += [portal, overflow]
        operator = Operator(
            lab,
            control_plane,
            after(*needed),
            models=args.models,
            log_level=args.log_level,
        )
        self.addresses["operator"] = operator.metrics
        pods.append(operator.programs.pod)
        self.kubeconfig = control_plane.kubeconfig
        # Taken down first: the operator gives back what clients have.
        Clientless("clientless", self.kubeconfig, after(operator))
        names = pulumi.Output.all(*(pod.name for pod in pods))
        self.unit = names.apply(lambda found: systemd_unit(name, found))
        self.register_outputs(
            {"kubeconfig": self.kubeconfig, "addresses": self.addresses, "unit": self.unit}
        )


def _ask_ollama(platform: Platform, url: str, model: str) -> Path:
    """The gateways' settings, where they have none: the language model is Ollama's."""
    file = platform.path("models.yaml")
    if file.exists():
        return file
    settings = {"languageModel": {"provider": url, "model": model}}
    return write_private(file, yaml.safe_dump(settings))
