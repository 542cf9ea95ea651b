"""For all tests: where everything is required, nothing may be skipped."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from functools import cache

import pytest

from voicefleet_agent import native


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[pytest.TestReport]:
    """In CI a missing component fails the run instead of being skipped."""
    report: pytest.TestReport = yield
    if report.skipped and os.environ.get("VOICEFLEET_REQUIRE_ALL"):
        report.outcome = "failed"
        report.longrepr = f"skipped, though everything is required: {report.longrepr}"
    return report


@cache
def _event_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_event_loop()
    except RuntimeError:
        return asyncio.new_event_loop()


@pytest.fixture
def thread_event_loop() -> None:
    """Pulumi's mocks run in the thread's event loop; tests with their own leave none behind.

    It is one, which is kept: its threads have loops of their own, which nobody closes.
    """
    asyncio.set_event_loop(_event_loop())


def pytest_unconfigure() -> None:
    """Tests call in LiveKit's rooms from this process."""
    native.let_go()
