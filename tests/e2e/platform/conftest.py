"""The whole platform, pods and phone line included, with all samples applied."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from e2e.platform.whole import WholePlatform
from support.controlplane import ROOT

SAMPLES = sorted(p for p in (ROOT / "crds" / "samples").glob("*.yaml") if p.name != "fleet.yaml")


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
