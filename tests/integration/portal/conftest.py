"""A real API server for the portal's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.controlplane import ControlPlane


@pytest.fixture(scope="package")
def plane() -> Iterator[ControlPlane]:
    """With our kinds and rights."""
    with ControlPlane() as running:
        running.install()
        yield running
