"""One API server, with nothing of ours in it, for all tests of what is shipped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.controlplane import ControlPlane
from voicefleet_api.names import SYSTEM_NAMESPACE


@pytest.fixture(scope="session")
def bare() -> Iterator[ControlPlane]:
    """With the namespace alone; whoever installs something takes it away."""
    with ControlPlane() as running:
        running.kubectl("create", "namespace", SYSTEM_NAMESPACE)
        yield running
