"""One platform with an operator for all tests of this folder; each names its clients its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.stack import Stack


@pytest.fixture(scope="session")
def whole_stack() -> Iterator[Stack]:
    """The platform, with an operator that runs."""
    with Stack() as stack:
        stack.start_operator()
        yield stack


@pytest.fixture
def stack(whole_stack: Stack) -> Iterator[Stack]:
    """The platform with a running operator and no faults; clients are taken away afterwards."""
    if whole_stack.operator is None or whole_stack.operator.poll() is not None:
        whole_stack.start_operator()
    yield whole_stack
    whole_stack.clear_faults()
    if whole_stack.operator is None or whole_stack.operator.poll() is not None:
        whole_stack.start_operator()
    whole_stack.kubectl("delete", "vc", "--all", "--timeout=120s")
    whole_stack.kubectl("delete", "pn", "--all", "--timeout=60s")
