"""Of several operators one acts: the next one takes over in time, and the old one stands back."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from support.stack import Stack, client, until

pytestmark = pytest.mark.chaos

LEASE_SECONDS = 5
Replicas = dict[str, subprocess.Popen[bytes]]


def holder(stack: Stack) -> str:
    """Who leads."""
    lease = stack.kubectl(
        *("get", "lease", "voicefleet-operator", "-n", "voicefleet-system"),
        *("--ignore-not-found", "-o", "json"),
    )
    return json.loads(lease)["spec"].get("holderIdentity", "") if lease else ""


@pytest.fixture
def replicas(stack: Stack) -> Iterator[Replicas]:
    """Two operators, the first of which leads."""
    stack.stop_operator(signal.SIGTERM)
    running = {"first": stack.replica("first")}
    try:
        until(lambda: holder(stack) == "first", "nobody leads")
        said = len(stack.log())
        running["second"] = stack.replica("second")
        until(lambda: "waiting for the lease of first" in stack.log()[said:], "nobody waits")
        yield running
    finally:
        for process in running.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait(60)
        stack.start_operator()


def test_the_leader_dies_and_the_other_acts(stack: Stack, replicas: Replicas) -> None:
    stack.apply(client("before"))
    stack.wait("before", "Answering")
    time.sleep(2)
    replicas["first"].kill()
    killed = time.monotonic()
    stack.apply(client("after"))
    until(lambda: holder(stack) == "second", "nobody takes over", seconds=LEASE_SECONDS * 4)
    print(f"taken over after {time.monotonic() - killed:.1f} s")
    stack.wait("after", "Answering")


def test_a_leader_that_leaves_hands_over_at_once(stack: Stack, replicas: Replicas) -> None:
    time.sleep(2)
    replicas["first"].terminate()
    assert replicas["first"].wait(60) == 0
    until(lambda: holder(stack) == "second", "nobody takes over", seconds=LEASE_SECONDS * 0.8)


def test_a_leader_that_slept_too_long_touches_nothing(stack: Stack, replicas: Replicas) -> None:
    stack.fault("pause", vendor="twilio", method="POST", pathRegex=r"/IncomingPhoneNumbers\.json$")
    stack.apply(client("asleep"))
    until(stack.held, "no purchase is held")
    replicas["first"].send_signal(signal.SIGSTOP)
    stack.clear_faults()
    until(lambda: holder(stack) == "second", "nobody takes over", seconds=LEASE_SECONDS * 4)
    stack.wait("asleep", "Answering")
    seq, version = stack.last_request(), stack.client("asleep")["metadata"]["resourceVersion"]
    replicas["first"].send_signal(signal.SIGCONT)
    assert replicas["first"].wait(60) == 1
    assert stack.writes_since(seq) == []
    assert stack.client("asleep")["metadata"]["resourceVersion"] == version
    client_id = stack.client("asleep")["status"]["clientID"]
    bought = [e for e in stack.ledger() if client_id in str(e["mark"])]
    assert [e["kind"] for e in bought].count("number.purchased") == 1
    assert replicas["second"].poll() is None


def test_a_leader_that_slept_between_two_requests_sends_no_second(
    stack: Stack, replicas: Replicas
) -> None:
    # Where a trunk's calls go is read and then written, in one action. The successor sleeps, too,
    # as soon as it leads: whatever arrives then is the old leader's.
    known = [trunk["sid"] for trunk in stack.twilio_lists()["trunks"]]
    stack.fault("pause", vendor="twilio", method="GET", pathRegex="/OriginationUrls$")
    stack.apply(client("between"))
    until(
        lambda: any(all(sid not in held["path"] for sid in known) for held in stack.held()),
        "nothing is held",
    )
    replicas["first"].send_signal(signal.SIGSTOP)
    stack.clear_faults()
    until(lambda: holder(stack) == "second", "nobody takes over", seconds=LEASE_SECONDS * 4)
    replicas["second"].send_signal(signal.SIGSTOP)
    time.sleep(0.2)
    seq = stack.last_request()
    replicas["first"].send_signal(signal.SIGCONT)
    assert replicas["first"].wait(60) == 1
    time.sleep(0.5)  # What was sent is in the log by now.
    assert stack.writes_since(seq) == []
    replicas["second"].send_signal(signal.SIGCONT)
    stack.wait("between", "Answering")
