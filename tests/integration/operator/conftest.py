"""One platform with an operator for all tests of this folder; each names its clients its own.

After each, the clients are taken away and nothing is left that is ours; numbers that stay at the
carrier, since they were somebody's or are to be kept, are released: they count against the cap.
"""

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
    """The platform with a running operator, no faults and no clients."""
    if whole_stack.operator is None or whole_stack.operator.poll() is not None:
        whole_stack.start_operator()
    yield whole_stack
    whole_stack.clear_faults()
    if whole_stack.operator is None or whole_stack.operator.poll() is not None:
        whole_stack.start_operator()
    whole_stack.kubectl("delete", "vc", "--all", "--timeout=120s")
    whole_stack.kubectl("delete", "pn", "--all", "--timeout=60s")
    fleet = whole_stack.get("fleet", "default")["status"]["fleetID"]
    assert [e for e in whole_stack.ledger(only_open=True) if fleet in str(e["mark"])] == []
    whole_stack.release_numbers()
