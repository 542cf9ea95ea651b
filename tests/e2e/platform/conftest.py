"""The whole platform, pods and phone line included, with all samples applied."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from support.controlplane import ROOT
from support.stack import Stack
from voicefleet_infra import services
from voicefleet_infra.images import build_agent_image
from voicefleet_infra.platform import cache_dir
from voicefleet_infra.services import Service
from voicefleet_infra.up import podman_environment

SAMPLES = sorted(p for p in (ROOT / "crds" / "samples").glob("*.yaml") if p.name != "fleet.yaml")


class WholePlatform(Stack):
    """With Podman and the SIP bridge."""

    runtime = "podman"

    def _services(self) -> list[Service]:
        self.image = build_agent_image(ROOT, cache_dir(), env=podman_environment(self.platform))
        extra = (services.livekit_sip(self.platform), services.podman(self.platform))
        return [*super()._services(), *extra]

    def pods(self) -> list[str]:
        """Names of this platform's pods."""
        ids = [vc["status"]["clientID"] for vc in self.get("vc")["items"]]
        shown = subprocess.run(
            ["podman", "pod", "ps", "--format", "{{.Name}}"],
            capture_output=True, text=True, check=True,
        ).stdout.split()  # fmt: skip
        return [pod for pod in shown if pod.removeprefix("vf-") in ids]


@pytest.fixture(scope="session")
def platform() -> Iterator[WholePlatform]:
    """Everything running, every sample applied and Answering."""
    if os.geteuid() != 0:
        pytest.skip("Podman pods with networks of their own need root here")
    with WholePlatform() as running:
        running.start_operator()
        for sample in SAMPLES:
            running.kubectl("apply", "-f", str(sample))
        running.kubectl("wait", "--for=condition=Answering", "vc", "--all", "--timeout=240s")
        yield running
        running.kubectl("delete", "vc", "--all", "--timeout=240s")
