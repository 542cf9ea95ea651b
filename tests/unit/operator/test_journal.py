"""The journal: the intent stands before the call, and is reused while the outcome is unknown."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from voicefleet_api.meta import Operation
from voicefleet_api.voiceclient import VoiceClientStatus
from voicefleet_operator.drivers.errors import Ambiguous, Rejected, Throttled
from voicefleet_operator.execution.status import Journal, StatusWriter
from voicefleet_operator.kube import VOICECLIENTS, Conflict
from voicefleet_operator.store import Store

pytestmark = pytest.mark.unit


class Server:
    """One object under optimistic concurrency, as the API server keeps it."""

    def __init__(self) -> None:
        self.obj: dict[str, Any] = {
            "kind": "VoiceClient",
            "metadata": {"name": "a", "namespace": "default", "resourceVersion": "1"},
            "spec": {},
        }
        self.writes = 0

    async def get(self, _resource: object, _name: str, _namespace: object) -> dict:
        return self.obj

    async def replace_status(self, _resource: object, body: dict, _namespace: object) -> dict:
        if body["metadata"].get("resourceVersion") != self.obj["metadata"]["resourceVersion"]:
            raise Conflict(409, "the object has been modified")
        self.writes += 1
        version = str(int(self.obj["metadata"]["resourceVersion"]) + 1)
        self.obj = {**body, "metadata": {**body["metadata"], "resourceVersion": version}}
        return self.obj

    def operations(self) -> list[dict]:
        return self.obj.get("status", {}).get("operations", [])


def pass_over(server: Server) -> tuple[StatusWriter, Journal]:
    """A reconciliation that starts from what the server has."""
    status = VoiceClientStatus.model_validate(server.obj.get("status") or {})
    writer = StatusWriter(server, Store(), VOICECLIENTS, copy.deepcopy(server.obj), status)
    return writer, Journal(writer)


async def not_found(_: Operation) -> None:
    return None


async def test_the_intent_is_written_before_the_call_and_retired_after() -> None:
    server = Server()
    writer, journal = pass_over(server)

    async def do(operation: Operation) -> str:
        assert [op["id"] for op in server.operations()] == [operation.id]
        return "made"

    assert await journal.once("Create", "x", {"a": "1"}, find=not_found, do=do) == "made"
    await writer.save()
    assert server.operations() == []


async def test_nothing_is_sent_when_the_object_has_changed() -> None:
    server = Server()
    _, journal = pass_over(server)
    server.obj["metadata"]["resourceVersion"] = "7"

    async def do(_: Operation) -> str:
        raise AssertionError("sent without a recorded intent")

    with pytest.raises(Conflict):
        await journal.once("Create", "x", {}, find=not_found, do=do)
    assert server.operations() == []


@pytest.mark.parametrize("error", [Ambiguous("Lost", "reply lost"), Throttled("slow", 1.0)])
async def test_an_unknown_outcome_is_repeated_under_the_same_id_and_request(
    error: Exception,
) -> None:
    server = Server()
    _, journal = pass_over(server)
    sent: list[tuple[str, dict]] = []

    async def fail(operation: Operation) -> str:
        sent.append((operation.id, operation.request))
        raise error

    async def do(operation: Operation) -> str:
        sent.append((operation.id, operation.request))
        return "made"

    with pytest.raises(type(error)):
        await journal.once("Create", "x", {"name": "old"}, find=not_found, do=fail)
    # The next pass, perhaps of another process, after the spec was edited.
    _, journal = pass_over(server)
    await journal.once("Create", "x", {"name": "new"}, find=not_found, do=do)
    assert sent[0] == sent[1]


async def test_what_was_done_after_all_is_found_and_not_repeated() -> None:
    server = Server()
    _, journal = pass_over(server)

    async def lost(_: Operation) -> str:
        raise Ambiguous("Lost", "reply lost")

    async def found(_: Operation) -> str:
        return "found"

    async def again(_: Operation) -> str:
        raise AssertionError("repeated although it was done")

    with pytest.raises(Ambiguous):
        await journal.once("Create", "x", {}, find=not_found, do=lost)
    writer, journal = pass_over(server)
    assert await journal.once("Create", "x", {}, find=found, do=again) == "found"
    await writer.save()
    assert server.operations() == []


@pytest.mark.parametrize(
    "error", [Rejected("CardDeclined", "no"), Ambiguous("Stored", "500", replayed=True)]
)
async def test_a_definite_answer_ends_the_operation(error: Exception) -> None:
    server = Server()
    writer, journal = pass_over(server)
    ids: list[str] = []

    async def fail(operation: Operation) -> str:
        ids.append(operation.id)
        raise error

    for _ in range(2):
        with pytest.raises(type(error)):
            await journal.once("Create", "x", {}, find=not_found, do=fail)
        await writer.save()
    assert ids[0] != ids[1]


async def test_an_unchanged_status_is_not_written() -> None:
    server = Server()
    writer, _ = pass_over(server)
    await writer.save()
    writes = server.writes
    writer, _ = pass_over(server)
    assert not await writer.save()
    assert server.writes == writes
