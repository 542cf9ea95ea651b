"""One exchange for all tests of a module; its servers are each test's own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from integration.carrier.exchange import Exchange, exchange
from support.netns import Lab


@pytest.fixture(scope="session")
def programs() -> None:
    """The carrier's, and phones."""
    for program in ("kamailio", "sipp", "baresip"):
        if not shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin"):
            pytest.skip(f"{program} is not installed: make provision")


@pytest.fixture(scope="module")
def line(programs: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """Everybody connected, nobody answering yet."""
    with Lab() as lab:
        yield exchange(lab, tmp_path_factory.mktemp("carrier"))
