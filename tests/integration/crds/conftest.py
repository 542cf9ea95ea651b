"""One real API server for all tests of the API, with everything of `deploy/` installed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.controlplane import ControlPlane


@pytest.fixture(scope="session")
def plane() -> Iterator[ControlPlane]:
    """CRDs, RBAC and policies installed; tests that store objects name them their own."""
    with ControlPlane() as running:
        running.install()
        yield running
