"""SIGTERM lets what is in flight be finished, takes nothing new, and lets the lease go last."""

from __future__ import annotations

import signal
import time

import pytest

from support.stack import Stack, client, until

pytestmark = pytest.mark.integration

PURCHASE = {"vendor": "twilio", "method": "POST", "pathRegex": r"/IncomingPhoneNumbers\.json$"}


def lease(stack: Stack) -> str:
    return stack.kubectl(
        *("get", "lease", "voicefleet-operator", "-n", "voicefleet-system"),
        *("-o", "jsonpath={.spec.holderIdentity}"),
    )


def test_what_is_in_flight_is_finished_before_the_lease_is_let_go(stack: Stack) -> None:
    stack.fault("pause", **PURCHASE)
    stack.apply(client("leaving"))
    until(stack.held, "no purchase is held")
    assert stack.operator is not None
    stack.operator.send_signal(signal.SIGTERM)
    stack.apply(client("too-late"))
    time.sleep(2)
    assert stack.operator.poll() is None
    assert lease(stack) == "local"
    assert not stack.client("too-late").get("status", {}).get("clientID")
    stack.clear_faults()
    assert stack.operator.wait(60) == 0
    assert lease(stack) == ""
    # The answer has arrived, and was written down.
    [number] = stack.get("pn")["items"]
    assert number["status"]["sid"]
    assert not number["status"].get("operations")
    assert not stack.client("too-late").get("status", {}).get("clientID")


def test_what_cannot_be_finished_is_left_to_the_journal(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.stop_operator(signal.SIGTERM)
    monkeypatch.setenv("VOICEFLEET_GRACE_SECONDS", "1")
    stack.start_operator()
    stack.fault("pause", **PURCHASE)
    stack.apply(client("cut-off"))
    until(stack.held, "no purchase is held")
    began = time.monotonic()
    stack.stop_operator(signal.SIGTERM)
    assert time.monotonic() - began < 15
    assert lease(stack) == ""
    [number] = stack.get("pn")["items"]
    assert number["status"]["operations"]
    stack.clear_faults()
    stack.start_operator()
    stack.wait("cut-off", "Answering")
    [number] = stack.get("pn")["items"]
    bought = [e for e in stack.ledger() if number["status"]["sid"] in str(e)]
    assert [e["kind"] for e in bought] == ["number.purchased"]
