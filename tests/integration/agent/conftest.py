from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.radicale import Radicale


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Radicale]:
    running = Radicale(tmp_path_factory.mktemp("radicale"))
    running.start()
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
def radicale(server: Radicale) -> Radicale:
    """The server, with a new calendar."""
    server.new_calendar()
    return server
