"""For all tests: where everything is required, nothing may be skipped."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

import pytest


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


def pytest_unconfigure() -> None:
    """LiveKit's native library writes its log from threads of its own: where the interpreter is
    going already, that aborts the process. So it is let go of before."""
    client = sys.modules.get("livekit.rtc._ffi_client")
    if client is not None and client.FfiClient._instance is not None:
        client.FfiClient._instance._dispose()
        time.sleep(1)
