"""Faults and kill -9 around every request that gives money back or changes what is charged."""

from __future__ import annotations

from collections import Counter

import pytest

from support.manifests import numbers
from support.stack import Stack, client, until

pytestmark = pytest.mark.chaos

# The simulator has every request with every fault; here are those whose work was done unheard.
KINDS = ("killed", "drop", "error-done")
LEAVING = {
    "number": ("twilio", "DELETE", r"/IncomingPhoneNumbers/"),
    "subscription": ("stripe", "DELETE", r"^/v1/subscriptions/"),
    "trunk": ("twilio", "DELETE", r"/Trunks/"),
}
CHECKOUT = {"collection": "Checkout", "activation": "OnPayment"}


def hurt(stack: Stack, kind: str, vendor: str, method: str, path: str) -> int:
    """Put the fault in force; a kill is a reply that is held until the operator is dead."""
    rule = {"vendor": vendor, "method": method, "pathRegex": path}
    if kind == "error-done":
        return stack.fault("error", done=True, **rule)
    return stack.fault("pause" if kind == "killed" else kind, **rule)


def kill(stack: Stack, kind: str) -> None:
    """Where the fault is a kill: once the request is in flight, and start another operator."""
    if kind == "killed":
        print("in flight when the operator was killed:", until(stack.held, "nothing is held"))
        stack.stop_operator()
        stack.clear_faults()
        stack.start_operator()


@pytest.mark.parametrize("place", LEAVING)
@pytest.mark.parametrize("kind", KINDS)
def test_everything_goes_and_goes_once(stack: Stack, place: str, kind: str) -> None:
    name = f"leaving-{kind}-{place}"
    stack.apply(client(name))
    client_id = stack.wait(name, "Answering")["status"]["clientID"]
    hurt(stack, kind, *LEAVING[place])
    stack.kubectl("delete", "vc", name, "--wait=false")
    kill(stack, kind)
    stack.kubectl("wait", "--for=delete", f"vc/{name}", "--timeout=90s")
    assert stack.subscriptions(name) == []
    lists = stack.twilio_lists()
    assert not [x for x in lists["numbers"] + lists["trunks"] if client_id in x["friendly_name"]]
    mine = [e for e in stack.ledger() if client_id in str(e["mark"])]
    kinds = Counter(e["kind"] for e in mine)
    assert kinds["number.purchased"] == kinds["number.released"] == 1, kinds
    assert kinds["subscription.created"] == kinds["subscription.canceled"] == 1, kinds


@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_is_changed_once(stack: Stack, kind: str) -> None:
    name = f"growing-{kind}"
    stack.apply(client(name))
    stack.wait(name, "Answering")
    [before] = stack.subscriptions(name)
    hurt(stack, kind, "stripe", "POST", f"^/v1/subscriptions/{before['id']}$")
    stack.patch(name, {"plan": "Enterprise"})
    kill(stack, kind)
    stack.wait(name, "Ready")

    def price() -> int:
        [after] = stack.subscriptions(name)
        assert after["id"] == before["id"]
        return after["items"]["data"][0]["price"]["unit_amount"]

    until(lambda: price() == 79900, "the price does not change")
    changes = [e["kind"] for e in stack.ledger() if e["id"] == before["id"]]
    assert changes.count("subscription.updated") == 1, changes


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_gets_one_link_to_pay_by(stack: Stack, kind: str) -> None:
    name = f"linked-{kind}"
    hurt(stack, kind, "stripe", "POST", r"^/v1/checkout/sessions$")
    stack.apply(client(name, billing=CHECKOUT))
    kill(stack, kind)
    vc = until(
        lambda: (
            vc := stack.client(name)
        ).get("status", {}).get("billing", {}).get("checkoutURL") and vc,
        "there is no link",
    )  # fmt: skip
    sessions = stack.stripe().v1.checkout.sessions.list({"limit": 100}).auto_paging_iter()
    mine = [
        s.url
        for s in sessions
        if s.metadata.to_dict().get("voicefleet_client") == vc["status"]["clientID"]
    ]
    assert mine == [vc["status"]["billing"]["checkoutURL"]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_payment_is_refunded_once(stack: Stack, kind: str) -> None:
    name = f"refund-{kind}"
    nowhere = [*numbers(1), {"name": "no", "request": {"country": "US", "areaCode": "999"}}]
    rollback = {"deadlineSeconds": 10, "onFailure": "Rollback"}
    hurt(stack, kind, "stripe", "POST", r"^/v1/credit_notes$")
    stack.apply(client(name, billing=CHECKOUT, onboarding=rollback, telephony={"numbers": nowhere}))
    url = until(
        lambda: stack.client(name).get("status", {}).get("billing", {}).get("checkoutURL"),
        "there is no link",
    )
    assert stack.sandbox.post(url, data={"pay": "yes"}).status_code == 200
    kill(stack, kind)
    until(
        lambda: stack.client(name)["status"]["onboarding"]["phase"] == "RolledBack",
        "it is not taken back",
        seconds=60,
    )
    assert stack.subscriptions(name) == []
    client_id = stack.client(name)["status"]["clientID"]
    mine = [e for e in stack.ledger() if client_id in str(e["mark"])]
    amounts = [e["amountMinor"] for e in mine if e["kind"].startswith("invoice.")]
    assert amounts == [49900, -49900]
    assert Counter(e["kind"] for e in mine)["number.released"] == 1
