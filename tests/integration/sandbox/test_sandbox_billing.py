"""Subscriptions through the official SDK: money to the cent, and what time does."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest
import stripe

from integration.sandbox.vendors import World

pytestmark = pytest.mark.integration

DAY = 86400


def charged(world: World) -> list[int]:
    """What has been taken from cards, in order."""
    return [e["amountMinor"] for e in world.ledger() if e["kind"] == "invoice.charged"]


def test_card_is_charged_at_once_and_by_the_calendar(world: World) -> None:
    made = world.subscribe(world.customer(), world.price(), metadata={"m": "1"})
    assert made.status == "active"
    [item] = made["items"].data
    days = (item.current_period_end - item.current_period_start) // DAY
    assert 28 <= days <= 31
    assert charged(world) == [49900]
    [entry] = world.ledger(only_open=True)
    assert (entry["id"], entry["monthlyMinor"], entry["mark"]) == (made.id, 49900, {"m": "1"})
    world.advance(days * DAY + 3601)
    assert charged(world) == [49900, 49900]
    [renewed] = world.stripe().subscriptions.retrieve(made.id)["items"].data
    assert renewed.current_period_start == item.current_period_end
    start = datetime.fromtimestamp(item.current_period_start, UTC)
    assert datetime.fromtimestamp(renewed.current_period_end, UTC).hour == start.hour


def test_declined_card_makes_nothing_if_so_wished(world: World) -> None:
    price, customer = world.price(), world.customer("pm_card_chargeDeclined")
    with pytest.raises(stripe.CardError) as error:
        world.subscribe(customer, price, payment_behavior="error_if_incomplete")
    assert error.value.code == "card_declined"
    assert world.stripe().subscriptions.list({"status": "all"}).data == []
    assert world.stripe().invoices.list().data == []
    assert world.ledger() == []


def test_declined_card_leaves_an_incomplete_one_for_23_hours(world: World) -> None:
    made = world.subscribe(world.customer("pm_card_chargeDeclined"), world.price())
    assert made.status == "incomplete"
    assert charged(world) == []
    world.advance(23 * 3600 + 1)
    assert world.stripe().subscriptions.retrieve(made.id).status == "incomplete_expired"
    assert world.ledger(only_open=True) == []


def test_no_card_no_subscription(world: World) -> None:
    customer = world.customer(None)
    world.stripe().payment_methods.attach("pm_card_visa", {"customer": customer.id})
    # A card that is merely attached is not charged.
    with pytest.raises(stripe.InvalidRequestError, match="default payment method"):
        world.subscribe(customer, world.price())


def test_card_of_somebody_else(world: World) -> None:
    other = world.stripe().payment_methods.attach("pm_card_visa", {"customer": world.customer().id})
    with pytest.raises(stripe.InvalidRequestError, match="does not have a payment method"):
        world.subscribe(world.customer(), world.price(), default_payment_method=other.id)


def test_what_was_paid_is_refunded_once(world: World) -> None:
    v1 = world.stripe()
    made = world.subscribe(world.customer(), world.price())
    whole = {"invoice": made.latest_invoice, "amount": 49900, "refund_amount": 49900}
    with pytest.raises(stripe.InvalidRequestError, match="sum of credit amount"):
        v1.credit_notes.create({**whole, "refund_amount": 100})
    assert v1.credit_notes.create(whole).post_payment_amount == 49900
    assert v1.invoices.retrieve(made.latest_invoice).post_payment_credit_notes_amount == 49900
    with pytest.raises(stripe.InvalidRequestError, match="at most what is left"):
        v1.credit_notes.create(whole)
    assert [e["amountMinor"] for e in world.ledger() if e["kind"] == "invoice.refunded"] == [-49900]
    [note] = v1.credit_notes.list({"invoice": made.latest_invoice}).data
    assert note.reason is None


def test_by_invoice_it_is_a_draft_for_an_hour(world: World) -> None:
    made = world.subscribe(
        world.customer(None), world.price(), collection_method="send_invoice", days_until_due=14
    )
    v1 = world.stripe()
    draft = v1.invoices.retrieve(made.latest_invoice)
    assert (made.status, draft.status, draft.hosted_invoice_url) == ("active", "draft", None)
    world.advance(3601)
    sent = v1.invoices.retrieve(made.latest_invoice)
    assert (sent.status, sent.amount_due) == ("open", 49900)
    assert sent.due_date - sent.status_transitions.finalized_at == 14 * DAY
    assert charged(world) == []
    path = sent.hosted_invoice_url.removeprefix(world.url)
    assert "499.00 USD" in world.own("GET", path)
    world.own("POST", path)
    assert v1.invoices.retrieve(made.latest_invoice).status == "paid"
    assert charged(world) == [49900]
    with pytest.raises(stripe.InvalidRequestError, match="already paid"):
        v1.invoices.pay(made.latest_invoice)


def test_trial_ends_in_a_charge(world: World) -> None:
    made = world.subscribe(world.customer(), world.price(), trial_period_days=14)
    assert (made.status, made.trial_end - made.trial_start) == ("trialing", 14 * DAY)
    assert charged(world) == []
    world.advance(14 * DAY + 3601)
    now = world.stripe().subscriptions.retrieve(made.id)
    assert (now.status, charged(world)) == ("active", [49900])
    assert now["items"].data[0].current_period_start == made.trial_end


def test_trial_without_a_card_ends_past_due_and_payment_revives_it(world: World) -> None:
    made = world.subscribe(world.customer(None), world.price(), trial_period_days=1)
    world.advance(DAY + 3601)
    v1 = world.stripe()
    now = v1.subscriptions.retrieve(made.id)
    assert now.status == "past_due"
    v1.invoices.pay(now.latest_invoice, {"paid_out_of_band": True})
    assert v1.subscriptions.retrieve(made.id).status == "active"


def test_proration_by_seconds(world: World) -> None:
    made = world.subscribe(world.customer(), world.price(30000))
    [item] = made["items"].data
    length = item.current_period_end - item.current_period_start
    world.advance(length / 3)
    dearer, v1 = world.price(60000), world.stripe()
    v1.subscriptions.update(made.id, {"items": [{"id": item.id, "price": dearer.id}]})
    [debit, credit] = v1.invoice_items.list({"pending": True}).data
    assert (credit.amount, debit.amount) == (pytest.approx(-20000, 2), pytest.approx(40000, 2))
    [entry] = world.ledger(only_open=True)
    assert (entry["kind"], entry["monthlyMinor"]) == ("subscription.updated", 60000)
    world.advance(2 * length / 3 + 3700)
    difference = credit.amount + debit.amount
    assert charged(world) == [30000, 60000 + difference]
    assert v1.invoice_items.list({"pending": True}).data == []


def test_proration_on_demand_and_not_at_all(world: World) -> None:
    made = world.subscribe(world.customer(), world.price(30000))
    [item] = made["items"].data
    v1 = world.stripe()
    for amount, behavior in ((60000, "none"), (90000, "always_invoice")):
        change = {"id": item.id, "price": world.price(amount).id}
        v1.subscriptions.update(made.id, {"items": [change], "proration_behavior": behavior})
    assert charged(world) == [30000, pytest.approx(30000, abs=2)]


def test_a_change_that_the_bank_refuses_changes_nothing(world: World) -> None:
    customer = world.customer()
    made, v1 = world.subscribe(customer, world.price(30000)), world.stripe()
    bad = v1.payment_methods.attach("pm_card_chargeDeclined", {"customer": customer.id})
    v1.customers.update(customer.id, {"invoice_settings": {"default_payment_method": bad.id}})
    before, ledger = v1.subscriptions.retrieve(made.id), world.ledger()
    change = {"id": made["items"].data[0].id, "price": world.price(60000).id}
    with pytest.raises(stripe.CardError):
        v1.subscriptions.update(
            made.id,
            {
                "items": [change],
                "proration_behavior": "always_invoice",
                "payment_behavior": "error_if_incomplete",
            },
        )
    assert v1.subscriptions.retrieve(made.id) == before
    assert world.ledger() == ledger


def test_end_at_period_end_and_taken_back(world: World) -> None:
    made, v1 = world.subscribe(world.customer(), world.price()), world.stripe()
    v1.subscriptions.update(made.id, {"cancel_at_period_end": True})
    assert world.ledger(only_open=True) == []
    v1.subscriptions.update(made.id, {"metadata": {"renamed": "1"}})
    assert world.ledger(only_open=True) == []
    v1.subscriptions.update(made.id, {"cancel_at_period_end": False})
    assert [e["id"] for e in world.ledger(only_open=True)] == [made.id]
    v1.subscriptions.update(made.id, {"cancel_at_period_end": True})
    world.advance(32 * DAY)
    ended = v1.subscriptions.retrieve(made.id)
    assert (ended.status, charged(world)) == ("canceled", [49900])
    assert ended.ended_at == made["items"].data[0].current_period_end


def test_end_now_credits_unused_time_for_the_next_invoice(world: World) -> None:
    customer, price, v1 = world.customer(), world.price(30000), world.stripe()
    made = world.subscribe(customer, price)
    [item] = made["items"].data
    world.advance((item.current_period_end - item.current_period_start) / 2)
    ended = v1.subscriptions.cancel(made.id, {"invoice_now": True, "prorate": True})
    final = v1.invoices.retrieve(ended.latest_invoice)
    assert (final.status, final.amount_due) == ("paid", 0)
    assert final.total == pytest.approx(-15000, abs=2)
    assert v1.customers.retrieve(customer.id).balance == final.total
    assert [e["amountMinor"] for e in world.ledger() if e["kind"] == "invoice.credited"] == [
        final.total
    ]
    world.subscribe(customer, price)
    assert charged(world) == [30000, 30000 + final.total]
    assert v1.customers.retrieve(customer.id).balance == 0


def test_what_has_ended_cannot_be_changed_or_ended(world: World) -> None:
    made, v1 = world.subscribe(world.customer(), world.price()), world.stripe()
    v1.subscriptions.cancel(made.id)
    with pytest.raises(stripe.InvalidRequestError) as error:
        v1.subscriptions.cancel(made.id)
    assert (error.value.http_status, error.value.code) == (404, "resource_missing")
    with pytest.raises(stripe.InvalidRequestError, match="can only update its cancellation"):
        v1.subscriptions.update(made.id, {"cancel_at_period_end": True})
    v1.subscriptions.update(made.id, {"metadata": {"note": "left"}})
    assert v1.subscriptions.list().data == []
    assert [s.id for s in v1.subscriptions.list({"status": "ended"}).data] == [made.id]
    assert world.ledger(only_open=True) == []


def test_what_is_not_paid_when_it_ends_is_not_collected(world: World) -> None:
    made = world.subscribe(
        world.customer(None), world.price(), collection_method="send_invoice", days_until_due=14
    )
    world.stripe().subscriptions.cancel(made.id)
    world.advance(DAY)
    assert world.stripe().invoices.retrieve(made.latest_invoice).status == "draft"


def test_a_deleted_customers_subscriptions_end(world: World) -> None:
    customer, v1 = world.customer(), world.stripe()
    made = world.subscribe(customer, world.price())
    v1.customers.delete(customer.id)
    assert v1.customers.retrieve(customer.id).deleted
    assert v1.subscriptions.retrieve(made.id).status == "canceled"
    assert world.ledger(only_open=True) == []
    with pytest.raises(stripe.InvalidRequestError) as error:
        world.subscribe(customer, world.price())
    assert (error.value.http_status, error.value.param) == (400, "customer")


@pytest.mark.parametrize(("behavior", "status"), [("void", "void"), ("keep_as_draft", "draft")])
def test_paused_collection(world: World, behavior: str, status: str) -> None:
    made, v1 = world.subscribe(world.customer(), world.price()), world.stripe()
    v1.subscriptions.update(made.id, {"pause_collection": {"behavior": behavior}})
    world.advance(32 * DAY)
    paused = v1.subscriptions.retrieve(made.id)
    assert v1.invoices.retrieve(paused.latest_invoice).status == status
    assert charged(world) == [49900]
    v1.subscriptions.update(made.id, {"pause_collection": ""})
    world.advance(32 * DAY)
    assert charged(world) == [49900, 49900]


# --- Checkout ---------------------------------------------------------------------------------


def test_checkout(world: World) -> None:
    v1, price, customer = world.stripe(), world.price(), world.customer(None)
    session = v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "customer": customer.id,
            "line_items": [{"price": price.id, "quantity": 1}],
            "success_url": "https://x.example",
            "subscription_data": {"metadata": {"m": "1"}},
        }
    )
    assert (session.status, session.amount_total) == ("open", 49900)
    page = world.own("GET", session.url.removeprefix(world.url))
    assert "499.00 USD" in page
    assert "Pay" in page
    assert "Decline" in page
    assert world.ledger() == []
    declined = httpx.post(session.url, data={"pay": "no"}, trust_env=False)
    assert declined.status_code == 402
    assert v1.checkout.sessions.retrieve(session.id).status == "open"
    for _ in range(2):  # a double click
        assert httpx.post(session.url, data={"pay": "yes"}, trust_env=False).status_code == 200
    done = v1.checkout.sessions.retrieve(session.id, {"expand": ["subscription.latest_invoice"]})
    assert (done.status, done.payment_status, done.url) == ("complete", "paid", None)
    assert done.subscription.metadata["m"] == "1"
    assert done.subscription.customer == customer.id
    assert done.subscription.latest_invoice.status == "paid"
    assert charged(world) == [49900]
    with pytest.raises(stripe.InvalidRequestError, match="status of complete"):
        v1.checkout.sessions.expire(session.id)


def test_checkout_with_trial_and_without_customer(world: World) -> None:
    v1 = world.stripe()
    session = v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "line_items": [{"price": world.price().id, "quantity": 1}],
            "success_url": "https://x.example",
            "customer_email": "owner@bright.example",
            "subscription_data": {"trial_period_days": 7},
        }
    )
    world.own("POST", f"/checkout/{session.id}", data={"pay": "yes"})
    done = v1.checkout.sessions.retrieve(session.id, {"expand": ["customer", "subscription"]})
    assert (done.payment_status, done.subscription.status) == ("no_payment_required", "trialing")
    assert done.customer.email == "owner@bright.example"
    assert charged(world) == []


def test_checkout_expires_after_a_day(world: World) -> None:
    v1 = world.stripe()
    session = v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "line_items": [{"price": world.price().id, "quantity": 1}],
            "success_url": "https://x.example",
        }
    )
    world.advance(DAY + 1)
    assert v1.checkout.sessions.retrieve(session.id).status == "expired"
    assert httpx.post(session.url, data={"pay": "yes"}, trust_env=False).status_code == 400
    assert world.ledger() == []
