"""What a worker may say to LiveKit, and what it is told."""

from __future__ import annotations

from typing import Any

import pytest
from livekit import api
from livekit.protocol import agent

from voicefleet_gateway.refusals import Refused
from voicefleet_gateway.workers import from_worker, to_worker

pytestmark = pytest.mark.unit

OWN, OTHER = "vc-aaaaaaaaaa", "vc-bbbbbbbbbb"


def passed(**message: Any) -> agent.WorkerMessage:
    """What LiveKit is told."""
    said = agent.WorkerMessage(**message).SerializeToString()
    return agent.WorkerMessage.FromString(from_worker(OWN, said))


def register(**fields: Any) -> agent.RegisterWorkerRequest:
    """As LiveKit's SDK registers."""
    known = {"agent_name": f"voicefleet-{OWN}", "version": "1.8.9", "type": agent.JT_ROOM}
    permissions = api.ParticipantPermission(can_publish=True, agent=True)
    return agent.RegisterWorkerRequest(**known | {"allowed_permissions": permissions} | fields)


@pytest.mark.parametrize("name", [f"voicefleet-{OWN}", f"voicefleet-green-{OWN}"])
def test_it_registers_under_its_clients_names(name: str) -> None:
    said = register(agent_name=name)
    assert passed(register=said).register == said


@pytest.mark.parametrize(
    "name",
    ["", OWN, OTHER, f"voicefleet-{OTHER}", f"voicefleet-green-{OTHER}", f"voicefleet-{OWN}x",
     "voicefleet-overflow"],
)  # fmt: skip
def test_it_does_not_register_under_another_name(name: str) -> None:
    with pytest.raises(Refused, match=f"is no agent of {OWN}"):
        passed(register=register(agent_name=name))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("namespace", f"voicefleet-{OTHER}"),
        ("deployment", "other"),
        ("type", agent.JT_PUBLISHER),
        ("instance_id", "x"),
    ],
)
def test_it_registers_for_no_other_calls(field: str, value: Any) -> None:
    with pytest.raises(Refused, match=f"with {field} is not for agents"):
        passed(register=register(**{field: value}))


@pytest.mark.parametrize(
    "message",
    [
        {"availability": agent.AvailabilityResponse(job_id="AJ_x", available=True)},
        {"update_worker": agent.UpdateWorkerStatus(load=0.5)},
        {"update_job": agent.UpdateJobStatus(job_id="AJ_x", status=agent.JS_SUCCESS)},
        {"ping": agent.WorkerPing(timestamp=1)},
        {"migrate_job": agent.MigrateJobRequest(job_ids=["AJ_x"])},
    ],
)
def test_what_it_says_of_its_work_passes(message: dict[str, Any]) -> None:
    assert passed(**message) == agent.WorkerMessage(**message)


def test_it_names_no_room_to_be_given() -> None:
    job = agent.SimulateJobRequest(room=api.Room(name=f"call-{OTHER}-_x"))
    with pytest.raises(Refused, match="simulate_job is not for agents"):
        passed(simulate_job=job)


@pytest.mark.parametrize("data", [b"", b"\xfa\x3f\x01x", b"\xff"])
def test_what_we_do_not_know_is_refused(data: bytes) -> None:
    with pytest.raises(Refused):
        from_worker(OWN, data)


def test_with_a_job_it_is_told_where_livekit_is() -> None:
    job = agent.Job(id="AJ_x", room=api.Room(name="call"))
    said = agent.ServerMessage(assignment=agent.JobAssignment(job=job, token="from LiveKit"))
    told = to_worker(said.SerializeToString(), "ws://livekit", lambda token: f"less {token}")
    assert agent.ServerMessage.FromString(told).assignment == agent.JobAssignment(
        job=job, token="less from LiveKit", url="ws://livekit"
    )


def test_all_else_it_is_told_as_it_is() -> None:
    asked = agent.ServerMessage(availability=agent.AvailabilityRequest(job=agent.Job(id="AJ_x")))
    data = asked.SerializeToString()
    assert to_worker(data, "ws://livekit", str.upper) == data
