"""The Stripe driver, through the official SDK, against the sandbox."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe

from integration.drivers.harness import FLEET, BadServer, Sandbox, reset, saying, silent, writes
from voicefleet_api.fleet import Plan
from voicefleet_operator.drivers.errors import (
    Ambiguous,
    Gone,
    Rejected,
    Throttled,
    Unauthorized,
    Unavailable,
)
from voicefleet_operator.drivers.stripe import StripeDriver
from voicefleet_operator.planning.observed import Customer, Mark

pytestmark = pytest.mark.integration

PRO = Plan(name="Pro", monthly_price_minor=49900)
SOLO = Plan(name="Solo", monthly_price_minor=29900)


@pytest.fixture
def api_key() -> str:
    """Of a Stripe account that is this test's own."""
    return f"sk_test_{secrets.token_hex(12)}"


@pytest.fixture
async def driver(sandbox: Sandbox, api_key: str) -> AsyncIterator[StripeDriver]:
    """The fleet's driver."""
    made = StripeDriver(api_key, base_url=sandbox.url, fleet_id=FLEET)
    yield made
    await made.close()


@pytest.fixture
async def raw(sandbox: Sandbox, api_key: str) -> AsyncIterator[stripe.StripeClient]:
    """The same account past the driver, as a person uses it."""
    http = stripe.AIOHTTPClient()
    yield stripe.StripeClient(
        api_key, http_client=http, base_addresses={"api": f"{sandbox.url}/stripe"}
    )
    await http.close_async()


def new_op() -> str:
    """An operation id, as the journal makes them."""
    return f"op-{secrets.token_hex(12)}"


def ago(seconds: int) -> datetime:
    """A moment in the past."""
    return datetime.now(UTC) - timedelta(seconds=seconds)


async def a_customer(driver: StripeDriver, mark: Mark) -> Customer:
    """A customer of the client's."""
    return await driver.create_customer(new_op(), mark=mark, name="Bright Smile", email=None)


async def with_card(raw: stripe.StripeClient, customer: Customer, card: str) -> None:
    """Give the customer a test card that invoices are charged to."""
    method = await raw.v1.payment_methods.attach_async(card, {"customer": customer.id})
    await raw.v1.customers.update_async(
        customer.id, {"invoice_settings": {"default_payment_method": method.id}}
    )


async def subscribe(driver: StripeDriver, mark: Mark, customer: Customer, **changes: Any) -> Any:
    """A subscription to Pro, by invoice unless told otherwise."""
    usual: dict[str, Any] = {
        "mark": mark,
        "customer_id": customer.id,
        "price_id": await driver.ensure_price(PRO),
        "collection": "Invoice",
        "trial_days": 0,
    }
    operation = changes.pop("op_id", None) or new_op()
    return await driver.create_subscription(operation, **{**usual, **changes})


# --- customers --------------------------------------------------------------------------------


async def test_customer(driver: StripeDriver, sandbox: Sandbox, mark: Mark) -> None:
    operation = new_op()
    async with sandbox.watched() as requests:
        made = await driver.create_customer(
            operation, mark=mark, name="Bright Smile", email="owner@bright.example"
        )
    assert [r["idempotency_key"] for r in requests] == [operation]
    assert made == Customer(made.id, "Bright Smile", "owner@bright.example", mark)
    assert (await driver.inventory()).customers == {made.id: made}
    changed = await driver.update_customer(made.id, name="Brighter", email=None)
    assert changed == Customer(made.id, "Brighter", None, mark)
    assert await driver.get_customer(made.id) == changed


async def test_same_operation_makes_one_customer(driver: StripeDriver, mark: Mark) -> None:
    operation = new_op()
    made = [
        await driver.create_customer(operation, mark=mark, name="Bright Smile", email=None)
        for _ in range(2)
    ]
    assert made[0] == made[1]
    assert set((await driver.inventory()).customers) == {made[0].id}


async def test_adoption(
    driver: StripeDriver, raw: stripe.StripeClient, mark: Mark, other_mark: Mark
) -> None:
    theirs = await raw.v1.customers.create_async({"name": "Old", "metadata": {"crm": "7"}})
    assert (await driver.inventory()).customers == {}
    adopted = await driver.mark_customer(theirs.id, mark)
    assert (await driver.inventory()).customers == {theirs.id: adopted}
    assert await driver.mark_customer(theirs.id, mark) == adopted
    assert (await raw.v1.customers.retrieve_async(theirs.id)).metadata["crm"] == "7"
    for stranger in (other_mark, replace(mark, fleet_id="vf-bbbbbbbb")):
        with pytest.raises(Rejected) as error:
            await driver.mark_customer(theirs.id, stranger)
        assert error.value.reason == "AlreadyOwned"
    assert await driver.get_customer(theirs.id) == adopted


