"""The journal's write is fenced: whoever holds an older copy of the object may not spend."""

from __future__ import annotations

from typing import Any

import pytest

from support.stack import Stack, client
from voicefleet_api.meta import Operation
from voicefleet_api.voiceclient import VoiceClientStatus
from voicefleet_operator.execution.status import Journal, StatusWriter
from voicefleet_operator.kube import VOICECLIENTS, Conflict, Kube
from voicefleet_operator.shell.watch import connection
from voicefleet_operator.store import Store

pytestmark = pytest.mark.integration


async def test_of_two_with_the_same_copy_only_one_may_send(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The operator would write this object too.
    stack.stop_operator()
    stack.apply(client("fenced"))
    monkeypatch.setenv("KUBECONFIG", str(stack.kubeconfig))
    sent: list[str] = []

    async def not_found(_: Operation) -> None:
        return None

    async def send(operation: Operation) -> str:
        sent.append(operation.id)
        return "done"

    async with Kube(connection) as kube:
        copy: dict[str, Any] = {
            **await kube.get(VOICECLIENTS, "fenced", "default"),
            "kind": "VoiceClient",
        }

        async def spend() -> None:
            status = VoiceClientStatus.model_validate(copy.get("status") or {})
            writer = StatusWriter(kube, Store(), VOICECLIENTS, dict(copy), status)
            await Journal(writer).once("Buy", "it", {}, find=not_found, do=send)

        await spend()
        with pytest.raises(Conflict):
            await spend()
    assert len(sent) == 1
