"""A Kubernetes node of the platform's own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from e2e.cluster.one_node import OneNode


@pytest.fixture(scope="session")
def cluster() -> Iterator[OneNode]:
    """Everything running, no client yet; afterwards this machine is as it was before."""
    if os.geteuid() != 0:
        pytest.skip("a Kubernetes node needs root")
    with OneNode() as running:
        yield running
    assert running.traces() == []
