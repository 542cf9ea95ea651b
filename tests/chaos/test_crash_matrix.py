"""Every request of every scenario, with everything that can become of it (docs/reliability.md)."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest

from simulator.branches import Report, Scenario, explore
from simulator.scenarios import SCENARIOS

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A thousand controllers that meet faults have much to say."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_it_comes_right_whatever_becomes_of_a_request(
    scenario: Scenario, reports: dict[str, Report]
) -> None:
    covered = set[str]().union(*(report.covered for report in reports.values()))
    report = reports[scenario.name] = explore(scenario, os.cpu_count() or 1, covered)
    assert not report.failures, "\n".join([f"{len(report.failures)} failed", *report.failures[:20]])


def test_every_request_met_every_fault(reports: dict[str, Report]) -> None:
    """Also those that are made only because of a fault: they are points of another scenario."""
    if len(reports) < len(SCENARIOS):
        pytest.skip("not all scenarios were run")
    covered = set[str]().union(*(report.covered for report in reports.values()))
    seen = {name: story for report in reports.values() for name, story in report.seen.items()}
    left_out = [f"{name}, as in: {story}" for name, story in seen.items() if name not in covered]
    assert not left_out, "\n".join(left_out)
