"""kill -9 where it hurts: the vendor has booked it, the reply is still on its way."""

from __future__ import annotations

from collections import Counter

import pytest

from support.stack import Stack, client, until

pytestmark = pytest.mark.chaos

PLACES = {
    "number": ("twilio", r"/IncomingPhoneNumbers\.json$"),
    "subscription": ("stripe", r"^/v1/subscriptions$"),
    "customer": ("stripe", r"^/v1/customers$"),
    "trunk": ("twilio", r"/Trunks$"),
    "origination": ("twilio", r"/OriginationUrls$"),
}


def one_of_each(stack: Stack, name: str) -> None:
    """The vendors hold exactly one of each thing for the client, and the ledger agrees."""
    client_id = stack.client(name)["status"]["clientID"]
    assert len(stack.subscriptions(name)) == 1
    customers = stack.stripe().v1.customers.list({"limit": 100}).auto_paging_iter()
    marks = [c.metadata.to_dict().get("voicefleet_client") for c in customers]
    assert marks.count(client_id) == 1
    lists = stack.twilio_lists()
    for kind in ("numbers", "trunks"):
        mine = [x for x in lists[kind] if client_id in x["friendly_name"]]
        assert len(mine) == 1, (kind, mine)
    kinds = Counter(e["kind"] for e in stack.ledger() if client_id in str(e["mark"]))
    assert kinds["number.purchased"] == kinds["subscription.created"] == 1, kinds
    assert stack.client(name)["status"].get("operations", []) == []


@pytest.mark.parametrize("place", PLACES)
def test_killed_after_the_booking_and_before_the_reply(stack: Stack, place: str) -> None:
    vendor, path = PLACES[place]
    rule = stack.fault("pause", vendor=vendor, method="POST", pathRegex=path)
    name = f"killed-{place}"
    stack.apply(client(name))
    held = until(stack.held, f"no request for a {place} is held")
    print("in flight when the operator was killed:", held)
    stack.stop_operator()
    stack.sandbox.delete(f"/_sandbox/faults/{rule}")
    stack.start_operator()
    stack.wait(name, "Answering")
    one_of_each(stack, name)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ["drop", "reset", "throttle", "error", "error-done"])
def test_a_lost_or_failed_answer_makes_no_second(stack: Stack, place: str, kind: str) -> None:
    vendor, path = PLACES[place]
    rule = {"vendor": vendor, "method": "POST", "pathRegex": path}
    if kind == "error-done":
        stack.fault("error", done=True, **rule)
    else:
        stack.fault(kind, **rule)
    name = f"{kind}-{place}"
    stack.apply(client(name))
    stack.wait(name, "Answering")
    one_of_each(stack, name)


def test_deleted_while_it_is_being_made(stack: Stack) -> None:
    path = PLACES["number"][1]
    stack.fault("pause", vendor="twilio", method="POST", pathRegex=path)
    stack.apply(client("short-lived"))
    until(stack.held, "no purchase is held")
    client_id = stack.client("short-lived")["status"]["clientID"]
    stack.kubectl("delete", "vc", "short-lived", "--wait=false")
    stack.stop_operator()
    stack.clear_faults()
    stack.start_operator()
    stack.kubectl("wait", "--for=delete", "vc/short-lived", "--timeout=90s")
    assert not [e for e in stack.ledger(only_open=True) if client_id in str(e["mark"])]
