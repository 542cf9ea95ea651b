"""The lab's parts that need no more than their processes: one component each."""

from __future__ import annotations

from pathlib import Path

import pulumi

from voicefleet_infra import agent_gateway, overflow, services
from voicefleet_infra.carrier import carrier
from voicefleet_infra.components.homelab.programs import Lab, Programs
from voicefleet_infra.edge import phone_line
from voicefleet_infra.platform import ZONE


class _Part(pulumi.ComponentResource):
    programs: Programs

    def __init__(self, part: str, opts: pulumi.ResourceOptions) -> None:
        super().__init__(f"voicefleet:homelab:{type(self).__name__}", part, None, opts)
        self.own = pulumi.ResourceOptions(parent=self)


class Redis(_Part):
    """Where LiveKit keeps its SIP trunks and rules."""

    address: str
    """host:port"""

    def __init__(self, lab: Lab, opts: pulumi.ResourceOptions) -> None:
        super().__init__("redis", opts)
        service = services.redis(lab.platform)
        self.address = service.address
        self.programs = Programs("redis", lab, [service], [self.address], self.own)
        self.register_outputs({"address": self.address})


class LiveKit(_Part):
    """LiveKit's server, its two SIP bridges, and the edge before them, as one pod."""

    url: str
    sip: str
    """Where carriers send calls (`sip:host:port`)."""

    def __init__(self, lab: Lab, opts: pulumi.ResourceOptions) -> None:
        super().__init__("livekit", opts)
        platform = lab.platform
        server, line = services.livekit(platform), phone_line(platform)
        self.url, self.sip = server.address, line[-1].address
        ready = [f"127.0.0.1:{platform.port('livekit')}"]
        ready += [
            f"{platform.address}:{platform.port(port)}"
            for port in ("sips", "sips-backup", "sip-edge")
        ]
        self.programs = Programs("livekit", lab, [server, *line], ready, self.own)
        self.register_outputs({"url": self.url, "sip": self.sip})


class AgentGateway(_Part):
    """Between clients' agents and LiveKit, whose key they do not have."""

    url: str
    """For clients' agents."""

    def __init__(self, lab: Lab, opts: pulumi.ResourceOptions) -> None:
        super().__init__("agent-gateway", opts)
        platform = lab.platform
        service = agent_gateway.agent_gateway(platform)
        self.url = service.address
        ready = [f"127.0.0.1:{platform.port('agent-gateway')}"]
        self.programs = Programs("agent-gateway", lab, [service], ready, self.own)
        self.register_outputs({"url": self.url})


class Dns(_Part):
    """A zone of its own, which takes signed updates."""

    zone: str
    address: str
    """host:port"""

    def __init__(self, lab: Lab, opts: pulumi.ResourceOptions) -> None:
        super().__init__("dns", opts)
        self.zone, self.address = ZONE, f"127.0.0.1:{lab.platform.port('dns')}"
        service = services.dns(lab.platform)
        self.programs = Programs("dns", lab, [service], [self.address], self.own)
        self.register_outputs({"zone": self.zone, "address": self.address})


class Sandbox(_Part):
    """Stand-ins for Stripe, Twilio and ElevenLabs, and a carrier that connects phones; without what
    it needs for numbers with instructions (`ingress: ProgrammableVoice`)."""

    url: str

    def __init__(self, lab: Lab, opts: pulumi.ResourceOptions) -> None:
        super().__init__("sandbox", opts)
        platform = lab.platform
        found = [services.sandbox(platform), carrier(platform)]
        self.url = platform.sandbox_url
        ready = [f"{at}:{platform.port('sandbox')}" for at in ("127.0.0.1", platform.address)]
        self.programs = Programs("sandbox", lab, found, ready, self.own)
        self.register_outputs({"url": self.url})


class Overflow(_Part):
    """Takes a message where a client's own agent does not join a call."""

    def __init__(self, lab: Lab, opts: pulumi.ResourceOptions) -> None:
        super().__init__("overflow", opts)
        service = overflow.overflow(lab.platform)
        ready = [f"127.0.0.1:{lab.platform.port('overflow')}"]
        self.programs = Programs("overflow", lab, [service], ready, self.own, image=lab.agent_image)
        self.register_outputs({})


class Models(_Part):
    """The gateways to the machine's speech and language models."""

    folder: Path
    """Where their sockets are."""

    def __init__(self, lab: Lab, opts: pulumi.ResourceOptions) -> None:
        super().__init__("models", opts)
        self.folder = services.models_folder(lab.platform)
        found = [services.gateway(lab.platform, name) for name in services.GATEWAYS]
        # They listen on Unix sockets; agents ask until there is an answer.
        self.programs = Programs("models", lab, found, [], self.own)
        self.register_outputs({"folder": str(self.folder)})
