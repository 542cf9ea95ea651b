"""A client whose agent runs in the cluster: the operator with its own rights, from manifest to
nothing. What a kubelet and controllers would do, the test does (tests/support/workloads.py)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from support import workloads
from support.stack import Stack, client, conditions, until

pytestmark = pytest.mark.integration

NAME = "in-the-cluster"


def configure(stack: Stack, config: dict[str, Any] | None) -> None:
    """The Fleet's settings for agents in the cluster; other classes' agents do not mind them."""
    patch = json.dumps({"spec": {"runtime": {"kubernetes": config}}})
    stack.kubectl("patch", "fleet", "default", "--type=merge", "-p", patch)


def has(stack: Stack, client_id: str, kind: str, name: str) -> bool:
    return bool(stack.kubectl("get", kind, name, "-n", client_id, "--ignore-not-found"))


def let_go(stack: Stack, client_id: str) -> None:
    """Delete the client, and see its namespace off."""
    stack.kubectl("delete", "vc", NAME, "--wait=false", "--ignore-not-found")
    until(lambda: not stack.get("deploy", "-n", client_id)["items"], "Deployments stay", seconds=60)
    workloads.collect_garbage(stack, client_id)
    until(lambda: client_id in workloads.terminating(stack), "the namespace stays", seconds=60)
    workloads.finish_namespace(stack, client_id)
    until(
        lambda: not stack.kubectl("get", "vc", NAME, "--ignore-not-found"),
        "the client stays",
        seconds=60,
    )


@pytest.fixture
def client_id(stack: Stack) -> Iterator[str]:
    """A client whose agent's Deployment is there."""
    configure(stack, {"image": "localhost/voicefleet-agent:1"})
    runtime, rollout = {"className": "kubernetes"}, {"strategy": "BlueGreen"}
    stack.apply(client(NAME, runtime=runtime, rollout=rollout))
    identity = until(lambda: stack.client(NAME).get("status", {}).get("clientID"), "no identity")
    until(lambda: has(stack, identity, "deploy", "agent-blue"), "no agent")
    yield identity
    let_go(stack, identity)
    configure(stack, None)


def test_a_client_answers_is_repaired_rolled_and_goes(stack: Stack, client_id: str) -> None:
    assert conditions(stack.client(NAME))["Answering"]["status"] == "False"
    workloads.run_pod(stack, client_id)
    stack.wait(NAME, "Answering")
    owner = stack.get("ns", client_id)["metadata"]["annotations"]
    assert owner["voicefleet.dev/namespace"] == "default"
    assert owner["voicefleet.dev/name"] == NAME

    # An agent that is no longer registered, and is again.
    workloads.set_ready(stack, client_id, ready=False)
    said = stack.wait(NAME, "Answering", "False")
    assert "not registered" in conditions(said)["Answering"]["message"]
    workloads.set_ready(stack, client_id)
    stack.wait(NAME, "Answering")

    # Somebody stops it by hand: its pod goes, which is seen.
    stack.kubectl("scale", "deploy", "agent-blue", "-n", client_id, "--replicas=0")
    stack.kubectl("delete", "po", "agent-blue", "-n", client_id, "--force", "--grace-period=0")

    def replicas() -> int:
        return stack.get("deploy", "agent-blue", "-n", client_id)["spec"]["replicas"]

    until(lambda: replicas() == 1, "the Deployment is not put back")
    workloads.run_pod(stack, client_id)
    stack.wait(NAME, "Answering")

    # A new version starts beside it, takes over, and the one before goes.
    configure(stack, {"image": "localhost/voicefleet-agent:2"})
    until(lambda: has(stack, client_id, "deploy", "agent-green"), "no new version")
    pod = workloads.pod_of(stack, client_id, "agent-green")
    assert pod["spec"]["containers"][0]["image"] == "localhost/voicefleet-agent:2"
    assert stack.get("deploy", "agent-blue", "-n", client_id)["spec"]["replicas"] == 1
    workloads.run_pod(stack, client_id, "agent-green")

    def phase() -> str:
        return stack.client(NAME)["status"].get("rollout", {}).get("phase", "")

    until(lambda: phase() == "Draining", "callers are not led to the new version")
    # Its calls have ended, and so has it.
    stack.kubectl("delete", "po", "agent-blue", "-n", client_id, "--force", "--grace-period=0")
    until(lambda: not has(stack, client_id, "deploy", "agent-blue"), "the old version stays")
    until(lambda: not has(stack, client_id, "secret", "agent-blue"), "its Secret stays")
    stack.wait(NAME, "Answering")
    assert has(stack, client_id, "pvc", "agent")
