"""What the sandbox answers and takes is what the vendors' OpenAPI files say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from integration.sandbox.vendors import World, check_replies, specs
from voicefleet_sandbox.stripe.operations import OPERATIONS

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]


def test_every_stripe_endpoint_answers_in_shape(world: World) -> None:
    specs()
    v1 = world.stripe()
    price = world.price(lookup_key="pro")
    customer = world.customer()
    v1.accounts.retrieve_current()
    v1.balance.retrieve()
    v1.customers.retrieve(customer.id)
    v1.customers.update(customer.id, {"metadata": {"a": "b"}, "address": {"city": "Austin"}})
    v1.customers.list({"limit": 3})
    v1.products.retrieve(price.product)
    v1.products.update(price.product, {"name": "Other"})
    v1.products.list()
    v1.prices.retrieve(price.id)
    v1.prices.update(price.id, {"nickname": "pro"})
    v1.prices.list({"lookup_keys": ["pro"], "expand": ["data.product"]})
    card = v1.payment_methods.create({"type": "card", "card": {"token": "tok_visa"}})
    v1.payment_methods.attach(card.id, {"customer": customer.id})
    v1.payment_methods.retrieve(card.id)
    v1.payment_methods.list({"customer": customer.id})
    v1.payment_methods.detach(card.id)
    expanded = {"expand": ["latest_invoice", "customer", "items"]}
    subscription = world.subscribe(customer, price, **expanded)
    assert subscription.latest_invoice.status == "paid"
    v1.subscriptions.retrieve(subscription.id, expanded)
    v1.subscriptions.update(subscription.id, {"metadata": {"x": "y"}, **expanded})
    v1.subscriptions.list({"status": "all", "expand": ["data.latest_invoice"]})
    [item] = v1.subscription_items.list({"subscription": subscription.id}).data
    v1.subscription_items.retrieve(item.id)
    dearer = world.price(79900)
    v1.subscription_items.update(item.id, {"price": dearer.id})
    assert len(v1.invoice_items.list({"pending": True}).data) == 2
    by_invoice = world.subscribe(
        customer, price, collection_method="send_invoice", days_until_due=14
    )
    v1.invoices.update(by_invoice.latest_invoice, {"metadata": {"n": "1"}})
    v1.invoices.finalize_invoice(by_invoice.latest_invoice)
    v1.invoices.mark_uncollectible(by_invoice.latest_invoice)
    v1.invoices.void_invoice(by_invoice.latest_invoice)
    another = world.subscribe(customer, price, collection_method="send_invoice", days_until_due=1)
    v1.invoices.pay(another.latest_invoice)
    paid = v1.invoices.retrieve(another.latest_invoice)
    everything = {"amount": paid.amount_paid, "refund_amount": paid.amount_paid}
    v1.credit_notes.create({"invoice": paid.id, "reason": "order_change", **everything})
    v1.credit_notes.list({"invoice": paid.id})
    v1.invoices.list({"customer": customer.id, "expand": ["data.customer"]})
    v1.subscriptions.cancel(subscription.id, {"invoice_now": True, "prorate": True})
    line = [{"price": price.id, "quantity": 1}]
    wish = {"mode": "subscription", "line_items": line, "success_url": "https://x.example"}
    session = v1.checkout.sessions.create(wish)
    v1.checkout.sessions.retrieve(session.id)
    world.own("POST", f"/checkout/{session.id}", data={"pay": "yes"})
    v1.checkout.sessions.list({"expand": ["data.subscription", "data.customer"]})
    v1.checkout.sessions.expire(v1.checkout.sessions.create(wish).id)
    hook = v1.webhook_endpoints.create(
        {"url": "http://127.0.0.1:9/", "enabled_events": ["invoice.paid"]}
    )
    assert hook.secret.startswith("whsec_")
    v1.webhook_endpoints.retrieve(hook.id)
    v1.webhook_endpoints.update(hook.id, {"disabled": True})
    v1.webhook_endpoints.list()
    v1.webhook_endpoints.delete(hook.id)
    [newest] = v1.events.list({"limit": 1}).data
    v1.events.retrieve(newest.id)
    v1.customers.delete(customer.id)
    assert check_replies(world) == set(OPERATIONS)


def test_every_twilio_endpoint_answers_in_shape(world: World) -> None:
    specs()
    client = world.twilio()
    account = client.api.v2010.account
    account.fetch()
    client.api.v2010.accounts.list()
    account.balance.fetch()
    offered = account.available_phone_numbers("US").local.list(area_code=415, limit=2)
    number = account.incoming_phone_numbers.create(phone_number=offered[0].phone_number)
    number.fetch()
    number.update(friendly_name="x", voice_url="https://x.example/")
    account.incoming_phone_numbers.list()
    lists = account.sip.credential_lists
    logins = lists.create(friendly_name="logins")
    logins.fetch()
    logins.update(friendly_name="names")
    lists.list()
    login = lists(logins.sid).credentials.create(username="u", password="Secret12345678")
    assert "Secret" not in str(vars(login))
    lists(logins.sid).credentials(login.sid).fetch()
    assert len(lists(logins.sid).credentials.list()) == 1
    lists(logins.sid).credentials(login.sid).delete()
    networks = account.sip.ip_access_control_lists.create(friendly_name="networks")
    addresses = account.sip.ip_access_control_lists(networks.sid).ip_addresses
    address = addresses.create(friendly_name="edge", ip_address="192.0.2.1")
    addresses(address.sid).fetch()
    assert len(addresses.list()) == 1
    trunks = client.trunking.v1.trunks
    trunk = trunks.create(friendly_name="t", domain_name="one.pstn.twilio.com")
    trunk.fetch()
    trunk.update(disaster_recovery_url="https://x.example/", disaster_recovery_method="GET")
    trunks.list()
    one = trunks(trunk.sid)
    one.recordings().fetch()
    one.recordings().update(mode="record-from-answer")
    wish = {"weight": 1, "priority": 1, "enabled": True, "friendly_name": "a"}
    url = one.origination_urls.create(**wish, sip_url="sip:192.0.2.1")
    url.fetch()
    url.update(weight=2)
    one.origination_urls.list()
    one.phone_numbers.create(phone_number_sid=number.sid)
    one.phone_numbers(number.sid).fetch()
    one.phone_numbers.list()
    one.credentials_lists.create(credential_list_sid=logins.sid)
    one.credentials_lists(logins.sid).fetch()
    one.credentials_lists.list()
    one.ip_access_control_lists.create(ip_access_control_list_sid=networks.sid)
    assert set(one.fetch().auth_type_set) == {"CREDENTIAL_LIST", "IP_ACL"}
    one.ip_access_control_lists(networks.sid).delete()
    one.credentials_lists(logins.sid).delete()
    assert one.fetch().auth_type_set == []
    one.phone_numbers(number.sid).delete()
    one.origination_urls(url.sid).delete()
    one.delete()
    number.delete()
    addresses(address.sid).delete()
    networks.delete()
    logins.delete()
    assert len(check_replies(world)) > 40


def test_table_of_parameters_is_the_vendors() -> None:
    tool = [sys.executable, "sandbox/tools/stripe_params.py", f"{specs()}/stripe_spec3.json"]
    made = subprocess.run([*tool, "--check"], cwd=ROOT)
    assert made.returncode == 0, f"run: python {' '.join(tool[1:])}"
