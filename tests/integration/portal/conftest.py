"""A portal with an agency's clients before a real API server, and a browser to look at it with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from support.browser import chromium
from support.controlplane import ControlPlane


@pytest.fixture(scope="package")
def plane() -> Iterator[ControlPlane]:
    """One API server with our kinds."""
    with ControlPlane() as running:
        running.install()
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """Debian's chromium."""
    async with chromium() as running:
        yield running
