"""What the loop knows when a list and the watch tell of the same moment differently."""

from __future__ import annotations

from typing import Any, cast

import pytest

from voicefleet_operator.controller import Loop
from voicefleet_operator.kube import VOICECLIENTS, Kube, Object, Resource
from voicefleet_operator.settings import Settings
from voicefleet_operator.workqueue import Key

pytestmark = pytest.mark.unit


def vc(name: str, version: int = 1) -> Object:
    meta = {"name": name, "namespace": "default", "uid": f"uid-{name}"}
    return {"metadata": {**meta, "resourceVersion": str(version)}, "spec": {}}


class SlowList:
    """An API server whose list is on its way while the watch says what happens next."""

    def __init__(self) -> None:
        self.meanwhile: list[tuple[str, Object]] = []
        self.listed: list[Object] = []
        self.loop: Loop | None = None

    def ensure_leader(self) -> None:
        """It leads."""

    async def list(self, resource: Resource) -> list[Object]:
        if resource is not VOICECLIENTS:
            return []
        listed = list(self.listed)
        for event_type, obj in self.meanwhile:
            cast(Loop, self.loop).event("VoiceClient", event_type, obj)
        return listed


def known(loop: Loop) -> set[str]:
    return {obj["metadata"]["name"] for obj in loop.store.of_kind("VoiceClient")}


@pytest.fixture
def server() -> SlowList:
    server = SlowList()
    kube: Any = server
    server.loop = Loop(cast(Kube, kube), Settings())
    return server


async def sweep(server: SlowList) -> Loop:
    loop = cast(Loop, server.loop)
    await loop._list_kubernetes()
    return loop


async def test_what_is_created_during_the_list_is_kept(server: SlowList) -> None:
    server.meanwhile = [("ADDED", vc("new"))]
    loop = await sweep(server)
    assert known(loop) == {"new"}
    assert await loop.queue.get() == Key("VoiceClient", "default", "new")


async def test_what_is_deleted_during_the_list_stays_gone(server: SlowList) -> None:
    server.listed = [vc("old")]
    server.meanwhile = [("DELETED", vc("old", 2))]
    assert known(await sweep(server)) == set()


async def test_what_the_watch_missed_is_mended(server: SlowList) -> None:
    cast(Loop, server.loop).event("VoiceClient", "ADDED", vc("gone"))
    server.listed = [vc("there")]
    assert known(await sweep(server)) == {"there"}
