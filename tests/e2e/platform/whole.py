"""The platform with pods and a phone line, as `make up` starts it, on ports of its own."""

from __future__ import annotations

import subprocess

from support.controlplane import ROOT
from support.stack import Stack
from voicefleet_infra import services
from voicefleet_infra.agent_gateway import agent_gateway
from voicefleet_infra.edge import phone_line
from voicefleet_infra.images import AGENT, build_image
from voicefleet_infra.platform import cache_dir
from voicefleet_infra.service import Service
from voicefleet_infra.up import podman_environment


class WholePlatform(Stack):
    """With Podman and the phone line."""

    runtime = "podman"

    def _services(self) -> list[Service]:
        self.image = build_image(AGENT, ROOT, cache_dir(), env=podman_environment(self.platform))
        own = (services.podman(self.platform), agent_gateway(self.platform))
        return [*super()._services(), *phone_line(self.platform), *own]

    def pods(self) -> list[str]:
        """Names of this platform's pods."""
        ids = [vc["status"]["clientID"] for vc in self.get("vc")["items"]]
        shown = subprocess.run(
            ["podman", "pod", "ps", "--format", "{{.Name}}"],
            capture_output=True, text=True, check=True,
        ).stdout.split()  # fmt: skip
        return [pod for pod in shown if pod.removeprefix("vf-") in ids]