async def test_adoption_of_a_subscription(
    driver: StripeDriver, raw: stripe.StripeClient, mark: Mark, other_mark: Mark
) -> None:
    customer = await raw.v1.customers.create_async({"name": "Old"})
    theirs = await raw.v1.subscriptions.create_async(
        {
            "customer": customer.id,
            "items": [{"price": await driver.ensure_price(PRO)}],
            "collection_method": "send_invoice",
            "days_until_due": 7,
        }
    )
    adopted = await driver.mark_subscription(theirs.id, mark)
    assert (await driver.inventory()).subscriptions == {theirs.id: adopted}
    with pytest.raises(Rejected) as error:
        await driver.mark_subscription(theirs.id, other_mark)
    assert error.value.reason == "AlreadyOwned"


async def test_deleted_customer_is_gone(
    driver: StripeDriver, raw: stripe.StripeClient, mark: Mark
) -> None:
    made = await a_customer(driver, mark)
    await raw.v1.customers.delete_async(made.id)
    for wanted in (made.id, "cus_nothere"):
        with pytest.raises(Gone) as error:
            await driver.get_customer(wanted)
        assert error.value.reason == "ResourceMissing"
    with pytest.raises(Gone):
        await driver.get_subscription("sub_nothere")


async def test_inventory_pages_and_leaves_out_others(
    driver: StripeDriver, monkeypatch: pytest.MonkeyPatch, mark: Mark
) -> None:
    monkeypatch.setattr("voicefleet_operator.drivers.stripe._PAGE", 2)
    clients = [replace(mark, client_id=f"vc-{i:010}") for i in range(5)]
    made = {(await a_customer(driver, client)).id for client in clients}
    await a_customer(driver, replace(mark, fleet_id="vf-bbbbbbbb"))
    assert set((await driver.inventory()).customers) == made


async def test_found_by_mark_since(driver: StripeDriver, mark: Mark, other_mark: Mark) -> None:
    customer = await a_customer(driver, mark)
    await a_customer(driver, other_mark)
    subscription = await subscribe(driver, mark, customer)
    assert await driver.find_customers(mark, ago(1)) == [customer]
    assert await driver.find_subscriptions(mark, ago(1)) == [subscription]
    assert await driver.find_subscriptions(other_mark, ago(1)) == []
    assert await driver.find_customers(mark, ago(-3600)) == []


# --- prices -----------------------------------------------------------------------------------


async def test_unchanged_price_costs_no_write(driver: StripeDriver, sandbox: Sandbox) -> None:
    made = await driver.ensure_price(PRO)
    async with sandbox.watched() as requests:
        assert await driver.ensure_price(PRO) == made
    assert writes(requests) == []
    assert await driver.ensure_price(SOLO) != made


async def test_changed_price_takes_the_lookup_key(
    driver: StripeDriver, raw: stripe.StripeClient
) -> None:
    """And back again within a day, when an idempotency key of the amount would replay."""
    key = f"voicefleet-{FLEET}-Pro"
    for amount in (49900, 59900, 49900):
        plan = Plan(name="Pro", monthly_price_minor=amount)
        made = await driver.ensure_price(plan)
        [price] = (await raw.v1.prices.list_async({"lookup_keys": [key]})).data
        assert (price.id, price.unit_amount) == (made, amount)
        assert price.product == f"voicefleet_{FLEET}_Pro"
        assert await driver.ensure_price(plan) == made


# --- subscriptions ----------------------------------------------------------------------------


async def test_subscription_by_invoice(
    driver: StripeDriver, raw: stripe.StripeClient, sandbox: Sandbox, mark: Mark
) -> None:
    customer, operation = await a_customer(driver, mark), new_op()
    made = await subscribe(driver, mark, customer, op_id=operation)
    assert (made.customer_id, made.status, made.paid) == (customer.id, "active", False)
    assert (made.mark, made.price_id) == (mark, await driver.ensure_price(PRO))
    assert await subscribe(driver, mark, customer, op_id=operation) == made
    assert (await driver.inventory()).subscriptions == {made.id: made}
    seen = await raw.v1.subscriptions.retrieve_async(made.id)
    assert (seen.collection_method, seen.days_until_due) == ("send_invoice", 14)
    await sandbox.pay_invoice(str(seen.latest_invoice))
    assert (await driver.get_subscription(made.id)).paid
    assert (await driver.inventory()).subscriptions[made.id].paid


