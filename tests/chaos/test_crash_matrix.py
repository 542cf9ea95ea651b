"""Every request of every scenario, with everything that can become of it (docs/reliability.md)."""

from __future__ import annotations

import logging
import os

import pytest

from simulator.branches import Report, Scenario, explore
from simulator.scenarios import SCENARIOS

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

REPORTS: dict[str, Report] = {}


@pytest.fixture(autouse=True)
def quiet() -> None:
    """A thousand controllers that meet faults have much to say."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_it_comes_right_whatever_becomes_of_a_request(scenario: Scenario) -> None:
    covered = set[str]().union(*(report.covered for report in REPORTS.values()))
    report = REPORTS[scenario.name] = explore(scenario, os.cpu_count() or 1, covered)
    assert not report.failures, "\n".join([f"{len(report.failures)} failed", *report.failures[:20]])


def test_every_request_met_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    if len(REPORTS) < len(SCENARIOS):
        pytest.skip("not all scenarios were run")
    reports = REPORTS.values()
    covered = set[str]().union(*(report.covered for report in reports))
    seen = {name: story for report in reports for name, story in report.seen.items()}
    failed = sum(len(report.failures) for report in reports)
    with capsys.disabled():
        print(f"\npoints {sum(report.points for report in reports)}, failed {failed}")
    left_out = [f"{name}, as in: {story}" for name, story in seen.items() if name not in covered]
    assert not left_out, "\n".join(left_out)
