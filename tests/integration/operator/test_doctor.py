"""`voicefleet doctor` finds what is wrong before anything is bought, and only reads."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.stack import Stack

pytestmark = pytest.mark.integration


def examine(stack: Stack, *arguments: str) -> tuple[int, dict[str, dict[str, str]]]:
    """Exit code, and the checks by what they looked at."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("voicefleet")), "doctor", "-o", "json", *arguments],
        env={**os.environ, "KUBECONFIG": str(stack.kubeconfig)},
        capture_output=True,
        text=True,
    )
    return done.returncode, {check["what"]: check for check in json.loads(done.stdout)}


@pytest.fixture
def broken(stack: Stack, request: pytest.FixtureRequest) -> Iterator[str]:
    """One key of a Secret is another for the test; the Secret's name."""
    name, key, value = request.param

    def put(coded: str) -> None:
        patch = json.dumps({"data": {key: coded}})
        stack.kubectl("patch", "secret", name, "-n", "voicefleet-system", "-p", patch)

    shown = stack.kubectl("get", "secret", name, "-n", "voicefleet-system", "-o", "json")
    before = json.loads(shown)["data"][key]
    put(base64.b64encode(value.encode()).decode())
    yield name
    put(before)


def test_all_that_is_well_is_said_and_what_is_not(stack: Stack) -> None:
    stack.kubectl("wait", "--for=condition=Ready", "fleet/default", "--timeout=60s")
    seq = stack.last_request()
    code, checks = examine(stack)
    # These tests' platform has no SIP bridge; everything else is there.
    failed = [what for what, check in checks.items() if check["verdict"] != "ok"]
    assert [what.split(":")[0] for what in failed] == ["SIP sip"]
    assert "UDP port" in checks[failed[0]]["remedy"]
    assert code == 1
    said = " ".join(checks)
    for what in ("Admission policies", "Stripe account main", "Twilio account main", "DNS server"):
        assert what in said
    assert stack.writes_since(seq) == []


@pytest.mark.parametrize(
    ("broken", "what", "words"),
    [
        (("stripe", "apiKey", "sk_live_123"), "Secrets", "its key is a live key"),
        (("twilio", "accountSID", "wrong"), "Twilio account main", ""),
        (("dns", "secret", "d3Jvbmc="), "DNS server", ""),
    ],
    indirect=["broken"],
)
def test_a_wrong_key_is_named(stack: Stack, broken: str, what: str, words: str) -> None:
    code, checks = examine(stack)
    assert code == 1
    assert checks[what]["verdict"] == "failed"
    assert words in checks[what]["detail"]
    assert checks[what]["remedy"]
    assert "d3Jvbmc" not in json.dumps(checks), broken


def test_a_fleet_that_is_not_there(stack: Stack) -> None:
    code, checks = examine(stack, "--fleet", "nobody")
    assert code == 1
    assert "nobody" in checks["Kubernetes API"]["remedy"]


def test_what_agents_in_the_cluster_need_is_looked_for(stack: Stack) -> None:
    gateway = stack.platform.port("agent-gateway")
    egress = {"name": "gateway", "cidr": "192.0.2.1/32", "ports": [{"port": gateway}]}
    storage = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": "disk",
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": "example.com/disk",
    }

    livekit = stack.get("fleet", "default")["spec"]["livekit"]

    def checked(config: dict[str, object], url: str = livekit["agentURL"]) -> tuple[str, str]:
        runtime = {"className": "kubernetes", "kubernetes": config}
        spec = {"runtime": runtime, "livekit": {"agentURL": url}}
        patch = json.dumps({"spec": spec})
        stack.kubectl("patch", "fleet", "default", "--type=merge", "-p", patch)
        _, checks = examine(stack)
        found = [checks["StorageClass of clients' volumes"], checks["Agents' way to LiveKit"]]
        assert all(check["remedy"] for check in found if check["verdict"] == "failed")
        return found[0]["verdict"], found[1]["verdict"]

    try:
        assert checked({}) == ("failed", "failed")
        stack.apply(storage)
        assert checked({"egress": [egress]}) == ("ok", "ok")
        assert checked({"storageClassName": "ssd", "egress": None}) == ("failed", "failed")
        # In the cluster the port of a pod is not its Service's.
        inside = {"name": "gateway", "namespace": "voicefleet-system", "ports": [{"port": 8443}]}
        url = "wss://voicefleet-agent-gateway.voicefleet-system.svc"
        assert checked({"storageClassName": None, "egress": [inside]}, url)[1] == "ok"
        assert checked({"egress": [inside | {"namespace": "default"}]}, url)[1] == "failed"
    finally:
        runtime = {"className": stack.runtime, "kubernetes": None}
        patch = json.dumps({"spec": {"runtime": runtime, "livekit": livekit}})
        stack.kubectl("patch", "fleet", "default", "--type=merge", "-p", patch)
        stack.kubectl("delete", "storageclass", "disk", "--ignore-not-found")