async def test_trial_counts_as_paid(driver: StripeDriver, mark: Mark) -> None:
    made = await subscribe(driver, mark, await a_customer(driver, mark), trial_days=14)
    assert (made.status, made.paid) == ("trialing", True)


async def test_declined_card_makes_nothing(
    driver: StripeDriver, raw: stripe.StripeClient, mark: Mark
) -> None:
    customer = await a_customer(driver, mark)
    with pytest.raises(Rejected) as error:
        await subscribe(driver, mark, customer, collection="Card")
    assert error.value.reason == "NoPaymentMethod"
    await with_card(raw, customer, "pm_card_chargeDeclined")
    operation = new_op()
    with pytest.raises(Rejected, match="declined") as error:
        await subscribe(driver, mark, customer, collection="Card", op_id=operation)
    assert (error.value.reason, "card" in error.value.hint) == ("CardDeclined", True)
    assert (await driver.inventory()).subscriptions == {}
    await with_card(raw, customer, "pm_card_visa")
    made = await subscribe(driver, mark, customer, collection="Card")
    assert (made.status, made.paid) == ("active", True)


async def test_change_price(
    driver: StripeDriver, raw: stripe.StripeClient, mark: Mark, sandbox: Sandbox
) -> None:
    made = await subscribe(driver, mark, await a_customer(driver, mark))
    solo = await driver.ensure_price(SOLO)
    changed = await driver.change_price(
        subscription_id=made.id, item_id=made.item_id, price_id=solo
    )
    assert changed == replace(made, price_id=solo, price_minor=SOLO.monthly_price_minor)
    assert await driver.get_subscription(made.id) == changed


async def test_cancel_at_the_end_then_now(driver: StripeDriver, mark: Mark) -> None:
    made = await subscribe(driver, mark, await a_customer(driver, mark))
    ending = await driver.cancel_subscription(made.id, when="AtPeriodEnd")
    assert ending == replace(made, cancel_at_period_end=True)
    ended = await driver.cancel_subscription(made.id, when="Now")
    assert (ended.status, ended.live) == ("canceled", False)
    assert (await driver.inventory()).subscriptions[made.id].status == "canceled"


async def test_unknown_price_is_said(driver: StripeDriver, mark: Mark) -> None:
    with pytest.raises(Gone, match="price_nothere"):
        await subscribe(driver, mark, await a_customer(driver, mark), price_id="price_nothere")


# --- Checkout ---------------------------------------------------------------------------------


async def checkout(driver: StripeDriver, mark: Mark, customer: Customer) -> Any:
    """A Checkout session for Pro."""
    return await driver.create_checkout(
        new_op(),
        mark=mark,
        customer_id=customer.id,
        price_id=await driver.ensure_price(PRO),
        trial_days=0,
        success_url="https://bright-smile.fleet.test/",
    )


async def test_checkout_paid(driver: StripeDriver, sandbox: Sandbox, mark: Mark) -> None:
    session = await checkout(driver, mark, await a_customer(driver, mark))
    assert (session.status, session.price_id) == ("open", await driver.ensure_price(PRO))
    assert session.url is not None
    assert (await driver.inventory()).checkouts == {session.id: session}
    await sandbox.pay(session.id)
    found = await driver.inventory()
    assert found.checkouts == {}
    [subscription] = found.subscriptions.values()
    assert (subscription.mark, subscription.paid) == (mark, True)
    done = await driver.get_checkout(session.id)
    assert (done.status, done.subscription_id) == ("complete", subscription.id)
    await driver.expire_checkout(session.id)
    assert (await driver.get_checkout(session.id)).status == "complete"


async def test_checkout_expired(driver: StripeDriver, mark: Mark) -> None:
    session = await checkout(driver, mark, await a_customer(driver, mark))
    for _ in range(2):
        await driver.expire_checkout(session.id)
    assert (await driver.get_checkout(session.id)).status == "expired"
    assert (await driver.inventory()).checkouts == {}
    with pytest.raises(Gone):
        await driver.expire_checkout("cs_test_nothere")


# --- what goes wrong --------------------------------------------------------------------------


