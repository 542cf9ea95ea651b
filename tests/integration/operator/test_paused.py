"""A paused client is left alone, by vendors' requests and by deletion, until it is not."""

from __future__ import annotations

import time

import pytest

from support.stack import Stack, client, conditions, until

pytestmark = pytest.mark.integration

PAUSED = "voicefleet.dev/paused"


def test_an_edit_waits_while_the_client_is_paused(stack: Stack) -> None:
    stack.apply(client("held"))
    stack.wait("held", "Answering")
    stack.kubectl("annotate", "vc", "held", f"{PAUSED}=true")
    until(lambda: "Paused" in conditions(stack.client("held")), "the pause is not said")
    seq = stack.last_request()
    stack.patch("held", {"plan": "Enterprise"})
    time.sleep(3)
    assert stack.writes_since(seq) == []
    vc = stack.client("held")
    # What was known before still stands, and of which generation it was.
    assert conditions(vc)["Ready"]["observedGeneration"] < vc["metadata"]["generation"]
    stack.kubectl("annotate", "vc", "held", f"{PAUSED}-")
    vc = stack.wait("held", "Ready")
    assert "Paused" not in conditions(vc)
    until(lambda: stack.writes_since(seq) != [], "the edit is not carried out")


def test_a_paused_fleet_holds_its_clients_and_their_deletion(stack: Stack) -> None:
    stack.apply(client("still-here"))
    client_id = stack.wait("still-here", "Answering")["status"]["clientID"]
    stack.kubectl("annotate", "fleet", "default", f"{PAUSED}=true")
    try:
        until(lambda: "Paused" in conditions(stack.client("still-here")), "the pause is not said")
        stack.kubectl("delete", "vc", "still-here", "--wait=false")
        stack.apply(client("newcomer"))
        until(lambda: "Paused" in conditions(stack.client("newcomer")), "the pause is not said")
        time.sleep(2)
        assert stack.client("newcomer")["status"].get("clientID") is None
        assert [e for e in stack.ledger(only_open=True) if client_id in str(e["mark"])]
    finally:
        stack.kubectl("annotate", "fleet", "default", f"{PAUSED}-")
    stack.kubectl("wait", "--for=delete", "vc/still-here", "--timeout=60s")
    stack.wait("newcomer", "Answering")


def test_reconcile_at_looks_anew_and_is_echoed(stack: Stack) -> None:
    stack.apply(client("nudged"))
    stack.wait("nudged", "Answering")
    seq = stack.last_request()
    stack.kubectl("annotate", "vc", "nudged", "voicefleet.dev/reconcile-at=today")
    until(
        lambda: stack.client("nudged")["status"].get("lastHandledReconcileAt") == "today",
        "it is not echoed",
    )
    assert stack.last_request() > seq
    assert stack.writes_since(seq) == []


def test_a_paused_number_is_left_alone_and_its_client_says_so(stack: Stack) -> None:
    stack.apply(client("loud", telephony={"fallback": {"forwardTo": "+14155550199"}}))
    stack.wait("loud", "Answering")
    [number] = stack.get("pn")["items"]
    name, sid = number["metadata"]["name"], number["status"]["sid"]
    stack.kubectl("annotate", "pn", name, f"{PAUSED}=true")
    try:
        until(lambda: "Paused" in conditions(stack.get("pn", name)), "the pause is not said")
        seq = stack.last_request()
        # An edit that changes where the number's calls go, and then the end of it all.
        stack.patch("loud", {"suspend": True})
        until(
            lambda: conditions(stack.client("loud"))["TelephonyReady"]["reason"] == "Paused",
            "the client does not say what it waits for",
        )
        stack.kubectl("delete", "vc", "loud", "--wait=false")
        time.sleep(3)
        assert not [write for write in stack.writes_since(seq) if sid in write]
        assert [e for e in stack.ledger(only_open=True) if sid in str(e)]
    finally:
        stack.kubectl("annotate", "pn", name, f"{PAUSED}-")
    stack.kubectl("wait", "--for=delete", "vc/loud", f"pn/{name}", "--timeout=60s")
    assert not [e for e in stack.ledger(only_open=True) if sid in str(e)]
