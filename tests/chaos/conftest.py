"""The crash matrix says last of all what it has come to."""

from __future__ import annotations

import time

import pytest

from simulator.branches import Report
from simulator.world import Fault, faults_of, is_read

_REPORTS = pytest.StashKey[dict[str, Report]]()
_BEGAN = pytest.StashKey[float]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_REPORTS] = {}
    config.stash[_BEGAN] = time.monotonic()


@pytest.fixture(scope="session")
def reports(pytestconfig: pytest.Config) -> dict[str, Report]:
    """What has come of each scenario so far, by name."""
    return pytestconfig.stash[_REPORTS]


def pytest_unconfigure(config: pytest.Config) -> None:
    """The matrix in one line, after all that pytest has to say."""
    reports = config.stash[_REPORTS].values()
    if not reports:
        return
    requests = [name for report in reports for name in report.requests]
    reads = sum(map(is_read, requests))
    print(
        f"crash matrix: {len(reports)} scenarios, {len(requests)} requests "
        f"({reads} reads x {len(faults_of('kube GET fleets'))} faults, "
        f"{len(requests) - reads} writes x {len(Fault)} faults): "
        f"points {sum(report.points for report in reports)}, "
        f"failed {sum(len(report.failures) for report in reports)}, "
        f"{time.monotonic() - config.stash[_BEGAN]:.0f} s"
    )
