"""A client is complete by its deadline, or is taken back to nothing and nobody has paid."""

from __future__ import annotations

from typing import Any

import pytest

from support.manifests import numbers
from support.stack import Stack, client, conditions, until

pytestmark = pytest.mark.integration

ROLLBACK = {"deadlineSeconds": 10, "onFailure": "Rollback"}
NOWHERE = [{"name": "main", "request": {"country": "US", "areaCode": "999"}}]


def phase(stack: Stack, name: str) -> str | None:
    """Of the client's onboarding."""
    found = stack.client(name).get("status", {}).get("onboarding") or {}
    return found.get("phase")


def bought(stack: Stack, name: str) -> list[Any]:
    """What the ledger has open for a client."""
    client_id = stack.client(name)["status"]["clientID"]
    return [
        entry
        for entry in stack.ledger(only_open=True)
        if client_id in str(entry["mark"]) or name in str(entry["mark"])
    ]


def test_a_client_that_makes_it_is_complete(stack: Stack) -> None:
    stack.apply(client("intime", onboarding={"onFailure": "Rollback"}))
    vc = stack.wait("intime", "Answering")
    assert vc["status"]["onboarding"]["phase"] == "Complete"
    [first, *_, last] = vc["status"]["timeline"]
    assert (first["milestone"], first["afterSeconds"]) == ("Accepted", 0)
    assert (last["milestone"], last["afterSeconds"] < 60) == ("Answering", True)
    # What breaks later is mended, not rolled back.
    stack.patch("intime", {"receptionistRef": {"name": "nobody"}})
    stack.wait("intime", "Ready", "False")
    assert phase(stack, "intime") == "Complete"


def test_a_late_client_is_taken_back_to_nothing_and_refunded(stack: Stack) -> None:
    v1 = stack.stripe().v1
    seq = stack.last_request()
    billing = {"collection": "Checkout", "activation": "OnPayment"}
    # One number that exists, kept by its policy, and one that does not.
    wanted = [{**numbers(1)[0], "name": "there", "reclaimPolicy": "Retain"}, *NOWHERE]
    telephony = {"numbers": wanted}
    stack.apply(client("late", billing=billing, onboarding=ROLLBACK, telephony=telephony))
    url = until(
        lambda: stack.client("late").get("status", {}).get("billing", {}).get("checkoutURL"),
        "there is no link to pay by",
    )
    assert phase(stack, "late") == "AwaitingPayment"
    assert stack.sandbox.post(url, data={"pay": "yes"}).status_code == 200
    until(lambda: phase(stack, "late") == "RolledBack", "it is not taken back", seconds=120)

    assert any("IncomingPhoneNumbers" in write for write in stack.writes_since(seq))
    vc = stack.client("late")
    ready = conditions(vc)["Ready"]
    assert (ready["status"], ready["reason"]) == ("False", "RolledBack")
    assert "999" in ready["message"]
    assert conditions(vc)["Stalled"]["status"] == "True"
    assert bought(stack, "late") == []
    assert stack.subscriptions("late") == []
    client_id = vc["status"]["clientID"]
    lists = stack.twilio_lists()
    assert not [x for x in lists["numbers"] + lists["trunks"] if client_id in x["friendly_name"]]
    paid = [e for e in stack.ledger() if e["mark"].get("voicefleet_name") == "late"]
    amounts = [e["amountMinor"] for e in paid if e["kind"].startswith("invoice.")]
    assert amounts == [49900, -49900]
    milestones = [entry["milestone"] for entry in vc["status"]["timeline"]]
    assert milestones == ["Accepted", "Subscribed", "Activated", "RollingBack", "RolledBack"]

    # An edit starts afresh: a new link, paid anew, and only what can be had.
    stack.patch("late", {"telephony": {"numbers": numbers(1)}})
    fresh = until(
        lambda: stack.client("late")["status"].get("billing", {}).get("checkoutURL"),
        "there is no new link",
    )
    assert fresh != url
    assert stack.sandbox.post(fresh, data={"pay": "yes"}).status_code == 200
    stack.wait("late", "Answering")
    assert phase(stack, "late") == "Complete"
    [_] = stack.subscriptions("late")
    assert len(v1.customers.list({"email": vc["spec"]["business"]["email"]}).data) >= 1


def test_a_vendor_that_is_down_does_not_keep_a_client_half_made(stack: Stack) -> None:
    stack.fault("error", status=500, vendor="twilio", method="POST", times=None)
    stack.apply(client("halfway", onboarding=ROLLBACK))
    until(lambda: phase(stack, "halfway") == "RollingBack", "it is not taken back", seconds=60)
    # Killed in the middle of it, the next one goes on where this one was.
    stack.stop_operator()
    stack.clear_faults()
    stack.start_operator()
    until(lambda: phase(stack, "halfway") == "RolledBack", "it is not taken back", seconds=60)
    assert bought(stack, "halfway") == []
    # A person who has read of it asks for another try.
    stack.kubectl("annotate", "vc", "halfway", "voicefleet.dev/reconcile-at=now")
    stack.wait("halfway", "Answering")
    assert len(bought(stack, "halfway")) == 2


def test_retry_goes_on_after_the_deadline(stack: Stack) -> None:
    late = {"deadlineSeconds": 10, "onFailure": "Retry"}
    stack.apply(client("stubborn", onboarding=late, telephony={"numbers": NOWHERE}))
    until(lambda: phase(stack, "stubborn") == "Late", "it is not late")
    assert len(stack.subscriptions("stubborn")) == 1
    stack.patch("stubborn", {"telephony": {"numbers": numbers(1)}})
    stack.wait("stubborn", "Answering")
    assert phase(stack, "stubborn") == "Complete"
