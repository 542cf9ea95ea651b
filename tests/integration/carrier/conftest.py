"""One exchange for all tests of a module; its servers are each test's own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from integration.carrier.exchange import Exchange, Line, exchange
from support.netns import Lab
from voicefleet_infra.tools import binary, missing_packages


@pytest.fixture(scope="session")
def programs() -> None:
    """The carrier's, and phones."""
    for program in ("kamailio", "sipp", "baresip"):
        if not shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin"):
            pytest.skip(f"{program} is not installed: make provision")
    if missing := missing_packages("platform"):
        pytest.skip(f"{', '.join(missing)} missing: make provision")


@pytest.fixture(scope="module")
def line(programs: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """Everybody connected, nobody answering yet."""
    with Lab() as lab:
        yield exchange(lab, tmp_path_factory.mktemp("carrier"))


@pytest.fixture(scope="module")
def stack(programs: None) -> Iterator[Line]:
    """The platform with an operator that runs."""
    if not binary("livekit-sip").exists():
        pytest.skip("livekit-sip is not built: make provision")
    with Line() as running:
        if running.platform.address == "127.0.0.1":
            pytest.skip(
                "baresip does not call from loopback, and this machine has no other address"
            )
        running.start_operator()
        yield running
