"""A platform with a phone line and an operator; agents are stubs, calls are real."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.stack import Stack
from voicefleet_infra.edge import phone_line
from voicefleet_infra.service import Service


class SipStack(Stack):
    """With the phone line."""

    def _services(self) -> list[Service]:
        return [*super()._services(), *phone_line(self.platform)]


@pytest.fixture(scope="module")
def stack() -> Iterator[SipStack]:
    """With an operator that runs."""
    with SipStack() as stack:
        stack.start_operator()
        yield stack
