"""What only the vendor can know: said with reason, words and remedy; nothing half-bought stays."""

from __future__ import annotations

import pytest

from support.stack import Stack, client, conditions, until

pytestmark = pytest.mark.integration


def test_an_area_code_without_numbers_is_said_with_suggestions(stack: Stack) -> None:
    empty = [{"name": "main", "request": {"areaCode": "907"}}]
    stack.apply(client("far-north", telephony={"numbers": empty}))
    until(
        lambda: (
            conditions(stack.client("far-north")).get("Ready", {}).get("reason")
            == "NoNumbersAvailable"
        ),
        "the missing numbers are not said",
    )
    ready = conditions(stack.client("far-north"))["Ready"]
    assert "907" in ready["message"]
    assert "415" in ready["message"]
    assert "Stalled" in conditions(stack.client("far-north"))
    assert not [e for e in stack.ledger(only_open=True) if e["kind"] == "number.purchased"]
    other = [{"name": "second", "request": {"areaCode": "206"}}]
    stack.patch("far-north", {"telephony": {"numbers": other}})
    vc = stack.wait("far-north", "Answering")
    assert vc["status"]["primaryNumber"].startswith("+1206")
    assert "Stalled" not in conditions(vc)


def test_two_clients_race_for_the_last_number(stack: Stack) -> None:
    last = [{"name": "main", "request": {"areaCode": "808"}}]
    racers = ["racer-a", "racer-b"]
    stack.apply(*(client(name, telephony={"numbers": last}) for name in racers))

    def decided() -> bool:
        reasons = [conditions(stack.client(n)).get("Ready", {}).get("reason") for n in racers]
        return sorted(map(str, reasons)) == ["NoNumbersAvailable", "Provisioned"]

    until(decided, "the race is not decided", seconds=60)
    held = [n for n in stack.twilio_lists()["numbers"] if n["phone_number"].startswith("+1808")]
    assert len(held) == 1


def test_a_declined_card_leaves_nothing_behind(stack: Stack) -> None:
    api = stack.stripe().v1
    customer = api.customers.create({"name": "Poor"})
    card = api.payment_methods.attach("pm_card_chargeDeclined", {"customer": customer.id})
    api.customers.update(customer.id, {"invoice_settings": {"default_payment_method": card.id}})
    billing = {
        "collection": "Card",
        "activation": "OnPayment",
        "existing": {"customerID": customer.id},
    }
    stack.apply(client("poor", billing=billing))
    until(
        lambda: conditions(stack.client("poor")).get("Ready", {}).get("reason") == "CardDeclined",
        "the decline is not said",
    )
    found = conditions(stack.client("poor"))
    assert "declined" in found["BillingReady"]["message"]
    assert "Stalled" not in found
    assert stack.subscriptions("poor") == []
    client_id = stack.client("poor")["status"]["clientID"]
    assert not [e for e in stack.ledger(only_open=True) if client_id in str(e["mark"])]
    # Another card, and it goes on by itself.
    good = api.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    api.customers.update(customer.id, {"invoice_settings": {"default_payment_method": good.id}})
    stack.wait("poor", "Answering", seconds=90)


def test_a_taken_subdomain_names_its_owner(stack: Stack) -> None:
    stack.apply(client("first", dns={"subdomain": "smile"}))
    stack.wait("first", "Answering")
    stack.apply(client("second", dns={"subdomain": "smile"}))
    until(
        lambda: (
            conditions(stack.client("second")).get("DNSReady", {}).get("reason") == "SubdomainTaken"
        ),
        "the taken name is not said",
    )
    words = conditions(stack.client("second"))["DNSReady"]["message"]
    assert "default/first" in words
    assert "spec.dns.subdomain" in words
    stack.patch("second", {"dns": {"subdomain": "grin"}})
    stack.wait("second", "Answering")


def test_the_spending_cap_stops_a_purchase_before_it_is_sent(stack: Stack) -> None:
    held = len(stack.twilio_lists()["numbers"])
    stack.set_fleet(monthlySpendingCapMinor=115 * held + 114)
    try:
        seq = stack.last_request()
        stack.apply(client("dear"))
        until(
            lambda: (
                conditions(stack.client("dear")).get("Ready", {}).get("reason")
                == "SpendingCapReached"
            ),
            "the cap is not said",
        )
        bought = [w for w in stack.writes_since(seq) if "IncomingPhoneNumbers" in w]
        assert bought == []
    finally:
        stack.set_fleet()
    stack.wait("dear", "Answering", seconds=90)


def test_a_plan_that_shrank_is_said_by_the_controller(stack: Stack) -> None:
    """Admission knows the limit of the day of the edit; the plan may shrink afterwards."""
    line = {"numbers": [{"name": n, "request": {"areaCode": "512"}} for n in ("a", "b")]}
    stack.apply(client("grown", telephony=line))
    stack.wait("grown", "Answering")
    patch = '[{"op":"replace","path":"/spec/plans/1/maxNumbers","value":1}]'
    stack.kubectl("patch", "fleet", "default", "--type=json", "-p", patch)
    try:
        until(
            lambda: conditions(stack.client("grown"))["Ready"]["reason"] == "PlanLimitExceeded",
            "the limit is not said",
        )
    finally:
        stack.set_fleet()
    stack.wait("grown", "Ready")