async def test_lost_reply_is_repeated_under_the_same_key(
    driver: StripeDriver, sandbox: Sandbox, mark: Mark
) -> None:
    await sandbox.fault("drop", vendor="stripe", method="POST")
    async with sandbox.watched() as requests:
        made = await a_customer(driver, mark)
    assert len(requests) == 2
    assert len({r["idempotency_key"] for r in requests}) == 1
    assert set((await driver.inventory()).customers) == {made.id}


@pytest.mark.parametrize("kind", ["drop", "reset"])
async def test_replies_lost_for_good(
    driver: StripeDriver, sandbox: Sandbox, mark: Mark, kind: str
) -> None:
    customer, operation = await a_customer(driver, mark), new_op()
    await driver.ensure_price(PRO)
    await sandbox.fault(kind, vendor="stripe", method="POST", times=3)
    with pytest.raises(Ambiguous) as error:
        await subscribe(driver, mark, customer, op_id=operation)
    assert not error.value.replayed
    found = await driver.find_subscriptions(mark, ago(1))
    assert len(found) == (1 if kind == "drop" else 0)
    made = await subscribe(driver, mark, customer, op_id=operation)
    assert set((await driver.inventory()).subscriptions) == {made.id}


async def test_throttled(
    driver: StripeDriver, raw: stripe.StripeClient, sandbox: Sandbox, mark: Mark
) -> None:
    await sandbox.fault("throttle", vendor="stripe", retryAfter=7)
    with pytest.raises(Throttled) as error:
        await a_customer(driver, mark)
    assert error.value.retry_after == 7
    assert (await raw.v1.customers.list_async()).data == []


async def test_stored_failure_is_said(driver: StripeDriver, sandbox: Sandbox, mark: Mark) -> None:
    """Done, but Stripe keeps its failure under the key and repeats it for ever."""
    await sandbox.fault("error", vendor="stripe", method="POST", status=500, done=True)
    with pytest.raises(Ambiguous) as error:
        await a_customer(driver, mark)
    assert error.value.replayed
    assert len(await driver.find_customers(mark, ago(1))) == 1


async def test_key_with_other_parameters(driver: StripeDriver, mark: Mark) -> None:
    operation = new_op()
    await driver.create_customer(operation, mark=mark, name="One", email=None)
    with pytest.raises(Ambiguous) as error:
        await driver.create_customer(operation, mark=mark, name="Two", email=None)
    assert error.value.reason == "StripeIdempotency"


async def test_wrong_key(sandbox: Sandbox, mark: Mark) -> None:
    wrong = "sk_test_invalid_but_still_nobodys_business"
    driver = StripeDriver(wrong, base_url=sandbox.url, fleet_id=FLEET)
    with pytest.raises(Unauthorized) as error:
        await driver.inventory()
    assert "nobodys" not in str(error.value)
    await driver.close()


async def test_nobody_there(nobody: str, mark: Mark) -> None:
    driver = StripeDriver("sk_test_x", base_url=nobody, fleet_id=FLEET)
    with pytest.raises(Unavailable):
        await a_customer(driver, mark)
    await driver.close()


@pytest.mark.parametrize(
    "answer",
    [
        silent,
        reset,
        saying("200 OK", "<html>"),
        saying("502 Bad Gateway", "<html>"),
        saying("200 OK", "{", "Content-Encoding: gzip"),
    ],
    ids=["silent", "reset", "page", "gateway", "broken"],
)
async def test_bad_answers(bad_server: BadServer, mark: Mark, answer: Any) -> None:
    driver = StripeDriver(
        "sk_test_x", base_url=await bad_server(answer), fleet_id=FLEET, timeout=0.3
    )
    with pytest.raises(Ambiguous):
        await a_customer(driver, mark)
    await driver.close()


async def test_connection_lost_after_sending_is_not_unavailable(
    bad_server: BadServer, nobody: str, mark: Mark, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the last of the SDK's attempts finds nobody; an earlier one may have been done."""
    attempts = 0
    original = stripe.AIOHTTPClient.request_stream_async

    async def gone_after_the_first(self: Any, method: str, url: str, *args: Any, **kw: Any) -> Any:
        nonlocal attempts
        attempts += 1
        if attempts > 1:
            url = nobody
        return await original(self, method, url, *args, **kw)

    monkeypatch.setattr(stripe.AIOHTTPClient, "request_stream_async", gone_after_the_first)
    driver = StripeDriver("sk_test_x", base_url=await bad_server(reset), fleet_id=FLEET)
    with pytest.raises(Ambiguous):
        await a_customer(driver, mark)
    assert attempts == 3
    await driver.close()
