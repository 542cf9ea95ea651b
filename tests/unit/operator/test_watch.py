"""kopf as the watcher."""

from __future__ import annotations

import asyncio
from typing import Any

import kopf
import pytest

from voicefleet_operator.shell.watch import Watcher

pytestmark = pytest.mark.unit


async def test_the_user_need_not_have_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container there may be none; kopf would look it up."""
    given: dict[str, Any] = {}
    monkeypatch.setattr(kopf, "run", given.update)
    watcher = Watcher(lambda *_: None, asyncio.get_running_loop())
    watcher.start()
    await watcher.ended.wait()
    assert given["identity"]
